"""How much memory the stage ``train`` takes as its window grows, with a limit on the memory for rows.

The rows are the days of January to May, each flight flown again many times with noise, in a lake of their own. It runs
alone too, against any code:

    python -m benchmarks.training_memory --rows 1000000
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.harness import HOME, PIPELINE, measured

WINDOW = ("2013-01-01", "2013-05-31")
ROWS = (1_000_000, 10_000_000)
LIMIT = "1GiB"
# Few rounds: memory does not depend on them.
_SETTINGS = ("rounds=5", "early_stopping_rounds=5", "refit=false")
_NOISE = 0.01


def fill(home: Path, rows: int, source: Path = HOME) -> None:
    """Publish a lake of about so many labelled rows, once."""
    if (home / "filled").exists():
        return
    from contrail.config.pipeline import load_pipeline
    from contrail.config.settings import settings
    from contrail.lake import datasets
    from contrail.lake.lake import Lake
    from contrail.lake.provenance import Provenance
    from contrail.partitions import Partitions

    def lake(place: Path) -> Any:
        os.environ["CONTRAIL_HOME"] = str(place)
        settings.cache_clear()
        return Lake(settings(), PIPELINE)

    spec, window = load_pipeline(PIPELINE).spec, Partitions.parse(*WINDOW)
    old, new = lake(source), lake(home)
    known = sum(old.partitions("features")[day].rows for day in window)
    made = (
        datasets.validated(spec, spec.entities), datasets.validated(spec, spec.label.table), datasets.features(spec)
    )  # fmt: skip
    by = Provenance("bench", "bench", "bench", "bench", "bench", {})
    for day in window:
        for dataset in made:
            again = _again(old.scan(dataset.name, Partitions(day, day)), round(rows / known))
            new.publish(dataset, again, Partitions(day, day), by)
    (home / "filled").touch()


def _again(rows: pa.Table, times: int) -> pa.Table:
    """The rows so many times, under other flight numbers. Noise makes no two the same."""
    rng = np.random.default_rng(0)

    def flown(turn: int) -> pa.Table:
        found = rows
        for place, field in enumerate(rows.schema):
            if field.name == "flight":
                found = found.set_column(place, field, pc.add(found["flight"], 10_000 * turn))
            elif pa.types.is_float64(field.type) and field.name not in ("arr_delay", "dep_delay"):
                spread = _NOISE * (pc.stddev(rows[field.name]).as_py() or 0.0)
                noise = pa.array(rng.standard_normal(rows.num_rows) * spread)
                found = found.set_column(place, field, pc.add(found[field.name], noise))
        return found

    return pa.concat_tables([flown(turn) for turn in range(times)])


def train(home: Path, limit: str) -> dict[str, Any]:
    """Run the stage in a process of its own: its rows, seconds of processors and peak memory in GB."""
    command = ["train", "-p", PIPELINE, "--from", WINDOW[0], "--to", WINDOW[1], "--no-register", "--json"]
    command += [part for one in _SETTINGS for part in ("--set", one)]
    found = measured(command, CONTRAIL_HOME=str(home), CONTRAIL_MEMORY_LIMIT=limit)
    result = json.loads(found.said.strip().splitlines()[-1])
    return {
        "rows": result["rows"],
        "model": result["details"]["model_sha256"],
        "training_set": result["details"]["training_set_md5"],
        "cpu": found.cpu,
        "memory": found.memory / 1e9,
    }


def measure() -> str:
    """The table of all sizes."""
    lines = []
    for rows in ROWS:
        home = HOME.parent / f"bench-train-{rows}"
        fill(home, rows)
        found = train(home, LIMIT)
        lines.append(f"| {found['rows']:,} | {found['memory']:.2f} GB | {found['cpu']:.0f} s |")
    return "\n".join([
        "## The memory of a training", "", "| labelled rows | peak memory | processor time |", "|---|---|---|", *lines, "",
        f"The stage `train` with CONTRAIL_MEMORY_LIMIT={LIMIT} and {', '.join(_SETTINGS)}: read, versioned with DVC, fitted "
        "with bins on disk where they are too large, evaluated, referenced, logged.", "",
    ])  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--home", type=Path, help="Where the lake is filled. Default: beside the benchmarks' home.")
    parser.add_argument("--source", type=Path, default=HOME, help="The home that has the year.")
    parser.add_argument("--limit", default=LIMIT)
    asked = parser.parse_args()
    place = asked.home or HOME.parent / f"bench-train-{asked.rows}"
    fill(place, asked.rows, asked.source)
    print(json.dumps(train(place, asked.limit)))
