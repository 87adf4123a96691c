"""What judges a soak finds what it must find: messages too many or too few, runs that stay failed, rows that differ."""

import dataclasses
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.soak import calm
from tests.soak.calm import Differs
from tests.soak.incident import Incident, Told
from tests.soak.judged import Record, growth, unexpected, unexplained, verdicts
from tests.soak.of_feeds import FEEDS
from tests.soak.of_machines import MACHINES
from tests.soak.of_people import PEOPLE
from tests.soak.year import Planted, plant

from contrail.notify.messages import Kind

EVERY = [kind() for kind in (*FEEDS, *MACHINES, *PEOPLE)]


class _Cut(Incident):
    """A file is cut."""

    told = (Told(Kind.refusal, "flight_delay ingest {day}.*schedule {day}: truncated_gzip"),)


class _Struck(Incident):
    """A process is lost."""

    strikes = True


MESSAGE = {
    "kind": "refusal",
    "title": "Contrail refusal",
    "where": "flight_delay ingest 2013-04-02",
    "happened": "1 landed file refused.\n  schedule 2013-04-02: truncated_gzip: it ends too early",
}
DAYS = [{"day": day, "failed": []} for day in range(1, 9)]
LANDED = [{"day": day, "messages": int(day > 2)} for day in range(1, 9)]


def record(messages: list[dict[str, Any]], **more: Any) -> Record:
    """A soak of April whose messages all came on the second day."""
    own: dict[str, Any] = {"days": DAYS, "landed": LANDED, "struck": [], "monthly": [], **more}
    own["landed"] = [{**line, "messages": len(messages) * line["messages"]} for line in own["landed"]]
    return Record(messages=messages, date_of=lambda pipeline, day: date(2013, 4, day), **own)


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
    (found,) = verdicts([Planted(_Cut(), 2)], record([MESSAGE] * messages))
    assert [words.partition(":")[0] for words in found.wrong] == wrong


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "failure"},
        {"where": "bike_demand ingest 2013-04-02"},
        {"where": "flight_delay ingest 2013-04-03"},
        {"happened": "weather 2013-04-02: truncated_gzip"},
    ],
)
def test_another_message_does_not_count_and_is_of_no_incident(other: dict[str, str]) -> None:
    of_cut, told = [Planted(_Cut(), 2)], record([{**MESSAGE, **other}])
    (found,) = verdicts(of_cut, told)
    assert [words.partition(":")[0] for words in found.wrong] == ["told 0 times, not 1"]
    assert len(unexpected(of_cut, told)) == 1
    assert unexpected(of_cut, record([MESSAGE, {**MESSAGE, "kind": "drift"}])) == []


def test_a_message_that_may_come_is_expected_and_not_asked_for() -> None:
    class May(_Cut):
        """It may be told."""

        told = tuple(dataclasses.replace(one, times=None) for one in _Cut.told)

    for messages in ([], [MESSAGE], [MESSAGE, MESSAGE]):
        (found,) = verdicts([Planted(May(), 2)], record(messages))
        assert found.wrong == []
        assert unexpected([Planted(May(), 2)], record(messages)) == []


def test_a_message_counts_only_while_its_incident_lasts() -> None:
    assert len(unexpected([Planted(_Cut(), 3)], record([MESSAGE]))) == 1, "it came the day before"


def test_a_months_candidate_may_be_refused() -> None:
    refused = {**MESSAGE, "where": "bike_demand promote 2013-03-18..2013-03-31"}
    monthly = [{"pipeline": "bike_demand", "day": "2013-04-01"}]
    assert unexpected([], record([refused], monthly=monthly)) == []
    assert len(unexpected([], record([refused], monthly=[{**monthly[0], "day": "2013-05-01"}]))) == 1


def test_an_incident_that_met_nothing_was_not_planted() -> None:
    (missed,) = verdicts([Planted(_Struck(), 2)], record([]))
    (met,) = verdicts([Planted(_Struck(), 2)], record([], struck=[{"incident": "A process is lost"}]))
    assert (missed.wrong, met.wrong) == (["it was not planted: its stage was not met"], [])


def test_a_run_that_stays_failed_is_not_healed_of_whichever_pipeline() -> None:
    days = [{**line, "failed": ["bike_demand__daily"] * (line["day"] >= 2)} for line in DAYS]
    (found,) = verdicts([Planted(_Cut(), 2)], record([MESSAGE], days=days))
    assert found.wrong == ["not healed: bike_demand__daily"]
    (later,) = verdicts([Planted(_Struck(), 3)], record([], days=days, struck=[{"incident": "A process is lost"}]))
    assert later.wrong == [], "it was failed before"


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


@pytest.mark.parametrize(
    ("scored", "wrong"),
    [([1, 2], 0), ([1], 1), ([1, 2, 2], 1), ([1, 3], 2)],
    ids=["all", "missing", "doubled", "strange"],
)
def test_each_row_of_features_has_one_prediction(tmp_path: Path, scored: list[int], wrong: int) -> None:
    for table, keys in (("features", [1, 2]), ("predictions", scored)):
        days = [date(2024, 1, 1)] * len(keys)
        pq.write_table(pa.table({"partition_date": days, "parcel": keys}), tmp_path / f"{table}.parquet")
    found = calm.unscored("toy", tmp_path, ["parcel"], date(2024, 1, 1), date(2024, 1, 2))
    assert sum(one.rows for one in found) == wrong
    (tmp_path / "calm").mkdir()
    pq.write_table(pq.read_table(tmp_path / "features.parquet"), tmp_path / "calm" / "predictions.parquet")
    strange = calm.strange_keys("toy", tmp_path, tmp_path / "calm", ["parcel"], date(2024, 1, 2))
    assert sum(one.rows for one in strange) == len(set(scored) - {1, 2}) + len(scored) - len(set(scored))


def test_growth_is_told_by_thirds() -> None:
    days = [{"files": number} for number in (10, 10, 20, 20, 30, 30)]
    assert growth(days, ["files"]) == {"files": (10.0, 20.0, 30.0)}
