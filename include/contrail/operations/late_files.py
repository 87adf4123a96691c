"""Which landed files came late, and which published days they reach. The module ``late`` acts on them."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from hashlib import sha256

import pyarrow as pa
from upath import UPath

from contrail.adapters.landed_files import LandingFolder, open_folder
from contrail.errors import StructureError
from contrail.lake.datasets import PARTITION
from contrail.lake.readers import PartitionState
from contrail.operations.backfill import Backfills
from contrail.partitions import Partitions, as_ranges

States = dict[str, dict[date, PartitionState]]


def look_back(backfills: Backfills, on: date) -> Partitions | None:
    """The days before ``on`` whose late files are taken in; None before the first partition."""
    spec = backfills.pipeline.spec
    first = max(on - timedelta(days=spec.schedule.late_days), spec.first_partition)
    last = min(on - timedelta(days=1), spec.last_partition or on)
    return Partitions(first, last) if first <= last else None


def published_days(backfills: Backfills, layer: str) -> States:
    """The partitions of each daily table in a layer, ``raw`` or ``validated``."""
    return {table: backfills.lake.partitions(f"{layer}_{table}") for table in backfills.pipeline.spec.daily_tables}


def older_files(backfills: Backfills, raw: States, start: date, on: date) -> list[str]:
    """Advice about landed files of days before ``start`` that the lake does not hold."""
    spec, told = backfills.pipeline.spec, []
    for table, own in raw.items():
        folder = open_folder(backfills.settings.landing / spec.name, table, daily=True)
        landed = folder.files
        # A table may be empty on a day. Then the day's entities say when a run last read the landing zone.
        looked = {**raw[spec.entities], **own}
        days = (spec.first_partition + timedelta(days=n) for n in range((start - spec.first_partition).days))
        found = [
            day
            for day in days
            if (path := landed.get(str(day)))
            and _came_after(path, looked.get(day))
            and _differs(backfills, table, day, folder, path)
        ]
        told += [_advice(backfills, table, days, landed, on) for days in as_ranges(found)]
    return told


def _came_after(path: UPath, looked: PartitionState | None) -> bool:
    if looked is None or looked.updated_at is None:
        return True
    try:
        return bool(path.fs.modified(str(path)) > looked.updated_at)
    except OSError:
        return True  # a broken link, for example; ingest says what is wrong with it


def _differs(backfills: Backfills, table: str, day: date, folder: LandingFolder, path: UPath) -> bool:
    """Whether the lake holds other content. Only files that came after its rows need this check."""
    name = f"raw_{table}"
    if not backfills.lake.exists(name):
        return True
    try:
        known = backfills.lake.scan(name, Partitions(day, day), ["_sha256"]).column(0).unique().to_pylist()
        content = folder.read(path, backfills.pipeline.spec.tables[table].file_limits)
    except (StructureError, OSError, pa.ArrowInvalid):
        return True  # one of both cannot be read; ingest says which
    return known != [sha256(content).hexdigest()]


def _advice(backfills: Backfills, table: str, days: Partitions, landed: Mapping[str, UPath], on: date) -> str:
    """Advise two backfills: one of the files' own days, and one of the published days that read them."""
    spec, reached = backfills.pipeline.spec, reached_features(backfills, {table: list(days)}, on)
    what = "features,score --model as-of" if spec.score.late_data == "rescore" else "features"
    steps = [(days, "ingest,validate"), *([(reached, what)] if reached else [])]
    commands = " && ".join(
        f"contrail backfill -p {spec.name} --from {part.start} --to {part.end} --stages {stages}"
        for part, stages in steps
    )
    files = " to ".join(dict.fromkeys(landed[str(day)].name for day in (days.start, days.end)))
    age = f"older than the {spec.schedule.late_days} days of schedule.late_days"
    return f"{table}/{files} came too late to be taken in, {age}. To take it in: {commands}"


def touched_days(backfills: Backfills, raw: States, before: States, on: date) -> dict[str, list[date]]:
    """Days of each table whose file came after their validation.

    A refused day counts again only if this run took in a new file of it.
    """
    validated = published_days(backfills, "validated")
    known = backfills.lake.exists("refusals")
    rows = backfills.lake.scan("refusals", columns=[PARTITION, "stage"]).to_pylist() if known else []
    refused = {row[PARTITION] for row in rows if row["stage"] == "validate"}
    found: dict[str, list[date]] = {}
    for table, days in raw.items():
        newer = [day for day, state in days.items() if day < on and _newer(state, validated[table].get(day))]
        own = [
            day for day in newer if day not in refused or _published_at(before[table], day) != _published_at(days, day)
        ]
        # The newest day of a table belongs to its own run.
        ahead = backfills.pipeline.spec.tables[table].known_ahead
        last = on - timedelta(days=1 if ahead else 2)
        if late := sorted(day for day in own if day <= last):
            found[table] = late
    return found


def _published_at(states: Mapping[date, PartitionState], day: date) -> datetime | None:
    return states[day].updated_at if day in states else None


def _newer(read: PartitionState, made: PartitionState | None) -> bool:
    return made is None or bool(read.updated_at and made.updated_at and read.updated_at > made.updated_at)


def reached_features(backfills: Backfills, touched: Mapping[str, Iterable[date]], on: date) -> Partitions | None:
    """The published features whose windows reach a touched day, as one range."""
    spec, published = backfills.pipeline.spec, backfills.lake.partitions("features")
    days = {
        day + timedelta(days=later)
        for table, own in touched.items()
        for day in own
        for later in range(0 if spec.tables[table].known_ahead else 1, spec.features.lookback_days + 1)
    }
    built = sorted(day for day in days if day in published and day <= on)
    return Partitions(built[0], built[-1]) if built else None
