"""Point-in-time joins on Spark DataFrames: what was known of a key at each row's cut-off.

The rows to describe have a ``partition_date``, the day D of their cut-off. A history has ``partition_date`` and
``visible_from``, the first day whose cut-off may use the row. For D the functions use only history with
``visible_from <= D``. One job computes many days, and the result of a day does not depend on the others.

``rolling``, ``of_day`` and ``latest`` only say what is wanted. ``describe`` computes it, all of one key together: see
``grains``. The meaning of a column does not belong here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from contrail.errors import SpecError
from contrail.methods import grains
from contrail.methods.feature_groups import Group, watcher
from contrail.methods.grains import ROWS, Latest, Part, Windowed
from contrail.partitions import Partitions

PARTITION = grains.PARTITION
VISIBLE = "visible_from"


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
class Described(Part):
    """Columns that describe a key on a day. The frame has one row for each ``partition_date`` and key ``by``.

    ``describe`` joins it as it is. Build one for a feature that ``rolling``, ``of_day`` and ``latest`` do not make.

    Example:
        >>> rows = spark.createDataFrame([(date(2024, 3, 10), "A", 0.5)], "partition_date date, depot string, load double")
        >>> Described(rows, by=("depot",)).frame.columns
        ['partition_date', 'depot', 'load']
    """

    frame: DataFrame
    by: tuple[str, ...]


def describe(rows: DataFrame, *parts: Part) -> DataFrame:
    """Add the columns of every part to the rows. They are null where a part has no row for the day and key.

    Args:
        rows: One row for each thing to predict, with ``partition_date`` and the key columns of every part.
        parts: What ``rolling``, ``of_day`` and ``latest`` returned, or your own. Those of the same key are computed
            together.

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
    planned = [part for part in parts if isinstance(part, grains.Planned)]
    grains.keep_shared(rows, planned)
    found = rows
    for by in dict.fromkeys(part.by for part in parts):
        own = [part for part in planned if part.by == by]
        given = [part.frame for part in parts if isinstance(part, Described) and part.by == by]
        frames = [*grains.described(rows, own), *given]
        for frame in _left(by, own, frames) if watcher() else frames:
            found = found.join(frame, on=[PARTITION, *by], how="left")
    return found


def _left(by: tuple[str, ...], parts: Sequence[grains.Planned], frames: Sequence[DataFrame]) -> list[DataFrame]:
    """The frames of a key, where somebody asks what groups of columns cost: without the rows of those to be left out."""
    columns = [*grains.columns_together(parts)]
    columns += [
        tuple(name for name in frame.columns if name not in (PARTITION, *by)) for frame in frames[len(columns) :]
    ]
    asked = watcher()
    return [
        # An engine sees that no row can be left, and computes nothing.
        frame.where(F.lit(False)) if asked and asked.leaves_out(Group(by, own)) else frame
        for own, frame in zip(columns, frames, strict=True)
    ]


def rolling(
    history: DataFrame,
    window: FeatureWindow,
    *,
    by: Sequence[str],
    days: Sequence[int],
    means: Mapping[str, Column],
    prefix: str,
) -> Part:
    """Compute means and row counts of the history that became known in the last days, for each day and key.

    A window of w days at D holds the history with ``D - w < visible_from <= D``.

    Args:
        history: Rows with ``partition_date``, ``visible_from`` and the columns ``by``.
        window: The partitions to compute.
        by: Key columns; none for the whole history.
        days: Lengths of the windows, each at most ``window.lookback_days``.
        means: Numeric columns of the history, by name. Nulls, NaN and infinities count in no mean. Sums of whole
            numbers are exact, so engines and ranges agree to the last bit.
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
        >>> parcels = spark.createDataFrame([(date(2024, 3, 10), "A")], "partition_date date, depot string")
        >>> columns = ["depot_rows_1d", "depot_delay_1d", "depot_rows_7d", "depot_delay_7d"]
        >>> describe(parcels, part).select(*columns).show()
        +-------------+--------------+-------------+--------------+
        |depot_rows_1d|depot_delay_1d|depot_rows_7d|depot_delay_7d|
        +-------------+--------------+-------------+--------------+
        |          1.0|          10.0|          2.0|          20.0|
        +-------------+--------------+-------------+--------------+
    """
    columns = {f"{prefix}_rows_{w}d": (ROWS, w) for w in days}
    columns |= {f"{prefix}_{name}_{w}d": (name, w) for name in means for w in days}
    return Windowed(history, tuple(by), VISIBLE, _late(window, max(days)), means, columns)


def of_day(
    rows: DataFrame,
    *,
    by: Sequence[str],
    means: Mapping[str, Column] | None = None,
    count: str = "",
    prefix: str,
) -> Part:
    """Compute means and the number of the rows of each day and key: those with its ``partition_date``.

    Args:
        rows: Rows with ``partition_date`` and the columns ``by``. All must have been known at the cut-off of their
            partition, as those of ``asked_rows`` were.
        by: Key columns; none for the whole day.
        means: Numeric columns of the rows, by name, as in ``rolling``.
        count: Name of the number of rows; without one it is left out.
        prefix: Prefix of the new columns.

    Returns:
        Columns ``<prefix>_<name>`` and ``<prefix>_<count>``. A day and key without rows have none.

    Example:
        >>> parcels = spark.createDataFrame(
        ...     [(date(2024, 3, 10), "A", 2.0), (date(2024, 3, 10), "A", 4.0)],
        ...     "partition_date date, depot string, weight double",
        ... )
        >>> part = of_day(parcels, by=["depot"], means={"weight": F.col("weight")}, count="parcels", prefix="depot")
        >>> describe(parcels.select("partition_date", "depot").distinct(), part).show()
        +--------------+-----+-------------+------------+
        |partition_date|depot|depot_parcels|depot_weight|
        +--------------+-----+-------------+------------+
        |    2024-03-10|    A|          2.0|         3.0|
        +--------------+-----+-------------+------------+
    """
    wanted = means or {}
    columns = {f"{prefix}_{count}": (ROWS, 1)} if count else {}
    columns |= {f"{prefix}_{name}": (name, 1) for name in wanted}
    return Windowed(rows, tuple(by), PARTITION, 0, wanted, columns)


def latest(
    history: DataFrame,
    window: FeatureWindow,
    *,
    by: Sequence[str],
    columns: Mapping[str, Column],
    order_by: str,
    days: int,
) -> Part:
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
        >>> flights = spark.createDataFrame([(date(2024, 3, 10), "JFK")], "partition_date date, origin string")
        >>> describe(flights, last).show()
        +--------------+------+---------+
        |partition_date|origin|last_temp|
        +--------------+------+---------+
        |    2024-03-10|   JFK|      3.0|
        +--------------+------+---------+
    """
    return Latest(history, tuple(by), VISIBLE, _late(window, days), window.partitions, columns, order_by, days)


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
    return grains.timely_rows(history, VISIBLE, _late(window, days))


def _late(window: FeatureWindow, days: int) -> int:
    """Days after its partition until which a row may become known, so that a run for one day reads it."""
    if days > window.lookback_days:
        raise SpecError(f"a window of {days} days needs features.lookback_days >= {days}; it is {window.lookback_days}")
    return window.lookback_days - days + 1
