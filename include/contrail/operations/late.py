"""Late data: take in files of past days that came late or were delivered anew, and rebuild what they touch.

A day's own run does not look back. This does, over ``schedule.late_days``: it ingests and validates what has changed,
builds again the features whose windows reach it, scores them again only where ``score.late_data`` says so, and writes
down what became different in ``corrections``. Killed anywhere, the next run goes on to what an uninterrupted one leaves:
each step may be done again, and a file beside the reports says until the last one what there is to do. What came for
older days is named and not taken in.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

import pyarrow as pa
from upath import UPath

from contrail.errors import ContrailError, FileRefusedError, PartitionRefusedError
from contrail.files import write_whole
from contrail.lake import datasets
from contrail.lake.datasets import PARTITION
from contrail.lake.model_history import AS_OF
from contrail.lake.readers import PartitionState
from contrail.operations.backfill import Backfills, Record
from contrail.operations.backfill_plan import Request
from contrail.partitions import Partitions, as_ranges
from contrail.stages.base import silent
from contrail.stages.ingest import landed_files
from contrail.stages.runner import make_run, new_run_id, run_stage

TABLE = "corrections"
_States = dict[str, dict[date, PartitionState]]


@dataclass
class Found:
    """What came late, and what became of it.

    ``files`` names tables and days, ``days`` those that are different now; ``too_old`` has a sentence for files of days
    before the look-back, with the command that takes them in.
    """

    files: list[str] = field(default_factory=list)
    days: list[str] = field(default_factory=list)
    decisions_flipped: int = 0
    backfill: str = ""
    reports: list[str] = field(default_factory=list)
    too_old: list[str] = field(default_factory=list)


@dataclass
class _Work:
    """What came late in one run, and the published days that it reaches; decided before anything of it is committed."""

    id: str
    touched: dict[str, list[str]]
    features: str | None
    scores: str | None
    validated: bool = False

    @property
    def files(self) -> list[str]:
        """Tables and their days."""
        return [f"{table} {part}" for table, days in self.touched.items() for part in as_ranges(map(_day, days))]


def correct(
    backfills: Backfills, on: date, run_id: str | None = None, progress: Callable[[str], None] = silent
) -> Found:
    """Take in what came late before day ``on``, at whose cut-off this runs, after what an earlier run did not end.

    Raises:
        FileRefusedError: for a late file that is bad, after all others were taken in. One that is still missing was
            told by its own day's run.
        PartitionRefusedError: for a late day that broke its contract; what was published of it stays.
        ContrailError: as a stage does, for what an earlier run did not end either, after everything else.
    """
    name, run_id, found = backfills.pipeline.name, run_id or new_run_id(), Found()
    refused: list[ContrailError] = []
    for work in _unfinished(backfills):
        progress(f"going on with {', '.join(work.files)}: the run {work.id} did not end")
        try:
            refused += _do(backfills, work, found, run_id, progress)
        except ContrailError as error:
            refused.append(error)
    if window := _window(backfills, on):
        before = _states(backfills, "raw")
        for told in _too_old(backfills, before, window.start, on):
            progress(told)
            found.too_old.append(told)
        options = {"as_of_cutoff": True, "leave_missing": True}
        try:
            run_stage("ingest", name, window, run_id=run_id, options=options, progress=progress)
        except FileRefusedError as error:
            refused.append(error)
        if touched := _touched(backfills, _states(backfills, "raw"), before, on):
            work = _plan(backfills, touched, on, run_id)
            _write(backfills, work)
            refused += _do(backfills, work, found, run_id, progress)
    if refused:
        raise refused[0]
    return found


def _window(backfills: Backfills, on: date) -> Partitions | None:
    spec = backfills.pipeline.spec
    first = max(on - timedelta(days=spec.schedule.late_days), spec.first_partition)
    last = min(on - timedelta(days=1), spec.last_partition or on)
    return Partitions(first, last) if first <= last else None


def _states(backfills: Backfills, layer: str) -> _States:
    return {table: backfills.lake.partitions(f"{layer}_{table}") for table in backfills.pipeline.spec.daily_tables}


def _too_old(backfills: Backfills, raw: _States, start: date, on: date) -> list[str]:
    """What to tell of landed files of days before ``start`` that the lake does not hold."""
    spec, told = backfills.pipeline.spec, []
    for table, own in raw.items():
        landed = landed_files(backfills.settings.landing / spec.name / table)
        # A table may be empty on a day: then the day's entities say when it was looked at.
        looked = {**raw[spec.entities], **own}
        days = (spec.first_partition + timedelta(days=n) for n in range((start - spec.first_partition).days))
        found = [
            day
            for day in days
            if (path := landed.get(str(day)))
            and _came_after(path, looked.get(day))
            and _differs(backfills, table, day, path)
        ]
        told += [_advice(backfills, table, days, landed, on) for days in as_ranges(found)]
    return told


def _came_after(path: UPath, looked: PartitionState | None) -> bool:
    return looked is None or looked.updated_at is None or path.fs.modified(str(path)) > looked.updated_at


def _differs(backfills: Backfills, table: str, day: date, path: UPath) -> bool:
    """Whether the lake holds something else; asked only of files that came after it."""
    name = f"raw_{table}"
    if not backfills.lake.exists(name):
        return True
    known = backfills.lake.scan(name, Partitions(day, day), ["_sha256"]).column(0).unique().to_pylist()
    return known != [sha256(path.read_bytes()).hexdigest()]


def _advice(backfills: Backfills, table: str, days: Partitions, landed: Mapping[str, UPath], on: date) -> str:
    """Two backfills: of the files' own days, and of what is published and reads them."""
    spec, reached = backfills.pipeline.spec, _reached(backfills, {table: list(days)}, on)
    what = "features,score --model as-of" if spec.score.late_data == "rescore" else "features"
    steps = [(days, "ingest,validate"), *([(reached, what)] if reached else [])]
    commands = " && ".join(
        f"contrail backfill -p {spec.name} --from {part.start} --to {part.end} --stages {stages}"
        for part, stages in steps
    )
    files = " to ".join(dict.fromkeys(landed[str(day)].name for day in (days.start, days.end)))
    age = f"older than the {spec.schedule.late_days} days of schedule.late_days"
    return f"{table}/{files} came too late to be taken in, {age}. To take it in: {commands}"


