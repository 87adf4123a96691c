"""What lands, when: the schedule the evening before, an outcome on the day of landing, and the same bytes each time."""

import gzip
import io
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from upath import UPath

from contrail.config.pipeline import load_pipeline
from contrail.partitions import Partitions

KEY = ["flight_date", "carrier", "flight", "origin"]
ZONE = "America/New_York"


@pytest.fixture
def source(home: Path) -> ModuleType:
    return load_pipeline("flight_delay").module("source")


@pytest.fixture
def land(source: ModuleType, tmp_path: Path) -> Callable[..., int]:
    return lambda start, end, folder="landing": source.land(UPath(tmp_path / folder), Partitions.parse(start, end))


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(gzip.decompress(path.read_bytes())))


def names(folder: Path) -> list[str]:
    return sorted(path.name.removesuffix(".csv.gz") for path in folder.iterdir())


def test_the_year_is_whole(source: ModuleType) -> None:
    flights = source._flights()
    schedule, outcomes = source.schedule(flights), source.outcomes(flights)
    assert len(schedule) == 336_776
    assert not schedule.duplicated(KEY).any()
    assert schedule.notna().all().all(), "a null would tell who will not fly"
    assert "tailnum" not in schedule
    assert len(outcomes) == 336_776 - 9_430, "no row for a cancelled or diverted flight"
    assert outcomes.notna().all().all()
    assert (outcomes["arr_delay"] > 15).mean() == pytest.approx(0.237, abs=0.0005)
    night = outcomes["landed_at"].dt.tz_convert(ZONE).dt.tz_localize(None).dt.normalize() > outcomes["flight_date"]
    assert night.mean() == pytest.approx(0.082, abs=0.001), "flights that land after midnight"


def test_scheduled_flights_take_as_long_as_flights_do(source: ModuleType) -> None:
    flights = source._flights()
    hours = (flights["sched_arr_at"] - flights["sched_dep_at"]).dt.total_seconds() / 3600
    assert hours.between(0.75, 12).all()
    slack = (hours * 60 - flights["air_time"].astype(float)).groupby(flights["dest"]).median().dropna()
    assert slack.between(20, 60).all(), "a wrong zone would be off by an hour"


@pytest.mark.parametrize(
    ("departs", "clock", "zone", "arrives"),
    [
        ("2013-07-01T12:00Z", 1000, "America/Los_Angeles", "2013-07-01T17:00Z"),
        ("2013-07-02T03:30Z", 130, "America/Chicago", "2013-07-02T06:30Z"),  # the next day
        ("2013-07-02T03:30Z", 345, "America/Puerto_Rico", "2013-07-02T07:45Z"),
        ("2013-11-03T03:00Z", 130, "America/New_York", "2013-11-03T05:30Z"),  # 01:30 occurs twice: the first
        ("2013-03-10T04:00Z", 230, "America/New_York", "2013-03-10T07:30Z"),  # 02:30 is skipped
    ],
)
def test_scheduled_arrival(source: ModuleType, departs: str, clock: int, zone: str, arrives: str) -> None:
    departure = pd.to_datetime(pd.Series([departs]))
    local = departure.dt.tz_convert(ZONE).dt.tz_localize(None).dt.normalize()
    flight = pd.DataFrame({"flight_date": local, "sched_arr_time": [clock], "sched_dep_at": departure})
    assert source.scheduled_arrival(flight, pd.Series([zone]))[0] == pd.Timestamp(arrives)


def test_a_flight_that_lands_after_midnight_is_in_the_next_file(land: Callable[..., int], tmp_path: Path) -> None:
    land("2013-03-08", "2013-03-11")
    for day in Partitions.parse("2013-03-08", "2013-03-11"):
        outcomes = read(tmp_path / "landing" / "outcomes" / f"{day}.csv.gz")
        landed = pd.to_datetime(outcomes["landed_at"]).dt.tz_convert(ZONE)
        assert set(landed.dt.date) == {day}
        assert {str(day), str(day - pd.Timedelta(days=1))} <= set(outcomes["flight_date"])
        weather = read(tmp_path / "landing" / "weather" / f"{day}.csv.gz")
        assert set(pd.to_datetime(weather["observed_at"]).dt.tz_convert(ZONE).dt.date) == {day}
        assert len(weather) <= (69 if day == date(2013, 3, 10) else 72), "10 March has 23 hours"
        schedule = read(tmp_path / "landing" / "schedule" / f"{day}.csv.gz")
        assert set(schedule["flight_date"]) == {str(day)}
        published = pd.to_datetime(schedule["published_at"]).dt.tz_convert(ZONE)
        assert set(published) == {pd.Timestamp(day, tz=ZONE).normalize() - pd.Timedelta(hours=6)}


def test_the_feed_ends_with_the_year(land: Callable[..., int], tmp_path: Path) -> None:
    assert land("2013-12-30", "2014-01-02") == 3 + 2 + 2 + 1
    root = tmp_path / "landing"
    assert names(root) == ["airlines", "airports", "outcomes", "planes", "schedule", "weather"]
    assert names(root / "schedule") == names(root / "outcomes") == ["2013-12-30", "2013-12-31"]
    assert names(root / "weather") == ["2013-12-30"], "the source has no weather of 31 December"
    assert names(root / "planes") == ["reference"]
    assert land("2014-01-01", "2014-01-02") == 0


def test_landing_again_gives_the_same_bytes(land: Callable[..., int], tmp_path: Path) -> None:
    assert land("2013-06-01", "2013-06-02") == land("2013-06-01", "2013-06-02", "other") == 9
    files = list((tmp_path / "landing").rglob("*.csv.gz"))
    before = {path: path.stat().st_mtime_ns for path in files}
    assert land("2013-06-01", "2013-06-02") == 0
    for path in files:
        assert path.read_bytes() == (tmp_path / "other" / path.relative_to(tmp_path / "landing")).read_bytes()
        assert path.stat().st_mtime_ns == before[path]
    assert not [path for path in (tmp_path / "landing").rglob("*") if path.is_file() and path not in files]


def test_columns_are_those_of_the_spec(land: Callable[..., int], tmp_path: Path) -> None:
    land("2013-06-01", "2013-06-01")
    for name, table in load_pipeline("flight_delay").spec.tables.items():
        file = "2013-06-01" if table.kind == "daily" else "reference"
        rows = read(tmp_path / "landing" / name / f"{file}.csv.gz")
        assert list(rows.columns) == list(table.columns), name
        required = [column for column, spec in table.columns.items() if spec.required]
        assert rows[required].notna().all().all(), name


def test_the_feed_ends_with_its_source_whichever_year_that_is(
    source: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A later year of the same data lands too."""
    later = source._flights().head(50).copy()
    year = pd.Timedelta(days=365)
    for column in later.select_dtypes(include=["datetime", "datetimetz"]).columns:
        later[column] = later[column] + year
    monkeypatch.setattr(source, "_flights", lambda: later)
    source.land(UPath(tmp_path), Partitions.parse("2014-01-01", "2014-01-03"))
    assert names(tmp_path / "schedule") == ["2014-01-01"]
