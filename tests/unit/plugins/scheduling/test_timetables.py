"""Daily partitions run at their cut-off; a backfill never reaches into the future."""

from datetime import UTC, datetime, timedelta

from contrail_airflow.scheduling.timetables import ClosedPartitionTimetable


def timetable() -> ClosedPartitionTimetable:
    return ClosedPartitionTimetable("0 0 * * *", timezone="America/New_York", key_format="%Y-%m-%d")


def keys(first: datetime, last: datetime) -> list[str | None]:
    return [info.partition_key for info in timetable().iter_partition_dagrun_infos(earliest=first, latest=last)]


def test_a_backfill_has_each_local_day_once_across_the_changes_of_clock() -> None:
    found = keys(datetime(2013, 3, 9, tzinfo=UTC), datetime(2013, 3, 12, tzinfo=UTC))
    assert found == ["2013-03-09", "2013-03-10", "2013-03-11", "2013-03-12"]
    found = keys(datetime(2013, 11, 2, tzinfo=UTC), datetime(2013, 11, 4, tzinfo=UTC))
    assert found == ["2013-11-02", "2013-11-03", "2013-11-04"]


def test_a_backfill_ends_with_the_last_day_whose_cutoff_has_passed() -> None:
    now = datetime.now(UTC)
    found = keys(now - timedelta(days=4), now + timedelta(days=30))
    assert 3 <= len(found) <= 5


def test_it_survives_serialisation() -> None:
    copy = ClosedPartitionTimetable.deserialize(timetable().serialize())
    assert copy.serialize() == timetable().serialize()
