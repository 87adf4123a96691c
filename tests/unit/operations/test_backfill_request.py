"""A request for a backfill: its jobs, and the requests that mean nothing."""

from datetime import date

import pytest

from contrail.errors import SpecError
from contrail.operations.backfill_request import Request
from contrail.partitions import Partitions

DAYS = Partitions.parse("2024-02-10", "2024-02-14")


def test_whole_is_one_job_from_the_first_to_the_last_day_that_is_not_done():
    request = Request(Partitions.parse("2024-01-01", "2024-12-31"))
    assert [str(job) for job in request.jobs([date(2024, 3, 1), date(2024, 5, 1)], 7)] == ["2024-03-01..2024-05-01"]
    assert request.jobs([], 7) == []


@pytest.mark.parametrize("commits", ["chunk", "partition"])
def test_chunks_are_counted_from_the_start_of_the_range(commits):
    request = Request(Partitions.parse("2024-01-01", "2024-01-31"), commits=commits, chunk_days=10)
    every = [str(job) for job in request.jobs(request.partitions, 99)]
    assert every == ["2024-01-01..2024-01-10", "2024-01-11..2024-01-20", "2024-01-21..2024-01-30", "2024-01-31"]
    left = [date(2024, 1, 14), date(2024, 1, 20), date(2024, 1, 21)]
    assert [str(job) for job in request.jobs(left, 99)] == ["2024-01-14..2024-01-20", "2024-01-21"]


def test_the_environment_says_how_large_a_chunk_is_when_nobody_else_does():
    request = Request(Partitions.parse("2024-01-01", "2024-01-31"), commits="chunk")
    assert [len(job) for job in request.jobs(request.partitions, 16)] == [16, 15]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"stages": ("features", "train")}, "stages train: no such stages of a range; use ingest, validate,"),
        ({"stages": ()}, "no stage is chosen"),
        (
            {"stages": ("features", "ingest"), "model": "2"},
            "model 2: features, ingest takes no model; one is ",
        ),
        ({"commits": "daily"}, "--commits daily: use one of whole, chunk, partition"),
        ({"chunk_days": 5}, "--chunk-days needs --commits chunk or partition"),
        ({"chunk_days": 0, "commits": "chunk"}, "at least one partition"),
    ],
)
def test_a_request_that_means_nothing_is_refused(asked, words):
    with pytest.raises(SpecError, match=words):
        Request(DAYS, **asked)


def test_a_part_has_the_pinned_model_where_it_takes_one():
    request = Request(DAYS, ("features", "score"), "latest")
    assert [request.of(stage, "7").model for stage in request.stages] == ["champion", "7"]
