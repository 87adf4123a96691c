"""Features of each hour of a day, from what was counted and observed before the day began."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from contrail.api import FeatureWindow, asked_rows, describe, rolling

_KEY = ["ride_date", "hour"]
_CALENDAR = ["day_of_week", "is_weekend", "is_holiday", "month"]
_MEASURES = ["temp_min", "temp_max", "precipitation"]
_RIDES = [
    *(f"hour_rides_{days}d" for days in (1, 7, 28)),
    *(f"weekly_rides_{days}d" for days in (7, 28)),
    "day_type_rides_7d",
    *(f"all_rides_{days}d" for days in (1, 7)),
]
_WEATHER = [
    *(f"weather_{name}_1d" for name in _MEASURES),
    *(f"weather_{name}_7d" for name in ("temp_max", "precipitation")),
]


def build(tables: dict[str, DataFrame], window: FeatureWindow) -> DataFrame:
    """One row for each hour of the window's partitions.

    A window ends with what was known at the cut-off. The count from 23:00 is known only when the next day has begun,
    so it enters a day later than those of the other hours.
    """
    hours = with_calendar(tables["hours"])
    counts = tables["counts"].join(hours.select(*_KEY, "day_of_week", "is_day_off"), on=_KEY, how="left")
    rides = {"rides": F.col("rides")}
    # Count in tenths, as they were measured. Sums of whole numbers do not depend on their order.
    weather = {name: F.round(F.col(name) * 10) for name in _MEASURES}
    rows = asked_rows(hours, window)
    described = describe(
        rows,
        rolling(counts, window, by=["hour"], days=[1, 7, 28], means=rides, prefix="hour"),
        rolling(counts, window, by=["hour", "day_of_week"], days=[7, 28], means=rides, prefix="weekly"),
        rolling(counts, window, by=["hour", "is_day_off"], days=[7], means=rides, prefix="day_type"),
        rolling(counts, window, by=[], days=[1, 7], means=rides, prefix="all"),
        rolling(tables["weather"], window, by=[], days=[1, 7], means=weather, prefix="weather"),
    )
    tenths = [(F.col(name) / 10).alias(name) for name in _WEATHER]
    return described.select("partition_date", *_KEY, *_CALENDAR, *_RIDES, *tenths)


def with_calendar(hours: DataFrame) -> DataFrame:
    """The hours with the calendar of their date, as numbers; a day off is a weekend day or a holiday."""
    # Spark counts the days of the week from Sunday (1); here Monday is 1.
    day_of_week = (F.dayofweek("ride_date") + 5) % 7 + 1
    weekend, holiday = (day_of_week >= 6).cast("int"), F.col("is_holiday").cast("int")
    return hours.select(
        *(name for name in hours.columns if name != "is_holiday"),
        day_of_week.cast("double").alias("day_of_week"),
        weekend.cast("double").alias("is_weekend"),
        holiday.cast("double").alias("is_holiday"),
        F.greatest(weekend, holiday).alias("is_day_off"),
        F.month("ride_date").cast("double").alias("month"),
    )
