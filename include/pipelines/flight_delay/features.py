"""Features of each flight of a day, from what was known at midnight in New York before the day began.

Each group of features is a function of its own. All outcomes that they see became known before the cut-off of the
day that they describe: see ``contrail.methods.windows``. ``pipeline.yaml`` says what each column means.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from contrail.api import Described, FeatureWindow, Part, asked_rows, describe, latest, of_day, rolling, timely

_KEY = ["flight_date", "carrier", "flight", "origin"]
_FLIGHT = ["carrier", "flight", "origin"]
_LONG = 28  # days of the slow rates; 56 days gave no more (log loss of August .5228, 28 days .5217)
_LAST_FLIGHT = 14  # days in which a flight number must have flown for its aircraft and delay to be used
# An outcome is known on its flight's date or a day later. The history leaves out one that comes later still. A day's
# run reads the schedule only lookback_days back, and must see the same outcomes as a long range.
_LATEST_OUTCOME = 3
_EVENING = 17 * 60  # minutes after midnight
# Temperature and dew point are left out. They tell the season, and a model of January to August must not learn one
# (log loss of August .513 without them, .517 with them).
_WEATHER = ["humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]


def build(tables: dict[str, DataFrame], window: FeatureWindow) -> DataFrame:
    """One row for each flight of the window's partitions, with the columns of ``features.columns``."""
    flights = with_clock(tables["schedule"])
    outcomes = with_delay(timely(tables["outcomes"], window, _LONG))
    rows = asked_rows(flights, window)
    described = describe(
        rows,
        *volumes(rows),
        *past_delays(outcomes, flights, window),
        *yesterday(outcomes, flights, window),
        last_weather(tables["weather"], window),
        last_flight(outcomes, window),
    )
    return with_aircraft(described, tables["planes"])


def with_clock(schedule: DataFrame) -> DataFrame:
    """The schedule with local clock times as numbers, from HHMM."""
    departure, arrival = F.col("sched_dep_time"), F.col("sched_arr_time")
    minutes = (F.unix_timestamp("sched_arr_at") - F.unix_timestamp("sched_dep_at")) / 60
    return schedule.withColumns(
        {
            "sched_hour": F.floor(departure / 100).cast("double"),
            "sched_minutes": (F.floor(departure / 100) * 60 + departure % 100).cast("double"),
            "half_hour": F.floor(departure / 100) * 2 + F.floor(departure % 100 / 30),
            "arrival_hour": F.floor(arrival / 100).cast("double"),
            "sched_duration": minutes,
            "sched_speed": F.col("distance") / F.greatest(minutes, F.lit(1.0)),
            "day_of_week": F.dayofweek("flight_date").cast("double"),
        }
    )


def volumes(rows: DataFrame) -> list[Part]:
    """How busy the published schedule makes the airports and the hour."""
    by = ("origin", "half_hour")
    slots = rows.groupBy("partition_date", *by).agg(F.count(F.lit(1)).cast("double").alias("flights"))
    # A slot counts for the slots up to three hours later, and for the one before it.
    reached = slots.select(
        "partition_date", "origin", "flights", "half_hour", F.explode(F.array(*map(F.lit, range(-1, 7)))).alias("later")
    ).withColumn("half_hour", F.col("half_hour") + F.col("later"))
    later = F.col("later")
    near = reached.groupBy("partition_date", *by).agg(
        F.sum(F.when(later.between(-1, 1), F.col("flights"))).alias("departures_near"),
        F.sum(F.when(later >= 0, F.col("flights"))).alias("departures_before_3h"),
    )
    return [
        of_day(rows, by=["origin"], count="flights", prefix="origin"),
        of_day(rows, by=["origin", "sched_hour"], count="flights", prefix="origin_hour"),
        of_day(rows, by=["carrier", "origin"], count="flights", prefix="carrier_origin"),
        of_day(rows, by=["dest", "arrival_hour"], count="flights", prefix="dest_hour"),
        Described(near, by),
    ]


def with_delay(outcomes: DataFrame) -> DataFrame:
    """Outcomes with ``late`` (0 or 1) and ``delay``: minutes, held to -30..180 so that one flight cannot rule a mean."""
    delay = F.least(F.greatest(F.col("arr_delay"), F.lit(-30)), F.lit(180))
    return outcomes.withColumns({"late": (F.col("arr_delay") > 15).cast("double"), "delay": delay.cast("double")})


