"""The contracts on real days, and on a feed whose time zone was taken for another."""

from pathlib import Path

import pandas as pd
import pytest

from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.errors import PartitionRefusedError
from contrail.partitions import Partitions
from contrail.stages.runner import run_stage

pytestmark = pytest.mark.slow


@pytest.fixture
def landing(home: Path) -> Path:
    """The feed's days around the changes of clock of 2018, landed."""
    folder = settings().landing / "bike_demand"
    folder.mkdir(parents=True)
    for days in ("2018-03-10..2018-03-12", "2018-11-03..2018-11-05"):
        load_pipeline("bike_demand").function("source", "land")(folder, Partitions.from_text(days))
    return Path(str(folder))


@pytest.mark.parametrize("days", ["2018-03-10..2018-03-12", "2018-11-03..2018-11-05"])
def test_days_around_the_changes_of_clock_pass(landing: Path, days: str) -> None:
    run_stage("ingest", "bike_demand", Partitions.from_text(days))
    assert run_stage("validate", "bike_demand", Partitions.from_text(days)).quarantined == 0


@pytest.mark.parametrize(
    ("table", "column", "rule"),
    [
        ("hours", "starts_at", "starts_by_its_clock"),
        ("counts", "counted_at", "counted_after_its_hour"),
        ("weather", "observed_at", "known_at_the_end"),
    ],
)
def test_local_hours_that_are_marked_utc_are_refused(landing: Path, table: str, column: str, rule: str) -> None:
    day = Partitions.parse("2018-03-12")
    path = landing / table / "2018-03-12.csv.gz"
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    local = pd.to_datetime(rows[column]).dt.tz_convert("America/New_York")
    rows[column] = local.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    rows.to_csv(path.with_name("2018-03-12.2.csv.gz"), index=False)
    run_stage("ingest", "bike_demand", day)
    with pytest.raises(PartitionRefusedError, match=rf"{table} 2018-03-12: .*{rule}"):
        run_stage("validate", "bike_demand", day)
