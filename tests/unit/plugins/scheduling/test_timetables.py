"""Daily partitions run at their cut-off; a backfill never reaches into the future."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pendulum
import pytest
from airflow.timetables.base import TimeRestriction

from contrail_airflow.scheduling.timetables import ClosedPartitionTimetable, UntilTimetable

ZONE: Any = {"timezone": "America/New_York"}


def timetable(last: date | None = None) -> ClosedPartitionTimetable:
    return ClosedPartitionTimetable("0 0 * * *", **ZONE, key_format="%Y-%m-%d", last=last)


def keys(first: datetime, last: datetime, until: date | None = None) -> list[str | None]:
    return [info.partition_key for info in timetable(until).iter_partition_dagrun_infos(earliest=first, latest=last)]


def test_a_backfill_has_each_local_day_once_across_the_changes_of_clock() -> None:
    found = keys(datetime(2013, 3, 9, tzinfo=UTC), datetime(2013, 3, 12, tzinfo=UTC))
    assert found == ["2013-03-09", "2013-03-10", "2013-03-11", "2013-03-12"]
    found = keys(datetime(2013, 11, 2, tzinfo=UTC), datetime(2013, 11, 4, tzinfo=UTC))
    assert found == ["2013-11-02", "2013-11-03", "2013-11-04"]


def test_a_backfill_ends_with_the_last_day_whose_cutoff_has_passed() -> None:
    now = datetime.now(UTC)
    found = keys(now - timedelta(days=4), now + timedelta(days=30))
    assert 3 <= len(found) <= 5


def test_a_backfill_ends_with_the_pipelines_last_day() -> None:
    found = keys(datetime(2013, 11, 2, tzinfo=UTC), datetime(2013, 11, 9, tzinfo=UTC), until=date(2013, 11, 4))
    assert found == ["2013-11-02", "2013-11-03", "2013-11-04"]


# `2013-11-04` ends at 23:00 in New York: its run at midnight counts, the next day's does not.
@pytest.mark.parametrize(("last", "runs"), [(date(2013, 11, 4), ["2013-11-03", "2013-11-04"]), (date(2013, 11, 2), [])])
def test_the_schedule_ends_with_the_pipelines_last_day(last: date, runs: list[str]) -> None:
    restriction: Any = TimeRestriction(pendulum.datetime(2013, 11, 3, 4), None, True)
    found, info = [], timetable(last).next_dagrun_info_v2(last_dagrun_info=None, restriction=restriction)
    while info:
        found.append(info.partition_key)
        info = timetable(last).next_dagrun_info_v2(last_dagrun_info=info, restriction=restriction)
    assert found == runs
    weekly = UntilTimetable("0 0 * * 1", **ZONE, last=last)
    first = weekly.next_dagrun_info(last_automated_data_interval=None, restriction=restriction)
    assert (first is not None) == (last >= date(2013, 11, 4)), "4 November is a Monday"


@pytest.mark.parametrize("last", [None, date(2013, 11, 4)])
def test_they_survive_serialisation(last: date | None) -> None:
    for made in (timetable(last), UntilTimetable("0 0 * * 1", **ZONE, last=last)):
        copy = type(made).deserialize(made.serialize())
        assert copy.serialize() == made.serialize()
        assert copy.last == last
