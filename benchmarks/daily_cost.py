"""Whether a day costs the same late in the year as early in it.

The lake grows a day at a time, as daily runs grow it. At day 20 each table has 20 commits, at day 350 it has 350.
"""

import os
import shutil
from datetime import date, timedelta
from pathlib import Path

from benchmarks.harness import HOME, PIPELINE, alternate, stage, table

CHAIN = ("ingest", "validate", "features", "score", "drift")
FIRST = date(2013, 1, 1)
LAKES = {"day 20": 20, "day 350": 350}


def _grow(day: int) -> Path:
    """The lake as daily runs leave it on the eve of ``day``, made once and kept beside the full one."""
    from contrail.config.pipeline import load_pipeline
    from contrail.config.settings import settings
    from contrail.lake.datasets import PARTITION
    from contrail.lake.lake import Lake
    from contrail.lake.provenance import Provenance
    from contrail.lake.records import all_datasets

    kept = HOME / f"lake-day-{day}"
    if kept.exists():
        return kept
    print(f"  growing the lake a day at a time to day {day} (once)…", flush=True)
    os.environ["CONTRAIL_HOME"] = str(HOME)
    settings.cache_clear()
    full = Lake(settings(), PIPELINE)
    spec = load_pipeline(PIPELINE).spec
    rows = {name: full.scan(name) for name in full.table_names()}
    datasets = all_datasets(spec)
    _swap(HOME / "lake", HOME / "lake-full")
    grown = Lake(settings(), PIPELINE)
    try:
        for name, found in rows.items():
            dataset = datasets[name]
            provenance = Provenance("grow", "bench", "", "", "")
            if PARTITION not in dataset.partition_by:
                grown.publish(dataset, found, None, provenance)
                continue
            days = found[PARTITION].to_pandas()
            for partition in (FIRST + timedelta(days=i) for i in range(day - 1)):
                grown.publish(dataset, found.filter((days == partition).to_numpy()), [partition], provenance)
    finally:
        if (HOME / "lake").exists():
            _swap(HOME / "lake", kept)
        _swap(HOME / "lake-full", HOME / "lake")
    return kept


def _swap(source: Path, target: Path) -> None:
    # Iceberg's metadata holds absolute paths, so a lake is used only under the name that it was written with.
    shutil.rmtree(target, ignore_errors=True)
    source.rename(target)


def _chain(lake: Path, day: int) -> float:
    """Wall seconds of one day's chain, each stage a process of its own, as a person or a DAG runs it."""
    _swap(HOME / "lake", HOME / "lake-full")
    _swap(lake, HOME / "lake")
    partition = str(FIRST + timedelta(days=day - 1))
    try:
        return sum(
            stage(verb, partition, None, *(["--as-of-cutoff"] if verb in ("ingest", "validate") else []))["wall"]
            for verb in CHAIN
        )
    finally:
        _swap(HOME / "lake", lake)
        _swap(HOME / "lake-full", HOME / "lake")


def measure() -> str:
    """The chain of day 20 and of day 350."""
    lakes = {name: (_grow(day), day) for name, day in LAKES.items()}
    rows = alternate({name: (lambda entry=entry: _chain(*entry)) for name, entry in lakes.items()})
    return table(
        "One day's chain, early and late in the year",
        rows,
        "Ingest, validate, features, score and drift of one day, each a process of its own. The lake has grown by a commit "
        "a day and table up to the day before. Goal: at most 1.05; accepted: 1.15.",
    )
