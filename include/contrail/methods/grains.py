"""All that describes one key on a day, in few passes over its history.

A grain is the columns of a key. Whatever histories have windows of one grain, they become one table of daily sums, and the
windows are sums of its days. So an engine shuffles once by key and day and once by key, and the rows to describe are joined
once. No day is repeated for each window that holds it: a shuffle carries a day's sums, not 28 copies of them.

The code has only Column expressions, so it runs over Spark Connect and on Sail. What authors of pipelines write belongs in
``windows``.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from contrail.partitions import Partitions

PARTITION = "partition_date"
ROWS = ""  # among the means of a window: its number of rows
_DAY, _ASKED, _ORDER, _NEXT = "__day", "__asked", "__order", "__next"
_EPOCH = date(1970, 1, 1)
_LARGEST = 1.7976931348623157e308


class Part:
    """What ``describe`` adds to rows: columns that describe a key, whose own columns are ``by``, on each day.

    Example:
        >>> rows = spark.createDataFrame([(date(2024, 3, 10), "A")], "partition_date date, depot string")
        >>> part = of_day(rows, by=["depot"], count="parcels", prefix="depot")
        >>> isinstance(part, Part), part.by
        (True, ('depot',))
    """

    by: tuple[str, ...]


@dataclass(frozen=True)
class Planned(Part):
    """Rows of a history that count for a key ``by``, from the day in the column ``day`` on.

    A row that counts from more than ``late`` days after its partition on is left out.
    """

    history: DataFrame
    by: tuple[str, ...]
    day: str
    late: int

    def rows(self) -> DataFrame:
        """The rows that count."""
        return timely_rows(self.history, self.day, self.late)


@dataclass(frozen=True)
class Windowed(Planned):
    """Means and counts in windows of days: ``columns`` has a mean (or ``ROWS``) and a number of days for each new name."""

    means: Mapping[str, Column]
    columns: Mapping[str, tuple[str, int]]

    @property
    def longest(self) -> int:
        """Days of the longest window."""
        return max(days for _, days in self.columns.values())


@dataclass(frozen=True)
class Latest(Planned):
    """Columns of the newest row of the last ``days`` days, by ``order_by`` among those of a day, for each of ``asked``."""

    asked: Partitions
    columns: Mapping[str, Column]
    order_by: str
    days: int


def timely_rows(history: DataFrame, day: str, late: int) -> DataFrame:
    """Select the rows that count from at most ``late`` days after their partition on."""
    return history if day == PARTITION else history.where(F.datediff(F.col(day), F.col(PARTITION)) <= late)


def described(rows: DataFrame, parts: Sequence[Planned]) -> Iterator[DataFrame]:
    """Compute parts of one grain. Each frame has at most one row for a ``partition_date`` and key of ``rows``."""
    if windows := [part for part in parts if isinstance(part, Windowed)]:
        yield _windows(rows, windows)
    for part in parts:
        if isinstance(part, Latest):
            yield _newest(part)


def columns_together(parts: Sequence[Planned]) -> Iterator[tuple[str, ...]]:
    """The columns of each frame of ``described``."""
    if windows := [part for part in parts if isinstance(part, Windowed)]:
        yield tuple(name for part in windows for name in part.columns)
    yield from (tuple(part.columns) for part in parts if isinstance(part, Latest))


def keep_shared(rows: DataFrame, parts: Sequence[Planned]) -> None:
    """Let the engine keep the frames that several grains read, so that each is read and joined once.

    Apache Spark caches them, in memory and on the executors' disks. Sail keeps nothing, and computes them again.
    """
    grains = {part.by: [each for each in parts if each.by == part.by] for part in parts}
    frames = [part.history for part in parts] + [rows for own in grains.values() if _asks(own)]
    uses = Counter(map(id, frames))
    for frame in {id(frame): frame for frame in frames if uses[id(frame)] > 1}.values():
        frame.persist()


def _asks(parts: Sequence[Planned]) -> bool:
    """Whether the parts need the days for which a key is asked. Sums of a single day are there or not."""
    return any(isinstance(part, Windowed) and part.longest > 1 for part in parts)


def _windows(rows: DataFrame, parts: Sequence[Windowed]) -> DataFrame:
    by = parts[0].by
    kinds = {_ASKED: "int"}
    sides: list[tuple[DataFrame, str, dict[str, Column]]] = []
    for number, part in enumerate(parts):
        own = {_name(number, ROWS): F.lit(1)} | {_name(number, n): _finite(c) for n, c in part.means.items()}
        kinds |= dict.fromkeys(own, "double") | {_name(number, ROWS): "int"}
        sides.append((part.rows(), part.day, own))
    if asks := _asks(parts):
        sides.append((rows, PARTITION, {_ASKED: F.lit(1)}))
    # Without the day's own key a window that ends there would be missing, so the asked days are a side of their own.
    union = reduce(
        DataFrame.union,
        (
            side.select(
                *by, _number(day).alias(_DAY), *(own.get(n, F.lit(None)).cast(k).alias(n) for n, k in kinds.items())
            )
            for side, day, own in sides
        ),
    )
    sums = [F.max(_ASKED).alias(_ASKED)]
    sums += [F.count(name).alias(_count(name)) for name in kinds if name != _ASKED]
    sums += [F.sum(name).alias(name) for name, kind in kinds.items() if kind == "double"]
    daily = union.groupBy(*by, _DAY).agg(*sums)
    wanted = [
        (number, name, days)
        for number, part in enumerate(parts)
        for name, days in dict.fromkeys([*part.columns.values(), (ROWS, part.longest)])
    ]
    seen = daily.select(*by, _DAY, _ASKED, *(column for each in wanted for column in _sums(by, *each)))
    means = [
        _mean(number, part.longest, *source).alias(new)
        for number, part in enumerate(parts)
        for new, source in part.columns.items()
    ]
    return (seen.where(F.col(_ASKED) == 1) if asks else seen).select(_date(_DAY), *by, *means)


def _name(part: int, mean: str) -> str:
    return f"__{part}_{mean}"


def _count(name: str) -> str:
    return f"{name}__n"


def _finite(value: Column) -> Column:
    """Leave NaN and infinity out. An engine that slides a sum over days would never get rid of one."""
    number = value.cast("double")
    return F.when(F.abs(number) <= _LARGEST, number)


def _sums(by: Sequence[str], part: int, mean: str, days: int) -> list[Column]:
    """The sum and the count of a window of days, or of the day alone."""
    window = _days_of(by).orderBy(_DAY).rangeBetween(1 - days, 0)
    name = _name(part, mean)
    return [
        (F.sum(column).over(window) if days > 1 else F.col(column)).alias(f"{column}_{days}")
        for column in ([_count(name)] if mean == ROWS else [_count(name), name])
    ]


def _mean(part: int, longest: int, mean: str, days: int) -> Column:
    """A mean, null when its window has no value; or the number of rows, null when the longest window has none."""
    name = _name(part, mean)
    count = F.col(f"{_count(name)}_{days}").cast("double")
    if mean == ROWS:
        return F.when(F.col(f"{_count(name)}_{longest}") > 0, count)
    # Despite when(), greatest() must rule out zero: Spark in ANSI mode may divide first, and raise.
    return F.when(count > 0, F.col(f"{name}_{days}") / F.greatest(count, F.lit(1.0)))


def _newest(part: Latest) -> DataFrame:
    by, days = part.by, part.days
    known = part.rows().select(
        *by,
        _number(part.day).alias(_DAY),
        F.col(part.order_by).alias(_ORDER),
        *(c.alias(n) for n, c in part.columns.items()),
    )
    # By the key alone, so that what follows needs no other shuffle. Combining rows first would gain nothing here.
    known = known.repartition(*by) if by else known.repartition(1)
    each = known.groupBy(*by, _DAY, _ORDER).agg(*(F.max(name).alias(name) for name in part.columns))
    following = F.lead(_DAY).over(_days_of(by).orderBy(_DAY, _ORDER))
    # The last row of its day is the newest until the next day that has one.
    newest = each.withColumn(_NEXT, following).where(F.col(_NEXT).isNull() | (F.col(_NEXT) > F.col(_DAY)))
    first, last = (F.lit((day - _EPOCH).days) for day in (part.asked.start, part.asked.end))
    begin = F.greatest(F.col(_DAY), first)
    end = F.least(F.col(_NEXT) - 1, F.col(_DAY) + (days - 1), last)  # least() leaves nulls out
    until = newest.withColumn(_DAY, F.explode(F.when(begin <= end, F.sequence(begin, end))))
    return until.select(_date(_DAY), *by, *part.columns)


def _days_of(by: Sequence[str]) -> WindowSpec:
    # Engines warn of a window without a key, but here it only has one row a day.
    return Window.partitionBy(*(by or [F.lit(0)]))


def _date(column: str) -> Column:
    return F.date_add(F.lit(_EPOCH), F.col(column)).alias(PARTITION)


def _number(column: str) -> Column:
    """Convert a date to days since 1970, because whole numbers behave the same on every engine."""
    return F.datediff(F.col(column), F.lit(_EPOCH))
