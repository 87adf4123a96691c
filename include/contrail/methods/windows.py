"""Point-in-time joins on Spark DataFrames: what was known of a key at each row's cut-off.

The rows to describe have a ``partition_date``, the day D of their cut-off. A history has ``partition_date`` and
``visible_from``, the first day whose cut-off may use the row. For D the functions use only history with
``visible_from <= D``. One job computes many days, and the result of a day does not depend on the others. The code has only
Column expressions, so it runs over Spark Connect and on Sail. The meaning of a column does not belong here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time

from pyspark.sql import Column, DataFrame, GroupedData
from pyspark.sql import functions as F

from contrail.errors import SpecError
from contrail.partitions import Partitions

PARTITION = "partition_date"
VISIBLE = "visible_from"
_DAY, _KNOWN, _ROWS, _ORDER = "__day", "__known", "__rows", "__order"
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class FeatureWindow:
    """The partitions for which a feature function computes features.

    The function's tables also hold ``lookback_days`` partitions before the first of ``partitions``. ``cutoff`` is the local
    time, in ``timezone``, at which predictions of a partition are made.

    Example:
        >>> window = FeatureWindow(Partitions.parse("2024-03-09", "2024-03-10"), lookback_days=28, timezone="America/New_York")
        >>> days = spark.createDataFrame([(date(2024, 3, 9),), (date(2024, 3, 11),)], "day date")
        >>> days.select("day", window.cutoff_at(F.col("day")).alias("cutoff_utc")).show()
        +----------+-------------------+
        |       day|         cutoff_utc|
        +----------+-------------------+
        |2024-03-09|2024-03-09 05:00:00|
        |2024-03-11|2024-03-11 04:00:00|
        +----------+-------------------+
    """

    partitions: Partitions
    lookback_days: int
    timezone: str
    cutoff: time = time(0)

    def cutoff_at(self, day: Column) -> Column:
        """Return the UTC instant of the cut-off of ``day`` (a date column)."""
        local = F.to_timestamp_ntz(F.concat(F.date_format(day, "yyyy-MM-dd"), F.lit(f" {self.cutoff:%H:%M:%S}")))
        return F.to_utc_timestamp(local, self.timezone)


def asked_rows(entities: DataFrame, window: FeatureWindow) -> DataFrame:
    """Select the entities of the window's partitions that were known at their own cut-off.

    Args:
        entities: Rows with ``partition_date`` and ``visible_from``.
        window: The partitions to compute.

    Returns:
        The rows of ``entities`` that remain, with the same columns.

    Example:
        Parcel 2 was booked a day too late for its own cut-off, and parcel 3 belongs to another day:

        >>> parcels = spark.createDataFrame(
        ...     [
        ...         (date(2024, 3, 10), date(2024, 3, 10), 1),
        ...         (date(2024, 3, 10), date(2024, 3, 11), 2),
        ...         (date(2024, 3, 12), date(2024, 3, 12), 3),
        ...     ],
        ...     "partition_date date, visible_from date, parcel int",
        ... )
        >>> window = FeatureWindow(Partitions.parse("2024-03-10"), lookback_days=7, timezone="UTC")
        >>> asked_rows(parcels, window).select("parcel").show()
        +------+
        |parcel|
        +------+
        |     1|
        +------+
    """
    first, last = F.lit(window.partitions.start), F.lit(window.partitions.end)
    return entities.where(F.col(PARTITION).between(first, last) & (F.col(VISIBLE) <= F.col(PARTITION)))


@dataclass(frozen=True)
class Described:
    """Columns that describe a key on a day. The frame has one row for each ``partition_date`` and key ``by``.

    ``rolling`` and ``latest`` return it, and ``describe`` joins it. Build one yourself for a feature of another kind.

    Example:
        >>> rows = spark.createDataFrame([(date(2024, 3, 10), "A", 0.5)], "partition_date date, depot string, load double")
        >>> Described(rows, by=("depot",)).frame.columns
        ['partition_date', 'depot', 'load']
    """

    frame: DataFrame
    by: tuple[str, ...]


def describe(rows: DataFrame, *parts: Described) -> DataFrame:
    """Add the columns of every part to the rows. They are null where a part has no row for the day and key.

    Args:
        rows: One row for each thing to predict, with ``partition_date`` and the key columns of every part.
        parts: What ``rolling`` and ``latest`` returned, or your own.

    Returns:
        As many rows as ``rows`` has, with the columns of the parts after its own.

    Example:
        >>> parcels = spark.createDataFrame(
        ...     [(date(2024, 3, 10), 1, "A"), (date(2024, 3, 10), 2, "B")], "partition_date date, parcel int, depot string"
        ... )
        >>> load = spark.createDataFrame([(date(2024, 3, 10), "A", 0.5)], "partition_date date, depot string, load double")
        >>> describe(parcels, Described(load, by=("depot",))).select("parcel", "depot", "load").orderBy("parcel").show()
        +------+-----+----+
        |parcel|depot|load|
        +------+-----+----+
        |     1|    A| 0.5|
        |     2|    B|NULL|
        +------+-----+----+
    """
    for part in parts:
        rows = rows.join(part.frame, on=[PARTITION, *part.by], how="left")
    return rows


def rolling(
    history: DataFrame,
    window: FeatureWindow,
    *,
    by: Sequence[str],
    days: Sequence[int],
    means: Mapping[str, Column],
    prefix: str,
) -> Described:
    """Compute means and row counts of the history that became known in the last days, for each day and key.

    A window of w days at D holds the history with ``D - w < visible_from <= D``.

    Args:
        history: Rows with ``partition_date``, ``visible_from`` and the columns ``by``.
        window: The partitions to compute.
        by: Key columns; none for the whole history.
        days: Lengths of the windows, each at most ``window.lookback_days``.
        means: Numeric columns of the history, by name. Nulls count in no mean. Sums of whole numbers are exact, so
            engines and ranges agree to the last bit.
        prefix: Prefix of the new columns.

    Returns:
        Columns ``<prefix>_<name>_<w>d`` (null when the window has no value) and ``<prefix>_rows_<w>d``. A day and key
        whose longest window is empty have no row.

    Raises:
        SpecError: if a window is longer than ``window.lookback_days``.

    Example:
        How late a depot's parcels were, as known at midnight before 10 March. The last row became known on the day itself,
        so no window holds it:

        >>> history = spark.createDataFrame(
        ...     [
        ...         (date(2024, 3, 7), date(2024, 3, 8), "A", 30.0),
        ...         (date(2024, 3, 9), date(2024, 3, 10), "A", 10.0),
        ...         (date(2024, 3, 10), date(2024, 3, 11), "A", 99.0),
        ...     ],
        ...     "partition_date date, visible_from date, depot string, delay double",
        ... )
        >>> window = FeatureWindow(Partitions.parse("2024-03-10"), lookback_days=7, timezone="UTC")
        >>> part = rolling(history, window, by=["depot"], days=[1, 7], means={"delay": F.col("delay")}, prefix="depot")
        >>> part.frame.select("depot_rows_1d", "depot_delay_1d", "depot_rows_7d", "depot_delay_7d").show()
        +-------------+--------------+-------------+--------------+
        |depot_rows_1d|depot_delay_1d|depot_rows_7d|depot_delay_7d|
        +-------------+--------------+-------------+--------------+
        |          1.0|          10.0|          2.0|          20.0|
        +-------------+--------------+-------------+--------------+
    """
    keys = [*by, _DAY]
    sums = {_ROWS: F.lit(1), **{f"__sum_{name}": c for name, c in means.items()}}
    sums |= {f"__n_{name}": c.isNotNull().cast("int") for name, c in means.items()}
    known = timely(history, window, max(days)).select(
        *by, _day(VISIBLE), *(c.cast("double").alias(name) for name, c in sums.items())
    )
    daily = _sum(known.groupBy(*keys), sums).withColumnRenamed(_DAY, _KNOWN)
    seen = daily.withColumn(_DAY, F.explode(_days_seen(window, max(days))))
    within = {
        f"{name}_{w}": F.when(F.col(_DAY) - F.col(_KNOWN) < w, F.col(name)).otherwise(0.0)
        for w in days
        for name in sums
    }
    totals = _sum(seen.select(*keys, *(c.alias(name) for name, c in within.items())).groupBy(*keys), within)
    wanted = [column for w in days for column in _window_columns(w, list(means), prefix)]
    return Described(totals.select(_date(_DAY), *by, *wanted), tuple(by))


def _sum(groups: GroupedData, names: Iterable[str]) -> DataFrame:
    return groups.agg(*(F.sum(name).alias(name) for name in names))


def _window_columns(days: int, names: Sequence[str], prefix: str) -> list[Column]:
    def mean(name: str) -> Column:
        count = F.col(f"__n_{name}_{days}")
        # Despite when(), greatest() must rule out zero: Spark in ANSI mode may divide first, and raise.
        value = F.col(f"__sum_{name}_{days}") / F.greatest(count, F.lit(1.0))
        return F.when(count > 0, value).alias(f"{prefix}_{name}_{days}d")

    return [F.col(f"{_ROWS}_{days}").alias(f"{prefix}_rows_{days}d"), *(mean(name) for name in names)]


def latest(
    history: DataFrame,
    window: FeatureWindow,
    *,
    by: Sequence[str],
    columns: Mapping[str, Column],
    order_by: str,
    days: int,
) -> Described:
    """Take columns from each key's newest row: the row of the last days that became known last.

    Args:
        history: Rows with ``partition_date``, ``visible_from`` and the columns ``by``.
        window: The partitions to compute.
        by: Key columns.
        columns: Columns of the history, by their new names.
        order_by: Column that orders rows with the same ``visible_from``. Of equal rows, each column takes its largest
            value.
        days: How old the row's ``visible_from`` may be, at most ``window.lookback_days``.

    Returns:
        The columns. A day and key without history have no row.

    Raises:
        SpecError: if ``days`` is more than ``window.lookback_days``.

    Example:
        The newest temperature of each place that was known at midnight before 10 March:

        >>> weather = spark.createDataFrame(
        ...     [
        ...         (date(2024, 3, 8), date(2024, 3, 9), "JFK", 14, 7.0),
        ...         (date(2024, 3, 9), date(2024, 3, 10), "JFK", 21, 4.0),
        ...         (date(2024, 3, 9), date(2024, 3, 10), "JFK", 23, 3.0),
        ...     ],
        ...     "partition_date date, visible_from date, origin string, hour int, temp double",
        ... )
        >>> window = FeatureWindow(Partitions.parse("2024-03-10"), lookback_days=7, timezone="UTC")
        >>> last = latest(weather, window, by=["origin"], columns={"last_temp": F.col("temp")}, order_by="hour", days=2)
        >>> last.frame.show()
        +--------------+------+---------+
        |partition_date|origin|last_temp|
        +--------------+------+---------+
        |    2024-03-10|   JFK|      3.0|
        +--------------+------+---------+
    """
    known = timely(history, window, days).select(
        *by, _day(VISIBLE).alias(_KNOWN), F.col(order_by).alias(_ORDER), *(c.alias(n) for n, c in columns.items())
    )
    # Plain columns in max(), and joins, because max(struct) takes Sail 15 times longer.
    one_each = known.groupBy(*by, _KNOWN, _ORDER).agg(*(F.max(name).alias(name) for name in columns))
    last_of_day = known.groupBy(*by, _KNOWN).agg(F.max(_ORDER).alias(_ORDER))
    seen = last_of_day.select(*by, _KNOWN, F.explode(_days_seen(window, days)).alias(_DAY))
    newest = seen.groupBy(*by, _DAY).agg(F.max(_KNOWN).alias(_KNOWN))
    found = newest.join(last_of_day, on=[*by, _KNOWN]).join(one_each, on=[*by, _KNOWN, _ORDER])
    return Described(found.select(_date(_DAY), *by, *columns), tuple(by))


def _days_seen(window: FeatureWindow, days: int) -> Column:
    """Return the window's partitions that see a row known from ``_KNOWN`` on, when they look ``days`` days back."""
    first, last = (F.lit((day - _EPOCH).days) for day in (window.partitions.start, window.partitions.end))
    begin, end = F.greatest(F.col(_KNOWN), first), F.least(F.col(_KNOWN) + (days - 1), last)
    return F.when(begin <= end, F.sequence(begin, end))


