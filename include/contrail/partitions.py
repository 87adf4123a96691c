"""Daily partitions: a range of dates that one job works on.

One job always handles a whole range. Nothing here loops over days for a stage.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from contrail.errors import SpecError

# What 64 bits of nanoseconds hold in every zone (pandas, Evidently), with whole years and room for windows around them.
FIRST_DAY, LAST_DAY = date(1678, 1, 1), date(2261, 12, 31)


@dataclass(frozen=True)
class Partitions:
    """An inclusive range of daily partitions.

    Example:
        >>> days = Partitions.parse("2024-02-28", "2024-03-01")
        >>> len(days), str(days)
        (3, '2024-02-28..2024-03-01')
        >>> date(2024, 2, 29) in days
        True
        >>> str(days.reaching_back(7))
        '2024-02-21..2024-03-01'

    Raises:
        SpecError: if ``end`` lies before ``start``.
    """

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise SpecError(f"the range ends before it starts: its first day is {self.start}, its last {self.end}")

    @classmethod
    def parse(cls, start: str, end: str | None = None) -> "Partitions":
        """Build a range from ISO dates; ``end`` defaults to ``start``.

        Raises:
            SpecError: for text that is no date, and for a date outside the years 1678 to 2261.
        """
        first = _day(start)
        return cls(first, first if end is None else _day(end))

    @classmethod
    def from_text(cls, text: str) -> "Partitions":
        """Parse the text that ``str`` of a range gives."""
        return cls.parse(*text.split(".."))

    def __iter__(self) -> Iterator[date]:
        return (self.start + timedelta(days=i) for i in range(len(self)))

    def __len__(self) -> int:
        return (self.end - self.start).days + 1

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.start <= day <= self.end

    def __str__(self) -> str:
        return str(self.start) if self.start == self.end else f"{self.start}..{self.end}"

    def shift(self, days: int) -> "Partitions":
        """The same range, ``days`` later (earlier when negative)."""
        return Partitions(self.start + timedelta(days=days), self.end + timedelta(days=days))

    def reaching_back(self, days: int) -> "Partitions":
        """The same range with ``days`` more partitions before its start."""
        return Partitions(self.start - timedelta(days=days), self.end)


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise SpecError(
            f"'{text}' is not a date: {error}. Write dates as YYYY-MM-DD, for example 2013-11-01."
        ) from error
    if not FIRST_DAY <= day <= LAST_DAY:
        raise SpecError(f"{day} is outside {FIRST_DAY} to {LAST_DAY}. No partition can lie there; is the year right?")
    return day


def parse_moment(text: str | None, option: str) -> datetime | None:
    """Read a date or a time in ISO 8601. Without a zone it is UTC.

    Raises:
        SpecError: naming the option, for anything else.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SpecError(f"{option} {text}: write a time as 2013-11-03 or 2013-11-03T18:00") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def cutoff_instant(day: date, cutoff: time, timezone: str) -> datetime:
    """The UTC instant at which predictions of partition ``day`` are made."""
    return datetime.combine(day, cutoff, ZoneInfo(timezone)).astimezone(ZoneInfo("UTC"))


def as_ranges(days: Iterable[date]) -> list[Partitions]:
    """Merge days into the fewest contiguous ranges, in order."""
    ranges: list[Partitions] = []
    for day in sorted(set(days)):
        if ranges and day == ranges[-1].end + timedelta(days=1):
            ranges[-1] = Partitions(ranges[-1].start, day)
        else:
            ranges.append(Partitions(day, day))
    return ranges
