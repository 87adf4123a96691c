"""Which landed files came late, and which published days they reach. The module ``late`` acts on them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

import pyarrow as pa

from contrail.adapters.landed_files import LandingFolder, open_folder
from contrail.adapters.landed_rows import digest_of, read_rows
from contrail.errors import DamagedError, StructureError
from contrail.faults import stops_a_run
from contrail.lake.readers import PartitionState
from contrail.operations.backfill import Backfills
from contrail.operations.late_looks import LookedAt
from contrail.partitions import Partitions, as_ranges
from contrail.stages.staleness import Staleness

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
        folder = open_folder(backfills.settings.landing / spec.name, table, spec.tables[table].file_names)
        landed = folder.names.files
        days = (spec.first_partition + timedelta(days=n) for n in range((start - spec.first_partition).days))
        looked = LookedAt(backfills, table)
        found = []
        for day in days:
            paths, state = folder.deliveries.get(str(day), ()), own.get(day)
            if not paths or looked.knows(day, paths, state):
                continue
            if _differs(backfills, table, day, folder):
                found.append(day)
            else:
                looked.remember(day, paths, state)
        looked.keep()
        told += [_advice(backfills, table, days, landed, on) for days in as_ranges(found)]
    return told


def _differs(backfills: Backfills, table: str, day: date, folder: LandingFolder) -> bool:
    """Whether the lake holds other content."""
    name, source = f"raw_{table}", backfills.pipeline.spec.tables[table]
    try:
        files = [folder.look(path, source.file_limits) for path in folder.deliveries[str(day)]]
        if known := _known(backfills, name, day):
            return known != {digest_of([file.sha256 for file in files], source)}
        # A day without rows is as it should be, where it may be.
        return not source.may_be_empty or any(batch.num_rows for file in files for batch in read_rows(file, source))
    except StructureError:
        return True  # ingest says what is wrong
    except (DamagedError, OSError, pa.ArrowInvalid) as error:
        if stops_a_run(error):
            raise
        return True  # one of both cannot be read; ingest says which


def _known(backfills: Backfills, name: str, day: date) -> set[str]:
    """The digests of the files that a day's rows came from."""
    batches = backfills.lake.batches(name, Partitions(day, day), ["_sha256"]) if backfills.lake.exists(name) else ()
    return {digest for batch in batches for digest in batch.column(0).unique().to_pylist()}


def _advice(backfills: Backfills, table: str, days: Partitions, landed: Mapping[str, Sequence[str]], on: date) -> str:
    """Advise two backfills: one of the files' own days, and one of the published days that read them."""
    spec, reached = backfills.pipeline.spec, reached_features(backfills, {table: list(days)}, on)
    what = "features,score --model as-of" if spec.score.late_data == "rescore" else "features"
    steps = [(days, "ingest,validate"), *([(reached, what)] if reached else [])]
    commands = " && ".join(
        f"contrail backfill -p {spec.name} --from {part.start} --to {part.end} --stages {stages}"
        for part, stages in steps
    )
    files = " to ".join(dict.fromkeys(_shown(landed[str(day)]) for day in (days.start, days.end)))
    age = f"older than the {spec.schedule.late_days} days of schedule.late_days"
    return f"{table}/{files} came too late to be taken in, {age}. To take it in: {commands}"


def _shown(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def touched_days(backfills: Backfills, on: date) -> dict[str, list[date]]:
    """Days of each table whose file came after their validation, or after their refusal."""
    staleness = Staleness(backfills.pipeline, backfills.lake)
    found: dict[str, list[date]] = {}
    for table, days in published_days(backfills, "raw").items():
        # The newest day of a table belongs to its own run.
        ahead = backfills.pipeline.spec.tables[table].known_ahead
        last = on - timedelta(days=1 if ahead else 2)
        known = {*days, *staleness.partitions(f"validated_{table}")}
        if late := sorted(day for day in known if day <= last and staleness.landed_since(table, day)):
            found[table] = late
    return found


def following_days(
    backfills: Backfills, touched: Mapping[str, Iterable[date]], window: Partitions | None, *, changed: bool = True
) -> dict[str, list[date]]:
    """Validated days of a window whose rows refer to rows of touched days; with ``changed``, or to rows changed since.

    They are validated again: a row may have its partner now, or have lost it.
    """
    staleness = Staleness(backfills.pipeline, backfills.lake)
    found: dict[str, list[date]] = {}
    for table in backfills.pipeline.spec.daily_tables:
        validated = [day for day in staleness.partitions(f"validated_{table}") if window and day in window]
        own = set(touched.get(table, ()))
        follow = [
            day
            for day in validated
            if day not in own
            and (_refers(staleness, table, day, touched) or (changed and staleness.partners_since(table, day)))
        ]
        if follow:
            found[table] = follow
    return found


def _refers(staleness: Staleness, table: str, day: date, touched: Mapping[str, Iterable[date]]) -> bool:
    partners = staleness.partners(table, day)
    return any(each in window for name, window in partners.items() for each in touched.get(name, ()))


def reached_features(backfills: Backfills, touched: Mapping[str, Iterable[date]], on: date) -> Partitions | None:
    """The published features whose windows reach a touched day, as one range."""
    spec = backfills.pipeline.spec
    days = {
        reached
        for table, own in touched.items()
        for day in own
        for later in range(0 if spec.tables[table].known_ahead else 1, spec.features.lookback_days + 1)
        if (reached := day + timedelta(days=later)) <= on
    }
    published = backfills.lake.partitions("features", Partitions(min(days), max(days))) if days else {}
    built = sorted(days & published.keys())
    return Partitions(built[0], built[-1]) if built else None
