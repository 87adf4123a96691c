"""Leaks planted in copies of the pipeline `flight_delay`: in its features, in its feed, in its training."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from tests.unit.pipelines.flight_delay.frames import KEY, ZONE, Tables, as_validated

from contrail.config.pipeline import Pipeline, load_pipeline
from contrail.config.spec import load_spec
from contrail.lake import datasets
from contrail.lake.lake import Lake
from contrail.lake.provenance import Provenance
from contrail.partitions import Partitions

DAYS = Partitions(date(2013, 1, 28), date(2013, 2, 12))
# The blizzard of 8 and 9 February cancels flights. Of many of these, the source does not know the aircraft.
CHECKED = Partitions(date(2013, 2, 5), date(2013, 2, 10))
CORRECTED = Partitions(date(2013, 2, 4), date(2013, 2, 4))
BY_HAND = Provenance(run_id="by-hand", stage="test", pipeline_hash="", code_revision="", lock_hash="")


@dataclass(frozen=True)
class Plant:
    """A leak, and who has to find it: ``check``, which names ``subject``.

    Args:
        check: One of ``findings.CHECKS``.
        subject: What the finding is of.
        feature: A line for ``features.columns``.
        column: A line for the columns of the schedule.
        code: Lines for the end of ``features.py``.
        feed: What the feed does to its tables.
        late: Rows of tables that the feed delivers again, for a day of ``CORRECTED``.
    """

    check: str
    subject: str
    feature: str = ""
    column: str = ""
    code: str = ""
    feed: Callable[[Tables], Tables] | None = None
    late: Callable[[Tables], Tables] | None = None


def _joined(frame: str, by: str) -> str:
    """Feature code that joins a frame to what the pipeline builds."""
    return _changed(f'.join({frame}, on={by}, how="left")')


def _changed(change: str) -> str:
    return f"\n_honest = build\n\n\ndef build(tables, window):\n    return _honest(tables, window){change}\n"


def _label_in_the_schedule(tables: Tables) -> Tables:
    """The delay comes into the schedule, once it is known."""
    delays = tables["outcomes"][[*KEY, "arr_delay"]].rename(columns={"arr_delay": "expected_delay"})
    return {**tables, "schedule": tables["schedule"].merge(delays, on=KEY, how="left")}


def _aircraft_in_the_schedule(tables: Tables) -> Tables:
    """As the source has it: no aircraft for many a flight that was cancelled."""
    aircraft = load_pipeline("flight_delay").module("source")._flights()[[*KEY, "tailnum"]]
    aircraft = aircraft.assign(flight_date=aircraft["flight_date"].dt.date).rename(columns={"tailnum": "planned"})
    return {**tables, "schedule": tables["schedule"].merge(aircraft, on=KEY, how="left")}


def _local_time_marked_as_utc(tables: Tables) -> Tables:
    outcomes = tables["outcomes"]
    wrong = outcomes["landed_at"].dt.tz_convert(ZONE).dt.tz_localize(None).dt.tz_localize("UTC")
    shifted = outcomes.assign(landed_at=wrong, flight_date=pd.to_datetime(outcomes["flight_date"]))
    return {**tables, "outcomes": as_validated(shifted, "landed_at", "landed_at")}


def _other_delays(tables: Tables) -> Tables:
    outcomes = tables["outcomes"]
    again = outcomes[outcomes["partition_date"] == CORRECTED.start]
    return {"outcomes": again.assign(arr_delay=again["arr_delay"] + 30)}


PLANTS: Mapping[str, Plant] = {
    "label in a feature": Plant(
        check="alone",
        subject="expected_delay",
        feature="expected_delay: {doc: Delay.}",
        column="expected_delay: {type: float, required: false, doc: Delay.}",
        feed=_label_in_the_schedule,
    ),
    "today's outcome": Plant(
        check="cut-off",
        subject="todays_delay",
        feature="todays_delay: {doc: Delay of the departure.}",
        code=_joined('tables["outcomes"].select(*_KEY, F.col("dep_delay").alias("todays_delay"))', "_KEY"),
    ),
    "nullness": Plant(
        check="nulls",
        subject="aircraft",
        feature="aircraft: {kind: category, doc: Tail number.}",
        column="planned: {type: string, required: false, doc: Tail number.}",
        code=_changed('.withColumn("aircraft", F.col("planned"))'),
        feed=_aircraft_in_the_schedule,
    ),
    "an aggregate over the future": Plant(
        check="planted",
        subject="mean_delay",
        feature="mean_delay: {doc: Mean delay of the flight number.}",
        code=_joined('tables["outcomes"].groupBy(*_FLIGHT).agg(F.avg("arr_delay").alias("mean_delay"))', "_FLIGHT"),
    ),
    "random split": Plant(
        check="split",
        subject="train",
        code="""
import numpy as np
from contrail.methods.splits import Split


