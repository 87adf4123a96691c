"""The year's features on three engines: the same DataFrame code on Sail, on Spark, and as DuckDB SQL."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import PROJECT, YEAR, alternate, environment, table

ENGINES = ("sail", "spark local[2]", "duckdb")


def compute(engine: str) -> None:
    """Read the year's validated Parquet, build the features, write Parquet: no lake commit, in this process."""
    from contrail.lake.lake import Lake
    from contrail.partitions import Partitions
    from contrail.pipeline import load_pipeline
    from contrail.settings import EngineSettings, settings

    if engine == "duckdb":
        import duckdb
        from sqlframe import activate

        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'; SET threads = 2")
        activate("duckdb", conn=connection)
        from sqlframe.duckdb import DuckDBSession

        session = DuckDBSession()
    else:
        from contrail.adapters.engine import spark_session

        kind = "sail" if engine == "sail" else "spark"
        session = spark_session(EngineSettings(kind=kind, master="local[2]"))
    from contrail.api import FeatureWindow

    pipeline = load_pipeline("flight_delay")
    lake, spec = Lake(settings(), pipeline.name), pipeline.spec
    tables = {name: session.read.parquet(*lake.files(f"validated_{name}")) for name in spec.tables}
    window = FeatureWindow(Partitions.parse(*YEAR), spec.features.lookback_days, spec.timezone, spec.cutoff)
    built = pipeline.function("features", "build")(tables, window)
    with tempfile.TemporaryDirectory() as folder:
        built.write.mode("overwrite").parquet(str(Path(folder) / ("features.parquet" if engine == "duckdb" else "f")))


def _process(engine: str) -> float:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.features", engine],
        env=environment(), cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{engine} failed:\n{done.stderr[-3000:]}")
    return time.perf_counter() - started


def measure() -> str:
    """Whole processes, start-up included."""
    rows = alternate({engine: (lambda e=engine: _process(e)) for engine in ENGINES})
    return table(
        "The year's features (336,776 flights), whole process",
        rows,
        "The same `features.py`; on DuckDB it is turned into SQL by SQLFrame. Each reads the validated Parquet files "
        "and writes one result.",
    )


if __name__ == "__main__":
    compute(sys.argv[1])