def _date(column: str) -> Column:
    return F.date_add(F.lit(_EPOCH), F.col(column)).alias(PARTITION)


def _day(column: str) -> Column:
    """Convert a date to days since 1970, because whole numbers behave the same on every engine."""
    return F.datediff(F.col(column), F.lit(_EPOCH)).alias(_DAY)


def timely(history: DataFrame, window: FeatureWindow, days: int) -> DataFrame:
    """Leave out rows that became known so late that a run for one day would not read them.

    A long range reads more partitions than a single day, so without this it would also see more. ``rolling`` and ``latest``
    do this themselves. Call it for features that you compute without them.

    Args:
        history: Rows with ``partition_date`` and ``visible_from``.
        window: The partitions to compute.
        days: Length of the window that the rows are for.

    Raises:
        SpecError: if the window is longer than ``window.lookback_days``.

    Example:
        A window of 7 days in a look-back of 7 takes only rows that became known at most a day after their partition:

        >>> history = spark.createDataFrame(
        ...     [(date(2024, 3, 5), date(2024, 3, 6), 1), (date(2024, 3, 5), date(2024, 3, 9), 2)],
        ...     "partition_date date, visible_from date, row int",
        ... )
        >>> window = FeatureWindow(Partitions.parse("2024-03-10"), lookback_days=7, timezone="UTC")
        >>> [found.row for found in timely(history, window, days=7).collect()]
        [1]
    """
    if days > window.lookback_days:
        raise SpecError(f"a window of {days} days needs features.lookback_days >= {days}; it is {window.lookback_days}")
    return history.where(F.datediff(F.col(VISIBLE), F.col(PARTITION)) <= window.lookback_days - days + 1)
