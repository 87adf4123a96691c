"""Each feature on a few flights, and the promise: what was not known at the cut-off changes nothing."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from tests.unit.pipelines.flight_delay.frames import KEY, ZONE, Tables, as_validated, build, real_tables

from contrail.adapters.engine import spark_session
from contrail.config.pipeline import Pipeline, load_pipeline
from contrail.config.settings import EngineSettings
from contrail.partitions import Partitions

# The change of clock lies in the range: 10 March 2013 has 23 hours.
FIRST, LAST = date(2013, 3, 9), date(2013, 3, 11)


@pytest.fixture(scope="module")
def spark() -> SparkSession:
    return spark_session(EngineSettings())


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return load_pipeline("flight_delay")


@pytest.fixture(scope="module")
def real(pipeline: Pipeline) -> Tables:
    return real_tables(pipeline, Partitions(date(2013, 2, 1), date(2013, 3, 16)))


@pytest.fixture(scope="module")
def expected(spark: SparkSession, pipeline: Pipeline, real: Tables) -> pd.DataFrame:
    return build(spark, pipeline, real, FIRST, LAST)


def test_one_row_a_flight_with_all_features(expected: pd.DataFrame, real: Tables) -> None:
    asked = real["schedule"][real["schedule"]["partition_date"].isin(set(Partitions(FIRST, LAST)))]
    assert len(expected) == len(asked)
    assert set(map(tuple, expected[KEY].values)) == set(map(tuple, asked[KEY].values))
    share = expected.notna().mean()
    assert share.min() > 0.6, share.idxmin()


def test_a_range_is_the_same_as_its_days(
    spark: SparkSession, pipeline: Pipeline, real: Tables, expected: pd.DataFrame
) -> None:
    days = [build(spark, pipeline, real, day) for day in Partitions(FIRST, LAST)]
    pd.testing.assert_frame_equal(pd.concat(days, ignore_index=True), expected, check_exact=True)


def planted(real: Tables, day: date) -> Tables:
    """The tables with absurd rows that became known after the cut-off of ``day``, under many labels."""
    outcomes, weather = real["outcomes"], real["weather"]
    recent = outcomes[outcomes["flight_date"] >= day - timedelta(days=3)]
    absurd = {"arr_delay": 100_000.0, "dep_delay": 100_000.0, "tailnum": "N0"}
    extra = [
        recent.assign(**absurd, partition_date=day - timedelta(days=label), visible_from=day + timedelta(days=known))
        for label, known in ((-1, 2), (0, 1), (1, 1), (3, 2))
    ]
    storm = weather[weather["partition_date"] == day - timedelta(days=1)].assign(wind_speed=999.0, precip=99.0)
    hours = pd.Timedelta(hours=30)
    storms = [
        storm.assign(
            observed_at=storm["observed_at"] + hours,
            partition_date=day - timedelta(days=label),
            visible_from=day + timedelta(days=1),
        )
        for label in (0, 1)
    ]
    return {**real, "outcomes": pd.concat([outcomes, *extra]), "weather": pd.concat([weather, *storms])}


def test_a_planted_future_changes_no_feature(
    spark: SparkSession, pipeline: Pipeline, real: Tables, expected: pd.DataFrame
) -> None:
    tables = planted(real, LAST)
    assert len(tables["outcomes"]) > len(real["outcomes"]) + 10_000
    pd.testing.assert_frame_equal(build(spark, pipeline, tables, FIRST, LAST), expected, check_exact=True)


def test_the_plant_is_seen_once_it_is_known(spark: SparkSession, pipeline: Pipeline, real: Tables) -> None:
    """Otherwise the test above could not fail."""
    day = LAST + timedelta(days=1)
    clean = build(spark, pipeline, real, day)
    spoilt = build(spark, pipeline, planted(real, LAST), day)
    moved = {name for name in clean.columns if not clean[name].equals(spoilt[name])}
    assert {"all_delay_1d", "flight_delay_28d", "last_delay", "weather_wind_speed", "weather_precip"} <= moved


def test_without_what_is_unknown_at_the_cut_off_nothing_changes(
    spark: SparkSession, pipeline: Pipeline, real: Tables, expected: pd.DataFrame
) -> None:
    """The truncation test: blank every outcome and observation of later, rebuild, compare. No metric shows this leak."""
    for day in Partitions(FIRST, LAST):
        cut = {name: rows[rows["visible_from"] <= day] for name, rows in real.items() if name != "planes"}
        found = build(spark, pipeline, {**cut, "planes": real["planes"]}, day)
        wanted = expected[expected["partition_date"] == day].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, wanted, check_exact=True)


# ---- by hand ----

DAY = date(2013, 6, 12)


def flight(back: int, number: int, departs: str, dest: str = "BOS", carrier: str = "AA", origin: str = "JFK") -> Any:
    """A flight of one hour, ``back`` days before the day that is described."""
    day = DAY - timedelta(days=back)
    departure = pd.Timestamp(f"{day} {departs}", tz=ZONE)
    clock = int(departs.replace(":", ""))
    return {
        **{"flight_date": pd.Timestamp(day), "carrier": carrier, "flight": number, "origin": origin, "dest": dest},
        **{"distance": 180, "sched_dep_time": clock, "sched_arr_time": (clock + 100) % 2400},
        "sched_dep_at": departure.tz_convert("UTC"),
        "sched_arr_at": (departure + pd.Timedelta(hours=1)).tz_convert("UTC"),
        "published_at": (pd.Timestamp(day, tz=ZONE) - pd.Timedelta(hours=6)).tz_convert("UTC"),
    }


def landed(what: Any, delay: int, tailnum: str = "N1") -> Any:
    at = what["sched_arr_at"] + pd.Timedelta(minutes=delay)
    return {**{name: what[name] for name in KEY}, "tailnum": tailnum, "arr_delay": delay, "landed_at": at}


def hand_made() -> Tables:
    morning, evening = flight(1, 1, "08:10"), flight(1, 2, "18:00")
    late_evening = flight(1, 3, "22:30")  # due at 23:30, lands at 00:10
    cancelled = flight(1, 4, "19:00", dest="ORD")
    red_eye = flight(1, 5, "23:30", dest="ORD")  # due after the cut-off: not open
    other = flight(1, 6, "17:30", carrier="UA", origin="EWR")
    older = flight(3, 1, "08:10")
    oldest = flight(27, 1, "08:10")
    too_old = flight(29, 1, "08:10")
    asked = [
        *(flight(0, 1, "08:10"), flight(0, 2, "08:40"), flight(0, 7, "09:20"), flight(0, 8, "12:15", dest="ORD")),
        flight(0, 9, "08:00", carrier="UA", origin="EWR"),
    ]
    outcomes = [
        landed(morning, 20, "N2"),
        landed(evening, -60),
        landed(late_evening, 40),
        landed(other, 300),
        landed(older, 8),
        landed(oldest, 8),
        landed(too_old, 90),
    ]
    flights = [morning, evening, late_evening, cancelled, red_eye, other, older, oldest, too_old, *asked]
    midnight = pd.Timestamp(DAY, tz=ZONE).tz_convert("UTC")
    observed = [
        {"origin": "JFK", "observed_at": midnight - pd.Timedelta(hours=hours), "wind_dir": 10.0 * hours}
        for hours in (3, 2, 0)
    ]
    weather = pd.DataFrame(observed).assign(
        **{"wind_speed": 5.0, "humid": 50.0, "precip": 0.25, "pressure": 1000.0, "visib": 8.0}
    )
    return {
        "schedule": as_validated(pd.DataFrame(flights), "published_at", "flight_date"),
        "outcomes": as_validated(pd.DataFrame(outcomes), "landed_at", "landed_at"),
        "weather": as_validated(weather, "observed_at", "observed_at"),
        "planes": pd.DataFrame({"tailnum": ["N1", "N2"], "seats": [100, 200], "built_year": [2000.0, 2003.0]}),
    }


@pytest.fixture(scope="module")
def by_hand(spark: SparkSession, pipeline: Pipeline) -> Callable[[int], dict[str, Any]]:
    found = build(spark, pipeline, hand_made(), DAY).set_index("flight")
    assert len(found) == 5
    return lambda number: found.loc[number].to_dict()


def check(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert {name: found[name] for name in expected} == pytest.approx(expected, nan_ok=True)


def test_schedule_features(by_hand: Callable[[int], dict[str, Any]]) -> None:
    check(
        by_hand(2),
        {
            **{"sched_hour": 8, "sched_minutes": 520, "arrival_hour": 9, "distance": 180, "sched_duration": 60},
            **{"sched_speed": 3, "day_of_week": 4, "origin_flights": 4, "origin_hour_flights": 2},
            **{"carrier_origin_flights": 4, "dest_hour_flights": 3, "departures_near": 3, "departures_before_3h": 2},
        },
    )
    check(by_hand(1), {"departures_near": 2, "departures_before_3h": 1})
    check(by_hand(8), {"departures_near": 1, "departures_before_3h": 2, "dest_hour_flights": 1, "arrival_hour": 13})
    check(by_hand(9), {"origin_flights": 1, "departures_near": 1, "dest_hour_flights": 3})


def test_past_delays(by_hand: Callable[[int], dict[str, Any]]) -> None:
    nan = float("nan")
    # Flight 1 was 20, 8 and 8 minutes late; 29 days ago is out of the window. -60 counts as -30, 300 as 180.
    check(by_hand(1), {"flight_late_28d": 1 / 3, "flight_delay_28d": 12, "last_delay": 20})
    check(by_hand(7), {"flight_late_28d": nan, "flight_delay_28d": nan, "last_delay": nan})
    check(by_hand(1), {"origin_hour_delay_28d": 12, "origin_hour_late_28d": 1 / 3})
    check(by_hand(1), {"carrier_origin_delay_28d": 6 / 4, "carrier_delay_28d": 6 / 4, "carrier_late_28d": 1 / 4})
    check(by_hand(1), {"origin_delay_28d": 6 / 4, "origin_late_28d": 1 / 4, "dest_delay_28d": 186 / 5})
    check(by_hand(1), {"dest_late_28d": 2 / 5, "all_delay_1d": 170 / 3, "carrier_delay_1d": -5, "origin_delay_1d": -5})
    check(by_hand(1), {"dest_delay_1d": 170 / 3})
    check(by_hand(9), {"carrier_delay_1d": 180, "origin_delay_1d": 180, "carrier_origin_late_28d": 1})


def test_yesterday(by_hand: Callable[[int], dict[str, Any]]) -> None:
    # Due before midnight: 1, 2, 3, 4 (AA, JFK) and 6 (UA, EWR); 3 was in the air, 4 cancelled. 5 is due later.
    check(by_hand(1), {"all_open_share": 2 / 5, "all_evening_open_share": 2 / 4, "all_evening_delay": 75})
    check(by_hand(1), {"origin_open_share": 2 / 4, "origin_evening_open_share": 2 / 3, "origin_evening_delay": -30})
    check(by_hand(1), {"carrier_open_share": 2 / 4, "carrier_evening_open_share": 2 / 3, "carrier_evening_delay": -30})
    check(by_hand(1), {"carrier_origin_open_share": 2 / 4, "carrier_origin_evening_delay": -30})
    check(by_hand(1), {"dest_open_share": 1 / 4})
    check(by_hand(8), {"dest_open_share": 1})
    check(by_hand(9), {"origin_open_share": 0, "carrier_evening_delay": 180})


def test_weather_is_the_last_before_the_cut_off(by_hand: Callable[[int], dict[str, Any]]) -> None:
    check(by_hand(1), {"weather_wind_dir": 20, "weather_wind_speed": 5, "weather_humid": 50, "weather_precip": 0.25})
    check(by_hand(1), {"weather_pressure": 1000, "weather_visib": 8})
    check(by_hand(9), {"weather_wind_dir": float("nan")})


def test_aircraft_is_the_one_that_flew_last(by_hand: Callable[[int], dict[str, Any]]) -> None:
    check(by_hand(1), {"aircraft_seats": 200, "aircraft_age": 10})
    check(by_hand(2), {"aircraft_seats": 100, "aircraft_age": 13})
    check(by_hand(7), {"aircraft_seats": float("nan"), "aircraft_age": float("nan")})


def test_every_feature_is_named_above(pipeline: Pipeline) -> None:
    text = Path(__file__).read_text()
    untested = [name for name in pipeline.spec.features.columns if f'"{name}"' not in text]
    assert untested == []
