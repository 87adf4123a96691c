from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from contrail.adapters.engine import spark_session
from contrail.api import FeatureWindow
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import EngineSettings
from contrail.partitions import Partitions

ZONE = "America/New_York"
FIRST, DAYS = date(2019, 1, 28), 62  # over the change of clock on 10 March 2019
ASKED = Partitions(date(2019, 3, 8), date(2019, 3, 12))

Tables = dict[str, pd.DataFrame]


def _partitioned(rows: pd.DataFrame, known_at: str, by: str | None = None) -> pd.DataFrame:
    """As validate leaves it: the partition, and the first day whose cut-off lies after ``known_at``."""
    local = rows[known_at].dt.tz_convert(ZONE).dt.tz_localize(None)
    day = rows[by] if by else local.dt.normalize()
    return rows.assign(partition_date=day.dt.date, visible_from=(local.dt.normalize() + pd.Timedelta(days=1)).dt.date)


def source_tables() -> Tables:
    clock = pd.Series(pd.date_range(FIRST, periods=DAYS * 24 + 1, freq="h"))
    rng = np.random.default_rng(0)
    days = np.repeat(rng.normal(size=DAYS + 1).round(1), 24)[: len(clock)]
    source = pd.DataFrame({"date": clock.dt.strftime("%Y-%m-%d"), "ts": clock, "count": rng.poisson(100, len(clock))})
    source = source.assign(tmin=days, tmax=(days + 5).round(1), pn=np.abs(days))
    module = load_pipeline("bike_demand").module("source")
    hours = module.hours(source)
    weather = module.weather(hours)
    return {
        "hours": _partitioned(hours[["ride_date", "hour", "is_holiday", "published_at"]], "published_at", "ride_date"),
        "counts": _partitioned(hours[["ride_date", "hour", "rides", "counted_at"]], "counted_at"),
        "weather": _partitioned(weather, "observed_at"),
    }


@pytest.fixture
def tables(home: object) -> Tables:
    return source_tables()


@pytest.fixture
def build(home: object) -> Callable[..., pd.DataFrame]:
    session = spark_session(EngineSettings())
    pipeline = load_pipeline("bike_demand")

    def call(tables: Tables, partitions: Partitions = ASKED) -> pd.DataFrame:
        lookback = pipeline.spec.features.lookback_days
        read = set(partitions.reaching_back(lookback))
        frames = {
            name: session.createDataFrame(rows[rows["partition_date"].isin(read)]) for name, rows in tables.items()
        }
        window = FeatureWindow(partitions, lookback, ZONE)
        found = pipeline.function("features", "build")(frames, window).toPandas()
        return found.sort_values(["partition_date", "hour"]).reset_index(drop=True)

    return call


def row(found: pd.DataFrame, day: date, hour: int) -> pd.Series:
    return found[(found["partition_date"] == day) & (found["hour"] == hour)].iloc[0]


def test_columns_are_those_of_the_spec(build: Callable[..., pd.DataFrame], tables: Tables) -> None:
    spec = load_pipeline("bike_demand").spec
    found = build(tables)
    assert set(found.columns) == {"partition_date", *spec.key, *spec.features.columns}
    assert len(found) == 24 * 5 - 1, "one row an hour; 10 March has 23"
    empty = found[found.isna().any(axis=1)]
    assert empty[["partition_date", "hour"]].values.tolist() == [[date(2019, 3, 11), 2]], "no 02:00 on 10 March"
    assert empty.columns[empty.isna().any()].tolist() == ["hour_rides_1d"]


def test_values_of_an_hour(build: Callable[..., pd.DataFrame], tables: Tables) -> None:
    day = date(2019, 3, 8)  # a Friday
    found = row(build(tables), day, 9)
    rides = tables["counts"].assign(day=tables["counts"]["ride_date"].dt.date).set_index(["day", "hour"])["rides"]

    def at(back: int, hour: int = 9) -> int:
        return int(rides[day - timedelta(days=back), hour])

    working = [back for back in range(1, 8) if (day - timedelta(days=back)).weekday() < 5]
    visible = [at(1, hour) for hour in range(23)] + [at(2, 23)]
    expected = {
        "day_of_week": 5,
        "is_weekend": 0,
        "month": 3,
        "hour_rides_1d": at(1),
        "hour_rides_7d": np.mean([at(back) for back in range(1, 8)]),
        "hour_rides_28d": np.mean([at(back) for back in range(1, 29)]),
        "weekly_rides_7d": at(7),
        "weekly_rides_28d": np.mean([at(back) for back in (7, 14, 21, 28)]),
        "day_type_rides_7d": np.mean([at(back) for back in working]),
        "all_rides_1d": np.mean(visible),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    yesterday = tables["weather"].set_index("partition_date").loc[day - timedelta(days=1)]
    assert found["weather_temp_max_1d"] == pytest.approx(yesterday["temp_max"])
    assert found["weather_precipitation_1d"] == pytest.approx(yesterday["precipitation"])


def test_the_last_hour_of_yesterday_is_not_known_at_midnight(
    build: Callable[..., pd.DataFrame], tables: Tables
) -> None:
    day = date(2019, 3, 8)
    rides = tables["counts"].assign(day=tables["counts"]["ride_date"].dt.date).set_index(["day", "hour"])["rides"]
    assert row(build(tables), day, 23)["hour_rides_1d"] == rides[day - timedelta(days=2), 23]


def test_what_is_known_later_changes_nothing(build: Callable[..., pd.DataFrame], tables: Tables) -> None:
    day = date(2019, 3, 9)
    planted = {name: table.copy() for name, table in tables.items()}
    planted["counts"].loc[planted["counts"]["visible_from"] > day, "rides"] = 1_000_000
    planted["weather"].loc[planted["weather"]["visible_from"] > day, ["temp_min", "temp_max", "precipitation"]] = 1e6
    assert not planted["counts"].equals(tables["counts"])
    before, after = build(tables), build(planted)
    until = before["partition_date"] <= day
    pd.testing.assert_frame_equal(before[until], after[until])
    assert (after.loc[after["partition_date"] > day, "hour_rides_1d"].max()) == 1_000_000


def test_a_range_has_the_rows_of_its_days(build: Callable[..., pd.DataFrame], tables: Tables) -> None:
    days = [build(tables, Partitions(day, day)) for day in ASKED]
    pd.testing.assert_frame_equal(build(tables), pd.concat(days, ignore_index=True))


def test_a_holiday_is_like_a_weekend(build: Callable[..., pd.DataFrame], tables: Tables) -> None:
    holiday = Partitions(date(2019, 2, 18), date(2019, 2, 19))  # Presidents' Day, a Monday
    counts = tables["counts"]
    weekend = counts["ride_date"].dt.dayofweek >= 5
    counts["rides"] = np.where(weekend, 1000, 10)
    found = build(tables, holiday)
    assert row(found, holiday.start, 9)[["is_holiday", "is_weekend", "day_type_rides_7d"]].tolist() == [1, 0, 1000]
    assert row(found, holiday.end, 9)[["is_holiday", "is_weekend", "day_type_rides_7d"]].tolist() == [0, 0, 10]
