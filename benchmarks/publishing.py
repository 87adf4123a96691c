"""What it takes to publish 1, 10 and 40 million rows: seconds, and memory beside the limit that was set.

Each publication is a process of its own. Its rows come unsorted from a folder of Parquet files, as an engine leaves them.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

from benchmarks.harness import HOME, PROJECT, environment, peak_memory

LIMIT = "512MiB"
MILLIONS = tuple(map(int, os.environ.get("CONTRAIL_BENCH_MILLIONS", "1,10,40").split(",")))
_DAYS = 20
_FIRST = date(2024, 1, 1)
_FLOATS = 6


def _stage(folder: Path, rows: int) -> None:
    """Write rows in no order. A text of 60 characters passes 2 GiB in one column at 36 million rows."""
    import duckdb

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    floats = ", ".join(f"(hash(i + {n}) % 100000) / 7.0 AS f{n}" for n in range(_FLOATS))
    for part in range(0, rows, 1_000_000):
        end = min(rows, part + 1_000_000)
        duckdb.sql(f"""
            COPY (SELECT DATE '{_FIRST}' + CAST(hash(i) % {_DAYS} AS INTEGER) AS partition_date, i * 7919 % 1000000007 AS id,
                lpad(CAST(i % 1000 AS VARCHAR), 60, 'n') AS note, {floats}
            FROM range({part}, {end}) r(i)) TO '{folder}/{part:012d}.parquet' (FORMAT parquet)""")


def publish(folder: str) -> None:
    """Publish a staged folder into the lake of this process's home, and print what that took."""
    from upath import UPath

    from contrail.config.settings import settings
    from contrail.config.table_spec import ColumnSpec
    from contrail.lake.datasets import PARTITION_COLUMN, Dataset
    from contrail.lake.lake import Lake
    from contrail.lake.provenance import Provenance

    floats = {f"f{n}": ColumnSpec(type="float") for n in range(_FLOATS)}
    columns = {**PARTITION_COLUMN, "id": ColumnSpec(type="int"), "note": ColumnSpec(type="string"), **floats}
    lake, days = Lake(settings(), "bench"), [_FIRST + timedelta(days=n) for n in range(_DAYS)]
    started = time.perf_counter()
    lake.publish(Dataset("items", "", columns, ("id",)), UPath(folder), days, Provenance("bench", "ingest", "", "", ""))
    seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    rows = sum(state.rows for state in lake.partitions("items").values())
    print(
        json.dumps(
            {"rows": rows, "seconds": seconds, "cpu": used.ru_utime + used.ru_stime, "mib": peak_memory() / 2**20}
        )
    )


def _measured(millions: int) -> str:
    home, staged = HOME / "publishing", HOME / "publishing-staged"
    shutil.rmtree(home, ignore_errors=True)
    _stage(staged, millions * 1_000_000)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.publishing", str(staged)], cwd=PROJECT, capture_output=True, text=True,
            check=False, env=environment(CONTRAIL_HOME=str(home), CONTRAIL_MEMORY_LIMIT=LIMIT),
        )  # fmt: skip
    finally:
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(staged)
    if done.returncode:
        return f"| {millions} million | {done.stderr.strip().splitlines()[-1][:120]} | | | |"
    found = json.loads(done.stdout)
    return (
        f"| {millions} million | {found['seconds']:,.1f} | {found['cpu']:,.1f} | {found['rows'] / found['seconds']:,.0f} "
        f"| {found['mib']:,.0f} |"
    )


def measure() -> str:
    """One line for each number of rows."""
    lines = []
    for millions in MILLIONS:
        lines.append(_measured(millions))
        print(f"  {lines[-1]}", flush=True)
    return "\n".join(
        [
            f"## Publishing with a memory limit of {LIMIT}",
            "",
            "| rows | s | CPU s | rows/s | peak resident MiB |",
            "|---|---|---|---|---|",
            *lines,
            "",
            f"Nine columns, {_DAYS} partitions, rows in no order. The peak is of the whole process, imports included.",
        ]
    )


if __name__ == "__main__":
    publish(sys.argv[1])
