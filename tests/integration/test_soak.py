"""What judges a soak finds what it must find: messages too many or too few, runs that stay failed, rows that differ."""

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.soak import calm
from tests.soak.calm import Differs
from tests.soak.incident import Incident, Told
from tests.soak.judged import growth, unexpected, unexplained, verdicts
from tests.soak.of_feeds import FEEDS
from tests.soak.of_machines import MACHINES
from tests.soak.of_people import PEOPLE
from tests.soak.year import Planted, plant

from contrail.notify.messages import Kind

EVERY = [kind() for kind in (*FEEDS, *MACHINES, *PEOPLE)]


class _Cut(Incident):
    """A file is cut."""

    told = (Told(Kind.refusal, "flight_delay ingest .*schedule"),)


MESSAGE = {
    "kind": "refusal",
    "title": "Contrail refusal",
    "where": "flight_delay ingest 2013-04-02",
    "happened": "schedule/2013-04-02.csv.gz is cut",
}
DAYS = [{"day": day, "failed": []} for day in range(1, 9)]
LANDED = [{"day": day, "messages": int(day > 2)} for day in range(1, 9)]


def test_incidents_have_days_of_their_own_and_are_enough() -> None:
    planted = plant(EVERY, 120)
    taken = [day for one in planted for day in range(one.first, one.first + one.incident.days)]
    assert len(taken) == len(set(taken))
    assert min(taken) > 1
    assert max(taken) < 118
    assert len({one.incident.name for one in planted}) == len(EVERY) >= 20
    with pytest.raises(ValueError, match="incidents need"):
        plant(EVERY, 30)


@pytest.mark.parametrize(("messages", "wrong"), [(1, []), (0, ["told 0 times, not 1"]), (2, ["told 2 times, not 1"])])
def test_an_incident_must_be_told_once(messages: int, wrong: list[str]) -> None:
    landed = [{**line, "messages": messages * line["messages"]} for line in LANDED]
    (found,) = verdicts([Planted(_Cut(), 2)], DAYS, landed, [MESSAGE] * messages)
    assert [words.partition(":")[0] for words in found.wrong] == wrong


@pytest.mark.parametrize(
    "other", [{"kind": "failure"}, {"where": "bike_demand ingest 2018-04-02"}, {"happened": "weather is cut"}]
)
def test_another_message_does_not_count_and_is_of_no_incident(other: dict[str, str]) -> None:
    messages = [{**MESSAGE, **other}]
    (found,) = verdicts([Planted(_Cut(), 2)], DAYS, LANDED, messages)
    assert found.wrong == ["told 0 times, not 1: refusal, flight_delay ingest .*schedule"]
    assert len(unexpected([Planted(_Cut(), 2)], messages)) == 1
    assert unexpected([Planted(_Cut(), 2)], [MESSAGE, {**MESSAGE, "kind": "drift"}]) == []


def test_a_run_that_stays_failed_is_not_healed() -> None:
    days: list[dict[str, Any]] = [{**line, "failed": ["flight_delay__daily"] * (line["day"] == 2)} for line in DAYS]
    (found,) = verdicts([Planted(_Cut(), 2)], days, LANDED, [MESSAGE])
    assert found.wrong == ["not healed: flight_delay__daily"]


def test_a_run_that_was_failed_before_is_not_the_incidents() -> None:
    days: list[dict[str, Any]] = [{**line, "failed": ["flight_delay__daily"]} for line in DAYS]
    (found,) = verdicts([Planted(_Cut(), 2)], days, LANDED, [MESSAGE])
    assert found.wrong == []


def test_a_difference_needs_a_reason_for_each_of_its_days() -> None:
    found = [Differs("toy", "predictions", 3, ("2024-01-02", "2024-01-03")), Differs("toy", "features", 1, ())]
    assert unexplained(found, {}) == [
        "toy predictions: 3 rows differ, on 2024-01-02, 2024-01-03",
        "toy features: 1 rows differ, on all days",
    ]
    assert unexplained(found[:1], {("toy", "predictions"): {"2024-01-02"}}) == [
        "toy predictions: 3 rows differ, on 2024-01-03"
    ]
    assert unexplained(found[:1], {("toy", "predictions"): {"2024-01-02", "2024-01-03"}}) == []


@pytest.mark.parametrize(
    ("rows", "differs"),
    [
        ([("2024-01-01", 1, "a"), ("2024-01-02", 2, "b")], []),
        ([("2024-01-01", 1, "other run"), ("2024-01-02", 2, "b")], []),
        ([("2024-01-01", 1, "a")], [(1, ("2024-01-02",))]),
        ([("2024-01-01", 1, "a"), ("2024-01-01", 1, "a"), ("2024-01-02", 2, "b")], [(1, ("2024-01-01",))]),
        ([("2024-01-01", 7, "a"), ("2024-01-02", 2, "b")], [(2, ("2024-01-01",))]),
        ([("2024-01-01", 1, "a"), ("2024-01-02", 2, "b"), ("2024-01-03", 3, "c")], []),
    ],
)
def test_years_differ_by_their_rows_and_not_by_who_made_them(
    tmp_path: Path, rows: list[tuple[Any, ...]], differs: list[Any]
) -> None:
    for folder, own in (("lived", rows), ("calm", [("2024-01-01", 1, "a"), ("2024-01-02", 2, "b")])):
        (tmp_path / folder).mkdir()
        days, values, runs = zip(*own, strict=True)
        table = pa.table(
            {"partition_date": [date.fromisoformat(day) for day in days], "value": values, "scoring_run": runs}
        )
        pq.write_table(table, tmp_path / folder / "predictions.parquet")
    found = calm.differences("toy", tmp_path / "lived", tmp_path / "calm", date(2024, 1, 2))
    assert [(one.rows, one.days) for one in found] == differs


def test_growth_is_told_by_thirds() -> None:
    days = [{"files": number} for number in (10, 10, 20, 20, 30, 30)]
    assert growth(days, ["files"]) == {"files": (10.0, 20.0, 30.0)}
