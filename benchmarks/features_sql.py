"""The features of flight_delay written by hand in DuckDB SQL: the yardstick for the engines in ``features``.

It computes the columns of ``include/pipelines/flight_delay/features.py`` in another way: by range joins of daily sums.
Where the two disagree, one of them is wrong.
"""

import duckdb

_LOOKBACK, _LONG, _LAST_FLIGHT, _LATEST_OUTCOME = 30, 28, 14, 3
_KEY = "flight_date, carrier, flight, origin"
_WEATHER = ("humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")
_ROLLING = {
    "flight": ("carrier, flight, origin", (_LONG,)),
    "origin_hour": ("origin, sched_hour", (_LONG,)),
    "carrier_origin": ("carrier, origin", (_LONG,)),
    "carrier": ("carrier", (1, _LONG)),
    "origin": ("origin", (1, _LONG)),
    "dest": ("dest", (1, _LONG)),
    "all": ("", (1,)),
}
_YESTERDAY = {
    "all": "",
    "origin": "origin",
    "carrier": "carrier",
    "carrier_origin": "carrier, origin",
    "dest": "dest",
}

_BASE = f"""
CREATE VIEW flights AS
SELECT *, floor(sched_dep_time / 100) AS sched_hour,
       floor(sched_dep_time / 100) * 60 + sched_dep_time % 100 AS sched_minutes,
       floor(sched_dep_time / 100) * 2 + floor(sched_dep_time % 100 / 30) AS half_hour,
       floor(sched_arr_time / 100) AS arrival_hour,
       epoch(sched_arr_at - sched_dep_at) / 60 AS sched_duration,
       distance / greatest(epoch(sched_arr_at - sched_dep_at) / 60, 1) AS sched_speed,
       (dayofweek(flight_date) + 1)::DOUBLE AS day_of_week
FROM schedule;
CREATE VIEW delays AS
SELECT *, (arr_delay > 15)::INT::DOUBLE AS late, least(greatest(arr_delay, -30), 180)::DOUBLE AS delay
FROM outcomes WHERE visible_from - partition_date <= {_LOOKBACK - _LONG + 1};
CREATE TABLE asked AS
SELECT * FROM flights WHERE partition_date BETWEEN getvariable('first') AND getvariable('last')
    AND visible_from <= partition_date;
CREATE TABLE days AS SELECT DISTINCT partition_date FROM asked;
CREATE TABLE known AS
SELECT late, delay, visible_from, dest, sched_hour, {_KEY}
FROM delays JOIN (SELECT {_KEY}, dest, sched_hour FROM flights) USING ({_KEY})
WHERE visible_from - flight_date <= {_LATEST_OUTCOME};
CREATE TABLE slots AS
SELECT partition_date, origin, half_hour + later AS half_hour,
       sum(flights) FILTER (later BETWEEN -1 AND 1) AS departures_near,
       sum(flights) FILTER (later >= 0) AS departures_before_3h
FROM (SELECT partition_date, origin, half_hour, count(*) AS flights FROM asked GROUP BY ALL),
     (SELECT unnest(range(-1, 7)) AS later)
GROUP BY ALL;
CREATE TABLE due AS
SELECT f.carrier, f.origin, f.dest, f.sched_minutes >= 17 * 60 AS evening, d.delay,
       f.partition_date + 1 AS partition_date
FROM flights f
LEFT JOIN (SELECT {_KEY}, delay FROM delays WHERE visible_from - flight_date <= 1) d USING ({_KEY})
WHERE f.visible_from <= f.partition_date + 1
  AND f.sched_arr_at < timezone('America/New_York', (f.partition_date + 1)::TIMESTAMP);
"""


def _count(name: str, by: str) -> str:
    return f"CREATE TABLE {name} AS SELECT partition_date, {by}, count(*) AS {name} FROM asked GROUP BY ALL;"


