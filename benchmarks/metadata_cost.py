"""What a day's publication reads of a table, with 16 snapshots in the metadata and with 200.

A table gets a commit a day, as the daily DAG makes them, for up to 240 days, and a commit a month for the days before. Four
more days are then published, each by a process of its own. It asks first what a stage asks: which of the last week's days
are there, who made them, and whether they changed. ``daily_cost`` measures the whole chain.
"""

import os
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

from benchmarks.harness import HOME, PROJECT, Row, alternate, environment, table

DAYS = (20, 350, 3650)
LISTED = (200, 16)
_FIRST, _DAILY, _MONTH = date(2014, 1, 1), 240, 30
_CYCLE = 4  # days that are measured, for snapshots move to the archive with every fourth
_PLACE = HOME / "metadata-cost"
# The definition of a result is the longest text of a real commit's summary (``stages.fingerprint``).
_DEFINITION = "".join(f"{number:064x}" for number in range(16))


def _day(number: int) -> date:
    return _FIRST + timedelta(days=number - 1)


def _lake(place: Path, listed: int):  # type: ignore[no-untyped-def]
    os.environ |= {"CONTRAIL_HOME": str(place), "CONTRAIL_PROJECT": str(PROJECT)}
    from contrail.config.settings import settings
    from contrail.lake import upkeep
    from contrail.lake.lake import Lake

    settings.cache_clear()
    upkeep.LISTED = listed
    return Lake(settings(), "days")


def _publish(lake, first: int, last: int) -> int:  # type: ignore[no-untyped-def]
    """Publish these days in one commit, as a stage does, three rows each."""
    import pyarrow as pa

    from contrail.config.table_spec import ColumnSpec
    from contrail.lake.datasets import PARTITION, Dataset
    from contrail.lake.provenance import Provenance
    from contrail.partitions import Partitions

    columns = {PARTITION: ColumnSpec(type="date"), **{f"c{i}": ColumnSpec(type="int", doc=".") for i in range(12)}}
    dataset = Dataset("days", "Days.", columns, ("c0",))
    days = [_day(number) for number in range(first, last + 1) for _ in range(3)]
    numbers = [row % 3 for row in range(len(days))]
    rows = pa.table({PARTITION: pa.array(days, pa.date32()), **{f"c{i}": numbers for i in range(12)}})
    made_by = Provenance(
        f"run-{last}", "features", "hash", "revision", "lock", {"raw": last}, {"definition": _DEFINITION}
    )
    return int(lake.publish(dataset, rows, Partitions(_day(first), _day(last)), made_by))


def _grow(day: int, listed: int) -> Path:
    place = _PLACE / f"{listed}-{day}"
    if not (place / "grown").exists():
        shutil.rmtree(place, ignore_errors=True)
        lake, daily = _lake(place, listed), max(0, day - 1 - _DAILY)
        for first, end in pairwise([*range(1, daily + 1, _MONTH), *range(daily + 1, day + 1)]):
            _publish(lake, first, end - 1)
        (place / "grown").touch()
    return place


def _one_day(place: str, listed: str, day: str) -> None:
    """The measured process: what a day does, and on stdout its processor seconds and the bytes of metadata read."""
    from benchmarks.counted import _count
    from contrail.partitions import Partitions

    lake, number = _lake(Path(place), int(listed)), int(day)
    lake.snapshot_id("nothing")  # the libraries are loaded, the catalog is open
    counted, before = _count(), resource.getrusage(resource.RUSAGE_SELF)
    week = Partitions(_day(number - 7), _day(number - 1))
    lake.partitions("days", week)
    lineage = lake.lineage("days")
    assert all(lineage.maker(one) for one in week)
    assert lineage.unchanged_since(lake.snapshot_id("days"), week)
    _publish(lake, number, number)
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, counted[0] / 1e3)


def _measured(day: int, listed: int, seen: list[float]) -> float:
    place = _grow(day, listed)
    kept = place.with_name(f"{place.name}-kept")
    shutil.copytree(place, kept)
    try:
        days = [_own_process(place, listed, day + more) for more in range(_CYCLE)]
    finally:
        shutil.rmtree(place)
        kept.rename(place)
    seen.append(sum(kilobytes for _, kilobytes in days) / _CYCLE)
    return sum(seconds for seconds, _ in days) / _CYCLE * 1000


def _own_process(place: Path, listed: int, day: int) -> tuple[float, float]:
    code = f"from benchmarks.metadata_cost import _one_day; _one_day({str(place)!r}, {listed}, {day})"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=PROJECT, env=environment(), capture_output=True, text=True, check=True)
    seconds, kilobytes = map(float, done.stdout.split())
    return seconds, kilobytes


def measure() -> str:
    """One table's day, on day 20, 350 and 3,650, with 200 snapshots in the metadata as before, and with 16."""
    candidates = {(listed, day): f"day {day:,}" for listed in LISTED for day in DAYS}
    read: dict[tuple[int, int], list[float]] = {one: [] for one in candidates}
    named = {
        f"{name}, {listed}": partial(_measured, day, listed, read[listed, day])
        for (listed, day), name in candidates.items()
    }
    cpu = iter(alternate(named, unit="ms"))
    parts = []
    for listed in LISTED:
        rows = [replace(next(cpu), name=f"day {day:,}") for day in DAYS]
        kilobytes = [Row(f"day {day:,}", *read[listed, day][:1] * 3, "kB") for day in DAYS]
        parts += [
            table(f"One day of one table, {listed} snapshots in its metadata: milliseconds of CPU", rows),
            table(f"The same, {listed} snapshots: metadata read", kilobytes),
        ]
    return "\n".join(parts)