def _touched(backfills: Backfills, raw: _States, before: _States, on: date) -> dict[str, list[date]]:
    """Days of each table whose file has come since they were validated.

    A day that was refused is looked at again only when a new file of it has come in this run.
    """
    validated = _states(backfills, "validated")
    known = backfills.lake.exists("refusals")
    rows = backfills.lake.scan("refusals", columns=[PARTITION, "stage"]).to_pylist() if known else []
    refused = {row[PARTITION] for row in rows if row["stage"] == "validate"}
    found: dict[str, list[date]] = {}
    for table, days in raw.items():
        newer = [day for day, state in days.items() if day < on and _newer(state, validated[table].get(day))]
        own = [
            day for day in newer if day not in refused or _published_at(before[table], day) != _published_at(days, day)
        ]
        # The newest day of a table is its own run's business.
        ahead = backfills.pipeline.spec.tables[table].known_ahead
        last = on - timedelta(days=1 if ahead else 2)
        if late := sorted(day for day in own if day <= last):
            found[table] = late
    return found


def _published_at(states: Mapping[date, PartitionState], day: date) -> datetime | None:
    return states[day].updated_at if day in states else None


def _newer(read: PartitionState, made: PartitionState | None) -> bool:
    return made is None or bool(read.updated_at and made.updated_at and read.updated_at > made.updated_at)


def _reached(backfills: Backfills, touched: Mapping[str, Iterable[date]], on: date) -> Partitions | None:
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


# ---- what there is to do, from its first commit to its last ----