def _at_random(self, days):
    chosen = np.random.default_rng(0).random(len(days)) < 0.8
    return chosen, ~chosen


Split.masks = _at_random
""",
    ),
    "encoding fitted on the future": Plant(
        check="cut-off",
        subject="dest_code",
        feature="dest_code: {doc: The destination by how often it is flown to.}",
        code=_joined('tables["schedule"].groupBy("dest").agg(F.count(F.lit(1)).alias("dest_code"))', '"dest"'),
    ),
    "corrected values": Plant(check="corrected", subject="all_delay_1d", late=_other_delays),
    "mislabelled time zone": Plant(check="clock", subject="outcomes.landed_at", feed=_local_time_marked_as_utc),
}


def planted(folder: Path, plant: Plant | None, name: str = "flight_delay") -> Pipeline:
    """A copy of the pipeline in a folder, with a leak or without one, under a name of its own in the lake."""
    shutil.copytree(load_pipeline("flight_delay").folder, folder, ignore=shutil.ignore_patterns("__pycache__"))
    if plant:
        with (folder / "features.py").open("a") as file:
            file.write(plant.code)
        spec = (folder / "pipeline.yaml").read_text().replace("name: flight_delay", f"name: {name}")
        spec = _after(spec, '    carrier: {kind: category, doc: "Carrier."}\n', plant.feature, 4)
        spec = _after(
            spec, '      published_at: {type: timestamp, doc: "When the schedule was known, UTC."}\n', plant.column, 6
        )
        (folder / "pipeline.yaml").write_text(spec)
    return Pipeline(folder, load_spec(folder / "pipeline.yaml"))


def _after(text: str, line: str, added: str, indent: int) -> str:
    assert line in text
    return text.replace(line, f"{line}{' ' * indent}{added}\n") if added else text


@cache
def real_tables() -> Tables:
    """The validated tables of ``DAYS``, whole, as the chain makes them of the wheel. Nobody may change them."""
    source = load_pipeline("flight_delay").module("source")
    flights = source._flights()
    flights = flights[flights["flight_date"].between(pd.Timestamp(DAYS.start), pd.Timestamp(DAYS.end))]
    daily = {
        "schedule": as_validated(source.schedule(flights), "published_at", "flight_date"),
        "outcomes": as_validated(source.outcomes(flights), "landed_at", "landed_at"),
        "weather": as_validated(source._weather(), "observed_at", "observed_at"),
    }
    read = set(DAYS)
    daily = {name: rows[rows["partition_date"].isin(read)] for name, rows in daily.items()}
    return {**daily, **dict(source._reference_tables())}


def bike_tables(days: Partitions) -> Tables:
    """The validated tables of real hours of `bike_demand`, as the chain makes them of the wheel."""
    source = load_pipeline("bike_demand").module("source")
    hours = source.hours(source._source())
    hours = hours[hours["ride_date"].between(pd.Timestamp(days.start), pd.Timestamp(days.end))]
    tables = {
        "hours": _bikes(hours, "published_at", "ride_date"),
        "counts": _bikes(hours, "counted_at", None),
        "weather": _bikes(source.weather(hours), "observed_at", "weather_date"),
    }
    return {name: rows[rows["partition_date"].isin(set(days))] for name, rows in tables.items()}


def _bikes(rows: pd.DataFrame, known_at: str, by: str | None) -> pd.DataFrame:
    local = rows[known_at].dt.tz_convert(ZONE).dt.tz_localize(None).dt.normalize()
    partition = (rows[by] if by else local).dt.date
    rows = rows.assign(partition_date=partition, visible_from=(local + pd.Timedelta(days=1)).dt.date)
    return rows.assign(**{name: rows[name].dt.date for name in ("ride_date", "weather_date") if name in rows})


def publish(lake: Lake, pipeline: Pipeline, tables: Tables, days: Partitions = DAYS) -> None:
    """Publish validated tables by hand, and of daily ones that something was landed."""
    for name, rows in tables.items():
        dataset = datasets.validated(pipeline.spec, name)
        daily = pipeline.spec.tables[name].kind == "daily"
        if daily:
            _publish_raw(lake, pipeline, name, days)
        staged = pa.Table.from_pandas(rows[list(dataset.columns)], dataset.staged_schema(), preserve_index=False)
        lake.publish(dataset, staged, days if daily else None, BY_HAND)


def _publish_raw(lake: Lake, pipeline: Pipeline, name: str, days: Partitions) -> None:
    """A line a day. What is in it nobody reads here; each delivery has another."""
    dataset = datasets.raw(pipeline.spec, name)
    before = len(lake.history(dataset.name)) if lake.exists(dataset.name) else 0
    own: dict[str, Any] = {"_file": "by-hand", "_line": 1, "_sha256": str(before)}
    rows = [{"partition_date": day, **own} for day in days]
    lake.publish(dataset, pa.Table.from_pylist(rows, dataset.staged_schema()), days, BY_HAND)