def _rolling(name: str, by: str, lengths: tuple[int, ...]) -> str:
    keys = f"{by}, " if by else ""
    sums = ", ".join(
        f"sum({c}) FILTER (visible_from > partition_date - {w}) / "
        f"nullif(sum(n_{c}) FILTER (visible_from > partition_date - {w}), 0) AS {name}_{c}_{w}d"
        for w in lengths
        for c in ("late", "delay")
    )
    return (
        f"CREATE TABLE {name}_past AS WITH daily AS (SELECT {keys} visible_from, sum(late) AS late, sum(delay) AS delay, "
        f"count(late) AS n_late, count(delay) AS n_delay FROM known GROUP BY ALL) "
        f"SELECT {keys} partition_date, {sums} FROM daily JOIN days ON visible_from <= partition_date "
        f"AND visible_from > partition_date - {max(lengths)} GROUP BY ALL;"
    )


def _yesterday(name: str, by: str) -> str:
    keys = f"{by}, " if by else ""
    return (
        f"CREATE TABLE {name}_yesterday AS SELECT {keys} partition_date, "
        f"avg((delay IS NULL)::INT) AS {name}_open_share, "
        f"avg((delay IS NULL)::INT) FILTER (evening) AS {name}_evening_open_share, "
        f"avg(delay) FILTER (evening) AS {name}_evening_delay FROM due GROUP BY ALL;"
    )


def _latest(name: str, source: str, by: str, columns: dict[str, str], order_by: str, length: int) -> str:
    chosen = ", ".join(f"max({column}) AS {new}" for new, column in columns.items())
    return (
        f"CREATE TABLE {name} AS WITH each AS (SELECT {by}, visible_from, {order_by}, {chosen} FROM {source} "
        f"WHERE visible_from - partition_date <= {_LOOKBACK - length + 1} GROUP BY ALL), "
        f"ends AS (SELECT * FROM each "
        f"QUALIFY row_number() OVER (PARTITION BY {by}, visible_from ORDER BY {order_by} DESC) = 1) "
        f"SELECT {by}, partition_date, {', '.join(columns)} FROM ends JOIN days ON visible_from <= partition_date "
        f"AND visible_from > partition_date - {length} "
        f"QUALIFY row_number() OVER (PARTITION BY {by}, partition_date ORDER BY visible_from DESC) = 1;"
    )


def build(connection: duckdb.DuckDBPyConnection, first: str, last: str, columns: list[str]) -> duckdb.DuckDBPyRelation:
    """One row a flight of the days from ``first`` to ``last``, from the views schedule, outcomes, weather and planes."""
    connection.execute(f"SET VARIABLE first = DATE '{first}'; SET VARIABLE last = DATE '{last}'")
    connection.execute(_BASE)
    counts = {
        "origin_flights": "origin",
        "origin_hour_flights": "origin, sched_hour",
        "carrier_origin_flights": "carrier, origin",
        "dest_hour_flights": "dest, arrival_hour",
    }
    weather = {f"weather_{name}": name for name in _WEATHER}
    for name, by in counts.items():
        connection.execute(_count(name, by))
    for name, (by, lengths) in _ROLLING.items():
        connection.execute(_rolling(name, by, lengths))
    for name, by in _YESTERDAY.items():
        connection.execute(_yesterday(name, by))
    connection.execute(_latest("last_weather", "weather", "origin", weather, "observed_at", 2))
    last_one = {"tailnum": "tailnum", "last_delay": "delay"}
    connection.execute(_latest("last_flight", "delays", "carrier, flight, origin", last_one, "landed_at", _LAST_FLIGHT))
    joined = [*counts.items(), ("slots", "origin, half_hour")]
    joined += [(f"{name}_past", by) for name, (by, _) in _ROLLING.items()]
    joined += [(f"{name}_yesterday", by) for name, by in _YESTERDAY.items()]
    joined += [("last_weather", "origin"), ("last_flight", "carrier, flight, origin")]
    joins = " ".join(f"LEFT JOIN {name} USING (partition_date{', ' + by if by else ''})" for name, by in joined)
    return connection.sql(
        f"SELECT partition_date, flight_date, flight, {', '.join(columns)} FROM ("
        "SELECT *, p.seats::DOUBLE AS aircraft_seats, year(partition_date) - p.built_year AS aircraft_age "
        f"FROM asked {joins} LEFT JOIN (SELECT tailnum, seats, built_year FROM planes) p USING (tailnum))"
    )