def _plan(backfills: Backfills, touched: Mapping[str, list[date]], on: date, run_id: str) -> _Work:
    reached = _reached(backfills, touched, on)
    rescore = backfills.pipeline.spec.score.late_data == "rescore"
    scored = backfills.lake.partitions("predictions") if rescore else {}
    days = [day for day in reached or () if day in scored]
    return _Work(
        id=run_id,
        touched={table: [str(day) for day in own] for table, own in touched.items()},
        features=str(reached) if reached else None,
        scores=str(Partitions(days[0], days[-1])) if days else None,
    )


def _do(
    backfills: Backfills, work: _Work, found: Found, run_id: str, progress: Callable[[str], None]
) -> list[PartitionRefusedError]:
    """Every step of it, those that an earlier run has done already too; the days that were refused."""
    refused = []
    touched = {_day(day) for days in work.touched.values() for day in days}
    # Once more after the features were built, it would make them stale.
    for days in as_ranges(touched) if not work.validated else []:
        try:
            run_stage("validate", backfills.pipeline.name, days, run_id=run_id, progress=progress)
        except PartitionRefusedError as error:
            refused.append(error)
    work.validated = True
    _write(backfills, work)
    found.files += work.files
    for stage, partitions in (("features", work.features), ("score", work.scores)):
        if partitions:
            _rebuild(backfills, work, stage, Partitions.from_text(partitions), found, run_id, progress)
    _path(backfills, work.id).unlink(missing_ok=True)
    return refused


def _path(backfills: Backfills, work_id: str) -> UPath:
    return backfills.settings.reports / backfills.pipeline.name / "late" / f"{work_id}.json"


def _write(backfills: Backfills, work: _Work) -> None:
    write_whole(_path(backfills, work.id), json.dumps(vars(work), indent=1).encode())


def _unfinished(backfills: Backfills) -> list[_Work]:
    paths = _path(backfills, "any").parent.glob("*.json")
    return [_Work(**json.loads(path.read_text(encoding="utf-8"))) for path in sorted(paths, key=str)]


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _rebuild(
    backfills: Backfills,
    work: _Work,
    stage: str,
    partitions: Partitions,
    found: Found,
    run_id: str,
    progress: Callable[[str], None],
) -> None:
    """A backfill by a name of its own, so that the next run compares with what was published before the first."""
    plan = backfills.plan(Request(partitions, (stage,), AS_OF if stage == "score" else "champion"))
    record = backfills.open(plan, f"late-{stage}-{work.id}", progress)
    backfills.run(plan, record, progress)
    found.reports += backfills.finish(record)
    found.backfill = record.id
    _record(backfills, record, found, ", ".join(work.files), run_id)


def _record(backfills: Backfills, record: Record, found: Found, cause: str, run_id: str) -> None:
    """A row for each day and table whose rows became different."""
    now = datetime.now(UTC)
    entries = [
        {
            PARTITION: date.fromisoformat(day["partition"]),
            "published": table,
            "corrected_at": now,
            "cause": cause,
            "rows_changed": day["changed"] + day["added"] + day["removed"],
            "rows": day["rows_after"],
            "largest_shift": day.get("largest_shift"),
            "decisions_flipped": day.get("flipped_to_true", 0) + day.get("flipped_to_false", 0),
            "backfill": record.id,
            "run_id": run_id,
        }
        for table, compared in record.difference.items()
        if table in (("predictions",) if record.stages == ["score"] else ("features",))
        for day in compared["days"]
        if day["changed"] or day["added"] or day["removed"]
    ]
    if not entries:
        return
    spec = backfills.pipeline.spec
    dataset = datasets.corrections(spec)
    rows = pa.Table.from_pylist(entries, schema=dataset.arrow_schema())
    days = {entry[PARTITION] for entry in entries}
    run = make_run("late", spec.name, Partitions(min(days), max(days)), run_id=run_id)
    backfills.lake.publish(dataset, rows, days, run.provenance({}), {"backfill": record.id})
    found.days = sorted({*found.days, *map(str, days)})
    found.decisions_flipped += sum(int(entry["decisions_flipped"]) for entry in entries)
