"""How much memory the stage ``score`` takes as its range grows, with a limit on the memory for rows.

The rows are flights of two months, drawn again for other days, in a lake of their own. The model is small: memory does not
depend on its trees. It runs alone too, against any code:

    python -m benchmarks.scoring_memory --rows 1000000
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.harness import HOME, PIPELINE, PROJECT, environment, measured
from contrail.partitions import Partitions

SCORED_HOME = HOME.parent / "bench-score"
ROWS = (1_000_000, 10_000_000)
LIMIT = "512MiB"
_MONTHS = ("2013-01-01", "2013-02-28")
_TRAINED = ("2013-01-10", "2013-02-27")
_ROUNDS = 6
_DAY_ROWS = 100_000


def prepare(home: Path) -> None:
    """Land two months and train on them, once."""
    if (home / "prepared").exists():
        return
    small = ("--set", f"rounds={_ROUNDS}", "--set", "validation_days=7")
    for verb in ("land", "ingest", "validate", "features", "train"):
        start, end = _TRAINED if verb == "train" else _MONTHS
        command = [verb, "-p", PIPELINE, "--from", start, "--to", end, *(small if verb == "train" else ())]
        subprocess.run(
            [sys.executable, "-m", "contrail", *command],
            cwd=PROJECT,
            env=environment(CONTRAIL_HOME=str(home)),
            check=True,
        )
    (home / "prepared").touch()


def fill(home: Path, rows: int) -> Partitions:
    """Publish the features of so many rows, once. Each number of rows has a year of its own."""
    first = date(2000 + rows // 1_000_000, 1, 1)
    days = Partitions(first, first + timedelta(days=rows // _DAY_ROWS - 1))
    os.environ["CONTRAIL_HOME"] = str(home)
    from contrail.config.pipeline import load_pipeline
    from contrail.config.settings import settings
    from contrail.lake import datasets
    from contrail.lake.lake import Lake
    from contrail.lake.provenance import Provenance

    settings.cache_clear()
    lake, dataset = Lake(settings(), PIPELINE), datasets.features(load_pipeline(PIPELINE).spec)
    if days.end not in lake.partitions("features"):
        stream = _drawn(lake.scan("features", Partitions.parse(*_MONTHS)), dataset.staged_schema(), days)
        made = pa.RecordBatchReader.from_batches(dataset.staged_schema(), stream)
        lake.publish(dataset, made, days, Provenance("bench", "bench", "", "", ""))
    return days


def _drawn(flights: pa.Table, schema: pa.Schema, days: Partitions) -> Iterator[pa.RecordBatch]:
    for day in days:
        drawn = np.random.default_rng(day.toordinal()).integers(0, flights.num_rows, _DAY_ROWS)
        own = {"partition_date": pa.array([day] * _DAY_ROWS), "flight_date": pa.array([day] * _DAY_ROWS)}
        own |= {"flight": pa.array(range(_DAY_ROWS))}
        rows = flights.take(pa.array(drawn))
        yield from pa.table({name: own.get(name, rows[name]) for name in schema.names}).cast(schema).to_batches()


def score(home: Path, days: Partitions, limit: str) -> dict[str, Any]:
    """Run the stage in a process of its own: its rows, seconds of processors and peak memory in GB."""
    command = ["score", "-p", PIPELINE, "--from", str(days.start), "--to", str(days.end), "--model", "1", "--json"]
    found = measured(command, CONTRAIL_HOME=str(home), CONTRAIL_MEMORY_LIMIT=limit)
    rows = json.loads(found.said.strip().splitlines()[-1])["rows"]
    return {"rows": rows, "cpu": found.cpu, "memory": found.memory / 1e9}


def measure() -> str:
    """The table of all sizes."""
    prepare(SCORED_HOME)
    found = [score(SCORED_HOME, fill(SCORED_HOME, rows), LIMIT) for rows in ROWS]
    return "\n".join([
        "## The memory of a scoring", "", "| rows | peak memory | processor time |", "|---|---|---|",
        *(f"| {one['rows']:,} | {one['memory']:.2f} GB | {one['cpu']:.0f} s |" for one in found), "",
        f"The stage `score` with CONTRAIL_MEMORY_LIMIT={LIMIT}, three reasons a row and a model of {_ROUNDS} trees: read, "
        "encoded, predicted, explained, audited and committed. The peak is of the whole process, imports included.", "",
    ])  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--home", type=Path, default=SCORED_HOME)
    parser.add_argument("--limit", default=LIMIT)
    asked = parser.parse_args()
    prepare(asked.home)
    print(json.dumps(score(asked.home, fill(asked.home, asked.rows), asked.limit)))
