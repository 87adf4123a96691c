"""Partition ranges and the cut-off's instant."""

from datetime import UTC, date, datetime, time

import pytest

from contrail.errors import SpecError
from contrail.partitions import Partitions, as_ranges, cutoff_instant


def test_a_range_is_inclusive() -> None:
    days = Partitions.parse("2024-02-28", "2024-03-01")
    assert list(days) == [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]
    assert len(days) == 3
    assert date(2024, 2, 29) in days
    assert str(days) == "2024-02-28..2024-03-01"
    assert str(Partitions.parse("2024-02-28")) == "2024-02-28"


def test_wrong_ranges_are_refused() -> None:
    with pytest.raises(SpecError, match="ends before it starts"):
        Partitions.parse("2024-02-02", "2024-02-01")
    with pytest.raises(SpecError, match="Write dates as YYYY-MM-DD"):
        Partitions.parse("01/02/2024")


@pytest.mark.parametrize("day", ["0001-01-01", "1677-12-31", "2262-01-01", "9999-12-31"])
def test_a_year_in_which_windows_would_overflow_is_refused(day: str) -> None:
    with pytest.raises(SpecError, match=f"{day} is outside 1678-01-01 to 2261-12-31. No partition can lie there"):
        Partitions.parse(day)
    with pytest.raises(SpecError, match="is the year right"):
        Partitions.parse("2024-01-01", day)


@pytest.mark.parametrize("day", ["1678-01-01", "2261-12-31"])
def test_windows_at_the_ends_of_the_years_do_not_overflow(day: str) -> None:
    assert Partitions.parse(day).reaching_back(400).shift(400).shift(-800)
    assert cutoff_instant(Partitions.parse(day).start, time(0), "Pacific/Kiritimati")


def test_days_merge_into_ranges() -> None:
    days = [date(2024, 1, 3), date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 9)]
    assert as_ranges(days) == [Partitions.parse("2024-01-01", "2024-01-03"), Partitions.parse("2024-01-09")]


@pytest.mark.parametrize(
    ("day", "hour"), [(date(2013, 1, 1), 5), (date(2013, 3, 10), 5), (date(2013, 3, 11), 4), (date(2013, 11, 4), 5)]
)
def test_the_cutoff_follows_daylight_saving(day: date, hour: int) -> None:
    assert cutoff_instant(day, time(0), "America/New_York") == datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
