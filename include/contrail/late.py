"""Late data: take in files of past days that came late or were delivered anew, and rebuild what they touch.

A day's own run does not look back. This does, over ``schedule.late_days``: it ingests and validates what has changed,
builds again the features whose windows reach it, scores them again only where ``score.late_data`` says so, and writes
down what became different in ``corrections``. Killed half-way, the next run goes on: what is left to do is asked of the
lake.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from contrail.backfill import Backfills, Record
from contrail.backfill_plan import Request
from contrail.errors import ContrailError, FileRefusedError, PartitionRefusedError
from contrail.lake import datasets
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import PartitionState
from contrail.lake.model_history import AS_OF
from contrail.partitions import Partitions, as_ranges
from contrail.stages.base import silent
from contrail.stages.runner import make_run, new_run_id, run_stage

TABLE = "corrections"
_States = dict[str, dict[date, PartitionState]]


@dataclass
class Found:
    """What came late, and what became of it. ``files`` names tables and days, ``days`` those that are different now."""

    files: list[str] = field(default_factory=list)
    days: list[str] = field(default_factory=list)
    decisions_flipped: int = 0
    backfill: str = ""
    reports: list[str] = field(default_factory=list)


def correct(
    backfills: Backfills, on: date, run_id: str | None = None, progress: Callable[[str], None] = silent
) -> Found:
    """Take in what came late before day ``on``, at whose cut-off this runs.

    Raises:
        FileRefusedError: for a late file that is bad, after all others were taken in. One that is still missing was
            told by its own day's run.
        PartitionRefusedError: for a late day that broke its contract; what was published of it stays.
    """
    name, run_id = backfills.pipeline.name, run_id or new_run_id()
    window = _window(backfills, on)
    if window is None:
        return Found()
    before = _states(backfills, "raw")
    refused: list[ContrailError] = []
    options = {"as_of_cutoff": True, "leave_missing": True}
    try:
        run_stage("ingest", name, window, run_id=run_id, options=options, progress=progress)
    except FileRefusedError as error:
        refused.append(error)
    raw = _states(backfills, "raw")
    touched = _touched(backfills, raw, before, on)
    for days in as_ranges({day for own in touched.values() for day in own}):
        try:
            run_stage("validate", name, days, run_id=run_id, progress=progress)
        except PartitionRefusedError as error:
            refused.append(error)
    found = Found([f"{table} {days}" for table, own in touched.items() for days in as_ranges(own)])
    if reached := _reached(backfills, touched, on):
        _rebuild(backfills, reached, found, run_id, progress)
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


def _rebuild(
    backfills: Backfills, reached: Partitions, found: Found, run_id: str, progress: Callable[[str], None]
) -> None:
    rescore = backfills.pipeline.spec.score.late_data == "rescore" and backfills.lake.exists("predictions")
    scored = backfills.lake.partitions("predictions") if rescore else {}
    days = [day for day in reached if day in scored]
    stages: list[tuple[tuple[str, ...], Partitions]] = [(("features",), reached)]
    if days:
        stages.append((("score",), Partitions(days[0], days[-1])))
    for names, partitions in stages:
        request = Request(partitions, names, AS_OF if names == ("score",) else "champion")
        plan = backfills.plan(request)
        record = backfills.open(plan, f"late-{names[0]}-{run_id}", progress)
        backfills.run(plan, record, progress)
        found.reports += backfills.finish(record)
        found.backfill = record.id
        _record(backfills, record, found, run_id)


def _record(backfills: Backfills, record: Record, found: Found, run_id: str) -> None:
    """A row for each day and table whose rows became different."""
    now, cause = datetime.now(UTC), ", ".join(found.files)
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
