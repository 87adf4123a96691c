"""The same feature code gives the same features on Sail and on Apache Spark."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import PROJECT
from tests.java import spark_environment
from tests.unit.pipelines.flight_delay.frames import KEY, LOOKBACK, real_tables

from contrail.config.pipeline import load_pipeline
from contrail.partitions import Partitions

pytestmark = pytest.mark.slow

# Across the change of clock; the tables begin a few days before, so that many windows are empty or short.
FIRST, START, END = date(2013, 3, 5), "2013-03-09", "2013-03-11"

# A process for each engine: PySpark cannot hold a Connect session and a classic one at once.
SCRIPT = """
import sys
from contrail.adapters.engine import spark_session
from contrail.api import FeatureWindow
from contrail.partitions import Partitions
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings

folder, lookback, start, end = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
engine = settings().engine
session = spark_session(engine)
pipeline = load_pipeline("flight_delay")
names = ["partition_date", *pipeline.spec.key, *(c for c in pipeline.spec.features.columns if c not in pipeline.spec.key)]
tables = {t: session.read.parquet(f"{folder}/{t}.parquet") for t in ("schedule", "outcomes", "weather", "planes")}
window = FeatureWindow(Partitions.parse(start, end), lookback, pipeline.spec.timezone)
built = pipeline.function("features", "build")(tables, window).select(*names)
built.write.mode("overwrite").parquet(f"{folder}/{engine.kind}")
"""


def run_engine(kind: str, folder: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", SCRIPT, str(folder), str(LOOKBACK), START, END]
    done = subprocess.run(
        command, env={**environment, "CONTRAIL_ENGINE": kind}, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_sail_and_spark_build_the_same_features(home: Path, tmp_path: Path) -> None:
    environment = {**spark_environment(tmp_path), "CONTRAIL_HOME": str(home), "CONTRAIL_PROJECT": str(PROJECT)}
    tables = real_tables(load_pipeline("flight_delay"), Partitions(FIRST, date(2013, 3, 12)))
    for name, rows in tables.items():
        stored = pa.Table.from_pandas(rows, preserve_index=False)
        pq.write_table(stored, tmp_path / f"{name}.parquet", coerce_timestamps="us")
    for kind in ("sail", "spark"):
        run_engine(kind, tmp_path, environment)
    sail, spark = (
        pd.read_parquet(tmp_path / kind).sort_values(["partition_date", *KEY]).reset_index(drop=True)
        for kind in ("sail", "spark")
    )
    assert len(sail) > 2000
    assert sail.isna().any().any(), "empty windows are part of the comparison"
    pd.testing.assert_frame_equal(sail, spark, check_exact=False, rtol=1e-12, atol=1e-12, check_dtype=False)
