"""What it takes to ingest one landed file of 1 and 10 million rows in each format: seconds, and memory beside the limit.

Each ingestion is a process of its own, over a day of the shipped pipeline whose outcomes land as one large file.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.harness import HOME, PIPELINE, PROJECT, environment, measured

LIMIT = "512MiB"
MILLIONS = tuple(map(int, os.environ.get("CONTRAIL_BENCH_MILLIONS", "1,10").split(",")))
DAY = "2013-01-02"
FORMATS = {
    "csv.gz": "(FORMAT csv, HEADER, COMPRESSION gzip)",
    "csv.zst": "(FORMAT csv, HEADER, COMPRESSION zstd)",
    "jsonl.gz": "(FORMAT json, COMPRESSION gzip)",
    "parquet": "(FORMAT parquet)",
}
_INSTANT = "strftime(TIMESTAMP '2013-01-02 05:00:00' + to_seconds(i % 80000 + {}), '%Y-%m-%dT%H:%M:%SZ')"
_ROWS = f"""
    SELECT DATE '{DAY}' AS flight_date, chr(65 + (hash(i) % 26)::INT) || 'X' AS carrier, i AS flight, 'JFK' AS origin,
        'N' || i % 5000 AS tailnum, (hash(i) % 90)::INT - 10 AS dep_delay, (hash(i, 1) % 90)::INT - 20 AS arr_delay,
        60 + i % 300 AS air_time, {_INSTANT.format(0)} AS departed_at, {_INSTANT.format(3600)} AS landed_at
    FROM range({{}}) r(i)"""


def _prepare(home: Path, suffix: str, rows: int) -> Path:
    """Land a day as the pipeline does, and its outcomes as one large file. Return the folder of pipelines."""
    import duckdb

    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(PROJECT / "include" / "pipelines" / PIPELINE, home / "pipelines" / PIPELINE)
    spec = home / "pipelines" / PIPELINE / "pipeline.yaml"
    limits = "file_limits: {max_file_mb: 100000, max_text_mb: 100000, max_ratio: 100000}"
    landed = f'    landed: {{files: "{{date}}.{suffix}"}}\n    {limits}\n'
    spec.write_text(spec.read_text().replace("    known_at: landed_at\n", f"    known_at: landed_at\n{landed}"))
    land = [sys.executable, "-m", "contrail", "land", "-p", PIPELINE, "--from", DAY, "--to", DAY]
    subprocess.run(land, env=environment(CONTRAIL_HOME=str(home)), check=True, capture_output=True)
    folder = home / "landing" / PIPELINE / "outcomes"
    (folder / f"{DAY}.csv.gz").unlink()
    duckdb.sql("SET enable_progress_bar = false")
    duckdb.sql(f"COPY ({_ROWS.format(rows)}) TO '{folder / DAY}.{suffix}' {FORMATS[suffix]}")
    return home / "pipelines"


def _measured(suffix: str, millions: int) -> str:
    home = HOME / "landing-files"
    pipelines = _prepare(home, suffix, millions * 1_000_000)
    own = {"CONTRAIL_HOME": str(home), "CONTRAIL_PIPELINES": str(pipelines), "CONTRAIL_MEMORY_LIMIT": LIMIT}
    command = ["ingest", "-p", PIPELINE, "--from", DAY, "--to", DAY]
    line = f"| {suffix} | {millions} million "
    try:
        for _ in ("new", "known"):
            taken = measured(command, **own)
            line += f"| {taken.wall:,.1f} | {taken.cpu:,.1f} | {taken.memory / 2**20:,.0f} "
    except SystemExit as failed:
        return f"{line}| {str(failed).splitlines()[0]} | | | |"
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return f"{line}|"


def measure() -> str:
    """One line for each format and number of rows."""
    lines = []
    for millions in MILLIONS:
        for suffix in FORMATS:
            lines.append(_measured(suffix, millions))
            print(f"  {lines[-1]}", flush=True)
    return "\n".join(
        [
            f"## Landed files with a memory limit of {LIMIT}",
            "",
            "| format | rows | s | CPU s | peak MiB | again: s | CPU s | peak MiB |",
            "|---|---|---|---|---|---|---|---|",
            *lines,
            "",
            "One file of ten columns, ingested, and a second time when the lake holds it. The peak is of the whole process, "
            "imports included.",
        ]
    )
