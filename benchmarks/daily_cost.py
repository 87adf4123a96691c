"""Whether a day costs the same after ten years of days as after three weeks.

The pipeline is the tests' made-up one, with a few rows a day, so that what grows with the number of days would show. Its
lake has a commit a day for as many days as snapshots are kept, and a commit a month for the days before.
"""

import os
import re
import shutil
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

from benchmarks.harness import HOME, PROJECT, Measured, Row, alternate, measured, table

PIPELINE = "toy"
FIRST = date(2014, 1, 1)
TRAINED = 60  # days of the first training, more than the smallest lake has: it predicts all days
DAYS = (20, 350, 3650)
_DAILY = 240  # commits a day, at least as many as snapshots are kept
_MONTH = 30
_PLACE = HOME / "ten-years"
_COUNT = "CONTRAIL_BENCH_METADATA"
# What each stage of a day is asked for. Performance measures the day whose labels are known by now.
CHAIN: dict[str, Callable[[int], list[str]]] = {
    "ingest": lambda day: ["--from", _day(day), "--as-of-cutoff"],
    "validate": lambda day: ["--from", _day(day), "--as-of-cutoff"],
    "features": lambda day: ["--from", _day(day)],
    "score": lambda day: ["--from", _day(day), "--model", "1"],
    "drift": lambda day: ["--from", _day(day), "--model", "1"],
    "performance": lambda day: ["--from", _day(day - 3)],
}
_LAKE, _FULL = _PLACE / "lake", _PLACE / "lake-full"


def _date(number: int) -> date:
    return FIRST + timedelta(days=number - 1)


def _day(number: int) -> str:
    return str(_date(number))


def _command(*arguments: str, **extra: str) -> Measured:
    return measured(arguments, CONTRAIL_HOME=str(_PLACE), CONTRAIL_PIPELINES=str(_PLACE / "pipelines"), **extra)


def _fill() -> None:
    """Ten years of the made-up pipeline, a model, and its predictions: once."""
    if (_PLACE / "filled").exists():
        return
    shutil.rmtree(_PLACE, ignore_errors=True)
    copied = shutil.copytree(PROJECT / "tests" / "pipelines" / PIPELINE, _PLACE / "pipelines" / PIPELINE)
    text = (copied / "pipeline.yaml").read_text()
    text = re.sub("first_partition: .*", f"first_partition: {FIRST}", text)
    (copied / "pipeline.yaml").write_text(re.sub("last_partition: .*", f"last_partition: {_day(DAYS[-1] + 30)}", text))
    whole = ("-p", PIPELINE, "--from", _day(1), "--to", _day(DAYS[-1] + 2))
    print("  ten years of days (once)…", flush=True)
    for verb in ("land", "ingest", "validate", "features"):
        _command(verb, *whole)
    _command("train", "-p", PIPELINE, "--from", _day(1), "--to", _day(TRAINED))
    for verb in ("score", "drift"):
        _command(verb, *whole, "--model", "1")
    _command("performance", *whole)
    (_PLACE / "filled").touch()


def _grow(day: int) -> Path:
    """The lake as daily runs leave it on the eve of ``day``, made once and kept beside the full one."""
    from contrail.config.pipeline import load_pipeline
    from contrail.config.settings import settings
    from contrail.lake.datasets import PARTITION
    from contrail.lake.lake import Lake
    from contrail.lake.provenance import Provenance
    from contrail.lake.records import all_datasets
    from contrail.partitions import Partitions

    kept = _PLACE / f"lake-day-{day}"
    if kept.exists():
        return kept
    print(f"  growing the lake a day at a time to day {day} (once)…", flush=True)
    os.environ |= {"CONTRAIL_HOME": str(_PLACE), "CONTRAIL_PIPELINES": str(_PLACE / "pipelines")}
    settings.cache_clear()
    full = Lake(settings(), PIPELINE)
    datasets = all_datasets(load_pipeline(PIPELINE).spec)
    rows = {name: full.scan(name) for name in full.table_names()}
    _swap(_LAKE, _FULL)
    grown = Lake(settings(), PIPELINE)
    daily = max(0, day - 1 - _DAILY)
    starts = [*range(0, daily + 1, _MONTH), *range(daily + 1, day)]  # day 0 has what was known before the first
    chunks = [Partitions(_date(start), _date(end - 1)) for start, end in pairwise([*starts, day])]
    try:
        for name, found in rows.items():
            dataset, provenance = datasets[name], Provenance("grow", "bench", "", "", "")
            if PARTITION not in dataset.partition_by:
                grown.publish(dataset, found, None, provenance)
                continue
            days = found[PARTITION].to_numpy()
            for part in chunks:
                inside = (days >= part.start) & (days <= part.end)
                grown.publish(dataset, found.filter(inside), part, provenance)
    finally:
        if _LAKE.exists():
            _swap(_LAKE, kept)
        _swap(_FULL, _LAKE)
    return kept


def _swap(source: Path, target: Path) -> None:
    # Iceberg's metadata holds absolute paths, so a lake is used only under the name that it was written with.
    shutil.rmtree(target, ignore_errors=True)
    source.rename(target)


def _chain(lake: Path, day: int, extra: Mapping[str, str] = {}) -> dict[str, float]:
    """One day's chain, each stage a process of its own, as a person or a DAG runs it: sums, and the largest memory."""
    _swap(_LAKE, _FULL)
    shutil.copytree(lake, _LAKE)
    try:
        found = [_command(verb, "-p", PIPELINE, *options(day), **extra) for verb, options in CHAIN.items()]
    finally:
        _swap(_FULL, _LAKE)
    return {
        "wall": sum(one.wall for one in found),
        "cpu": sum(one.cpu for one in found),
        "memory": max(one.memory for one in found) / 1e6,
        "metadata": sum(one.metadata for one in found) / 1e3,
    }


def measure() -> str:
    """The chain of day 20, of day 350 and of day 3,650."""
    _fill()
    lakes = {f"day {day:,}": (_grow(day), day) for day in DAYS}
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in lakes}

    def once(name: str) -> float:
        seen[name].append(_chain(*lakes[name]))
        return seen[name][-1]["cpu"]

    cpu = alternate({name: partial(once, name) for name in lakes})
    wall = [Row(name, *_spread([one["wall"] for one in found])) for name, found in seen.items()]
    memory = [Row(name, *_spread([one["memory"] for one in found]), "MB") for name, found in seen.items()]
    kilobytes = {name: _chain(*lake, {_COUNT: "1"})["metadata"] for name, lake in lakes.items()}
    read = [Row(name, value, value, value, "kB") for name, value in kilobytes.items()]
    return "\n".join(
        [
            table("One day's chain after 20, 350 and 3,650 days: seconds of CPU", cpu),
            table("The same, wall seconds", wall),
            table("The same, most memory of a stage", memory),
            table(
                "The same, metadata of the tables read",
                read,
                "Ingest, validate, features, score, drift and performance of one day, each a process of its own, on the "
                "tests' made-up pipeline with 60 rows a day. Goal of each ratio: at most 1.05.",
            ),
        ]
    )


def _spread(values: list[float]) -> tuple[float, float, float]:
    return sorted(values)[len(values) // 2], min(values), max(values)
