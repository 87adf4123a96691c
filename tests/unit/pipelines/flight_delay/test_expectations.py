"""The contracts on real days: those that look odd and are good, and the one row that is not."""

import gzip
from pathlib import Path

import pandas as pd
import pytest

from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.errors import PartitionRefusedError
from contrail.lake.lake import Lake
from contrail.partitions import Partitions
from contrail.stages.base import StageResult
from contrail.stages.runner import run_stage

pytestmark = pytest.mark.slow


def validate(start: str, end: str) -> StageResult:
    pipeline, partitions = load_pipeline("flight_delay"), Partitions.parse(start, end)
    landing = settings().landing / "flight_delay"
    landing.mkdir(parents=True, exist_ok=True)
    pipeline.function("source", "land")(landing, partitions)
    run_stage("ingest", "flight_delay", partitions)
    return run_stage("validate", "flight_delay", partitions)


def lake() -> Lake:
    return Lake(settings(), "flight_delay")


def test_a_blizzard_and_its_impossible_wind(home: Path) -> None:
    """On 9 February 259 flights landed; on the 12th a wind of 1,048 miles an hour was observed."""
    result = validate("2013-02-08", "2013-02-12")
    assert result.details.quarantined == {"weather": {"plausible_wind_speed": 1}}
    (row,) = lake().scan("quarantine").to_pylist()
    assert row["detail"].endswith("Found wind_speed=1048.36058") and row["line"] > 1


def test_the_last_day_has_no_weather(home: Path) -> None:
    assert validate("2013-12-30", "2013-12-31").quarantined == 0
    assert sorted(map(str, lake().partitions("validated_weather"))) == ["2013-12-30"]


def test_a_file_cut_off_at_noon_is_refused(home: Path) -> None:
    validate("2013-07-01", "2013-07-01")
    path = settings().landing / "flight_delay" / "outcomes" / "2013-07-01.csv.gz"
    header, *lines = gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True)
    morning = [line for line in lines if line.strip().rsplit(",", 1)[1] < "2013-07-01T16:00:00Z"]
    path.with_name("2013-07-01.2.csv.gz").write_bytes(gzip.compress("".join([header, *morning]).encode()))
    partitions = Partitions.parse("2013-07-01")
    run_stage("ingest", "flight_delay", partitions)
    with pytest.raises(PartitionRefusedError, match=r"outcomes 2013-07-01: fed_to_the_evening"):
        run_stage("validate", "flight_delay", partitions)
    assert lake().scan("validated_outcomes").num_rows == len(lines)


def local_marked_utc(table: str, day: str, columns: list[str]) -> None:
    """Deliver a day again: New York's local hours are marked UTC, as by a feed that forgets its time zone."""
    path = settings().landing / "flight_delay" / table / f"{day}.csv.gz"
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name in columns:
        local = pd.to_datetime(rows[name]).dt.tz_convert("America/New_York")
        rows[name] = local.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    rows.to_csv(path.with_name(f"{day}.2.csv.gz"), index=False)


@pytest.mark.parametrize(
    ("table", "columns", "rule"),
    [
        ("schedule", ["sched_dep_at", "sched_arr_at"], "departs_by_its_clock"),
        ("schedule", ["sched_arr_at"], "arrives_by_its_clock"),
        ("schedule", ["published_at"], "published_in_the_evening"),
        ("outcomes", ["departed_at", "landed_at"], "departed_after_its_delay"),
        ("outcomes", ["departed_at"], "departed_after_its_delay"),
    ],
    ids=["both scheduled times", "the arrival", "the publication", "both times flown", "the departure"],
)
def test_local_hours_that_are_marked_utc_are_refused(home: Path, table: str, columns: list[str], rule: str) -> None:
    day = Partitions.parse("2013-07-01")
    pipeline, landing = load_pipeline("flight_delay"), settings().landing / "flight_delay"
    landing.mkdir(parents=True, exist_ok=True)
    pipeline.function("source", "land")(landing, day)
    local_marked_utc(table, "2013-07-01", columns)
    run_stage("ingest", "flight_delay", day)
    with pytest.raises(PartitionRefusedError, match=rf"{table} 2013-07-01: (bad_share: .*{rule} [0-9]+|{rule}: )"):
        run_stage("validate", "flight_delay", day)
    assert table == "outcomes" or not lake().exists("validated_schedule")


@pytest.mark.parametrize("days", ["2013-03-09..2013-03-11", "2013-11-02..2013-11-04"])
def test_days_around_the_changes_of_clock_pass(home: Path, days: str) -> None:
    assert validate(*days.split("..")).quarantined == 0
