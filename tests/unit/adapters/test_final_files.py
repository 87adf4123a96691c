"""Spark's executors write files as a table has them."""

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.java import spark_environment

pytestmark = pytest.mark.slow

SCRIPT = """
import sys
from pyspark.sql import functions as F
from contrail.adapters.engine import spark_session
from contrail.adapters.final_files import write_final
from contrail.config.settings import EngineSettings

session = spark_session(EngineSettings(kind="spark", master="local[2]"))
rows = session.range(1000).select(
    F.date_add(F.lit("2024-01-01"), (F.col("id") % 5).cast("int")).alias("partition_date"),
    (999 - F.col("id")).alias("id"),
    F.timestamp_seconds("id").alias("at"),
    F.col("id").cast("string").alias("name"),
)
write_final(rows, {"partition_date": 1, "id": 7, "at": 3, "name": 4}, ("partition_date", "id"), sys.argv[1])
"""


def test_each_file_has_one_partition_sorted_by_its_key_and_the_ids_of_its_columns(tmp_path: Path, home: Path) -> None:
    environment = spark_environment(tmp_path)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    files = [pq.ParquetFile(path) for path in sorted((tmp_path / "out").glob("**/*.parquet"))]
    assert len(files) == 5
    for file in files:
        rows = file.read()
        ids = {field.name: int(field.metadata[b"PARQUET:field_id"]) for field in file.schema_arrow}
        assert ids == {"partition_date": 1, "id": 7, "at": 3, "name": 4}
        assert str(file.schema_arrow.field("at").type) == "timestamp[us, tz=UTC]"
        assert len(set(rows["partition_date"].to_pylist())) == 1
        assert rows["id"].to_pylist() == sorted(rows["id"].to_pylist())
    assert sum(file.metadata.num_rows for file in files) == 1000
