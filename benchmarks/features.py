"""The year's features: the pipeline's DataFrame code on Sail and on Spark, and the same by hand in DuckDB SQL."""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import features_sql
from benchmarks.harness import PROJECT, YEAR, alternate, environment, table

if TYPE_CHECKING:
    from contrail.config.pipeline import Pipeline

ENGINES = ("sail", "spark local[2]", "duckdb")


def compute(engine: str, target: str) -> None:
    """Read the year's validated Parquet, build the features, write Parquet: no lake commit, in this process."""
    from contrail.config.pipeline import load_pipeline
    from contrail.config.settings import settings
    from contrail.lake.lake import Lake

    pipeline = load_pipeline("flight_delay")
    lake, spec = Lake(settings(), pipeline.name), pipeline.spec
    files = {name: lake.files(f"validated_{name}") for name in spec.tables}
    if engine == "duckdb":
        _duckdb(files, list(spec.features.columns), target)
    else:
        _spark(engine, files, pipeline, target)


def _duckdb(files: dict[str, list[str]], columns: list[str], target: str) -> None:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET threads = 2")
    for name, paths in files.items():
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({paths})")
    features_sql.build(connection, *YEAR, columns).write_parquet(target)


def _spark(engine: str, files: dict[str, list[str]], pipeline: "Pipeline", target: str) -> None:
    from contrail.adapters.engine import spark_session
    from contrail.api import FeatureWindow, Partitions
    from contrail.config.settings import EngineSettings

    spec = pipeline.spec
    session = spark_session(EngineSettings(kind="sail" if engine == "sail" else "spark", master="local[2]"))
    tables = {name: session.read.parquet(*paths) for name, paths in files.items()}
    if engine == "sail":  # as the stage does
        for name, rows in tables.items():
            rows.write.parquet(f"{target}-inputs/{name}")
            tables[name] = session.read.parquet(f"{target}-inputs/{name}")
    window = FeatureWindow(Partitions.parse(*YEAR), spec.features.lookback_days, spec.timezone, spec.cutoff)
    built = pipeline.function("features", "build")(tables, window)
    key = [name for name in spec.key if name not in spec.features.columns]
    built.select("partition_date", *key, *spec.features.columns).write.parquet(target)


def _process(engine: str, folder: Path) -> float:
    target = folder / engine.replace(" ", "-")
    for old in (target, folder / f"{target.name}-inputs"):
        shutil.rmtree(old, ignore_errors=True)
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.features", engine, str(target)],
        env=environment(), cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{engine} failed:\n{done.stderr[-3000:]}")
    return time.perf_counter() - started


def _largest_difference(folder: Path) -> str:
    """The largest difference of Sail and DuckDB, relative to the size of the value. The rows must be the same."""
    import duckdb

    with duckdb.connect() as connection:
        ours = connection.read_parquet(f"{folder}/sail/*.parquet").order("flight_date, carrier, flight, origin").df()
        theirs = connection.read_parquet(f"{folder}/duckdb").order("flight_date, carrier, flight, origin").df()
    if len(ours) != len(theirs):
        raise SystemExit(f"Sail has {len(ours)} rows, DuckDB {len(theirs)}")
    worst, place = 0.0, "any column"
    for name in theirs.columns:
        a, b = ours[name], theirs[name]
        if (a.isna() != b.isna()).any():
            raise SystemExit(f"{name}: null in {int((a.isna() != b.isna()).sum())} rows on one side only")
        if a.dtype.kind == "f":
            difference = float(((a - b).abs() / b.abs().clip(lower=1)).max())
        else:
            difference = float((a.astype(str) != b.astype(str)).sum())
        worst, place = max((worst, place), (difference, name))
    return f"{worst:.1e} ({place})"


def measure() -> str:
    """Whole processes, start-up included."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = alternate({engine: (lambda e=engine: _process(e, folder)) for engine in ENGINES})
        difference = _largest_difference(folder)
    return table(
        "The year's features (336,776 flights), whole process",
        rows,
        "Each reads the validated Parquet files and writes one result. DuckDB's is `features_sql.py`, written by hand "
        f"for this comparison. Largest relative difference of a value between Sail and DuckDB: {difference}.",
    )


if __name__ == "__main__":
    compute(sys.argv[1], sys.argv[2])
