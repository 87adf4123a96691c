"""The flights of the wheel as validated tables, without a lake."""

from datetime import date
from typing import Any

import pandas as pd
from pyspark.sql import SparkSession

from contrail.api import FeatureWindow
from contrail.config.pipeline import Pipeline
from contrail.partitions import Partitions

ZONE = "America/New_York"
LOOKBACK = 30
KEY = ["flight_date", "carrier", "flight", "origin"]

Tables = dict[str, pd.DataFrame]


def as_validated(rows: pd.DataFrame, known_at: str, by: str) -> pd.DataFrame:
    """Rows with their partition, and the first day whose cut-off lies after ``known_at``."""
    local = rows[known_at].dt.tz_convert(ZONE).dt.tz_localize(None).dt.normalize()
    partition = rows[by] if by == "flight_date" else local
    rows = rows.assign(partition_date=partition.dt.date, visible_from=(local + pd.Timedelta(days=1)).dt.date)
    if "flight_date" in rows:
        rows["flight_date"] = rows["flight_date"].dt.date
    for name, column in rows.items():
        if str(column.dtype) == "Int64":
            rows[name] = column.astype(float)
    return rows


def real_tables(pipeline: Pipeline, partitions: Partitions) -> Tables:
    """The validated tables of these partitions."""
    source = pipeline.module("source")
    flights = source._flights()
    tables = {
        "schedule": as_validated(source.schedule(flights), "published_at", "flight_date"),
        "outcomes": as_validated(source.outcomes(flights), "landed_at", "landed_at"),
        "weather": as_validated(source._weather(), "observed_at", "observed_at"),
    }
    read = set(partitions)
    tables = {name: rows[rows["partition_date"].isin(read)] for name, rows in tables.items()}
    planes = dict(source._reference_tables())["planes"]
    return {**tables, "planes": planes[["tailnum", "seats", "built_year"]].astype({"built_year": float})}


def window(start: date, end: date) -> FeatureWindow:
    return FeatureWindow(Partitions(start, end), LOOKBACK, ZONE)


def build(
    spark: SparkSession, pipeline: Pipeline, tables: Tables, start: date, end: date | None = None
) -> pd.DataFrame:
    """The features of a range from the partitions that a run for it reads, as the stage hands them over."""
    run = window(start, end or start)
    read = set(run.partitions.reaching_back(LOOKBACK))
    frames: dict[str, Any] = {}
    for name, rows in tables.items():
        kept = rows[rows["partition_date"].isin(read)] if "partition_date" in rows else rows
        frames[name] = spark.createDataFrame(kept)
    columns = [name for name in pipeline.spec.features.columns if name not in KEY]
    found = pipeline.function("features", "build")(frames, run).select("partition_date", *KEY, *columns).toPandas()
    return found.sort_values(["partition_date", *KEY]).reset_index(drop=True)