def past_delays(outcomes: DataFrame, flights: DataFrame, window: FeatureWindow) -> list[Part]:
    """Late rates and mean delays of the last four weeks and of the last day."""
    in_time = F.datediff("visible_from", "flight_date") <= _LATEST_OUTCOME
    known = outcomes.where(in_time).join(flights.select(*_KEY, "dest", "sched_hour"), on=_KEY)
    known = known.select("partition_date", "visible_from", *_FLIGHT, "dest", "sched_hour", "late", "delay")
    means = {"late": F.col("late"), "delay": F.col("delay")}
    wanted: dict[str, tuple[list[str], list[int]]] = {
        "flight": (_FLIGHT, [_LONG]),
        "origin_hour": (["origin", "sched_hour"], [_LONG]),
        "carrier_origin": (["carrier", "origin"], [_LONG]),
        "carrier": (["carrier"], [1, _LONG]),
        "origin": (["origin"], [1, _LONG]),
        "dest": (["dest"], [1, _LONG]),
        "all": ([], [1]),
    }
    return [rolling(known, window, by=by, days=days, means=means, prefix=name) for name, (by, days) in wanted.items()]


def yesterday(outcomes: DataFrame, flights: DataFrame, window: FeatureWindow) -> list[Part]:
    """The state of the day before at the cut-off: flights due but without an outcome, and the evening's delays."""
    # Keep what was known at the midnight after the flight's date. A later row must not even reach the join.
    known = outcomes.where(F.datediff("visible_from", "flight_date") <= 1).select(*_KEY, "delay")
    due = flights.where(F.col("visible_from") <= F.date_add("partition_date", 1)).select(
        *_KEY, "dest", "sched_minutes", "sched_arr_at", F.date_add("partition_date", 1).alias("partition_date")
    )
    due = due.where(F.col("sched_arr_at") < window.cutoff_at(F.col("partition_date"))).join(known, on=_KEY, how="left")
    evening = F.col("sched_minutes") >= _EVENING
    open_ = F.col("delay").isNull().cast("double")
    due = due.select("partition_date", *_FLIGHT, "dest", "delay", open_.alias("open"), evening.alias("evening"))
    all_three = {
        "open_share": F.col("open"),
        "evening_open_share": F.when(F.col("evening"), F.col("open")),
        "evening_delay": F.when(F.col("evening"), F.col("delay")),
    }
    wanted: dict[str, tuple[list[str], list[str]]] = {
        "all": ([], list(all_three)),
        "origin": (["origin"], list(all_three)),
        "carrier": (["carrier"], list(all_three)),
        "carrier_origin": (["carrier", "origin"], ["open_share", "evening_delay"]),
        "dest": (["dest"], ["open_share"]),
    }
    return [
        of_day(due, by=by, means={name: all_three[name] for name in names}, prefix=prefix)
        for prefix, (by, names) in wanted.items()
    ]


def last_weather(weather: DataFrame, window: FeatureWindow) -> Part:
    """The last observation at the origin before the cut-off, not older than two days."""
    columns = {f"weather_{name}": F.col(name).cast("double") for name in _WEATHER}
    return latest(weather, window, by=["origin"], columns=columns, order_by="observed_at", days=2)


def last_flight(outcomes: DataFrame, window: FeatureWindow) -> Part:
    """The last delay of the flight number, and the aircraft that flew it then (today's is not known yet)."""
    columns = {"tailnum": F.col("tailnum"), "last_delay": F.col("delay")}
    return latest(outcomes, window, by=_FLIGHT, columns=columns, order_by="landed_at", days=_LAST_FLIGHT)


def with_aircraft(described: DataFrame, planes: DataFrame) -> DataFrame:
    """The rows with the seats and the age of the aircraft that flew last."""
    aircraft = planes.select("tailnum", F.col("seats").cast("double").alias("aircraft_seats"), "built_year")
    age = F.year("partition_date") - F.col("built_year")
    return described.join(aircraft, on="tailnum", how="left").withColumn("aircraft_age", age.cast("double"))
