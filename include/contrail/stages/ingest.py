"""Ingest: landed files into ``raw_<table>``, every field as text with the file and line that it came from.

The stage takes a file whole or refuses it whole. Types and values belong to the stage validate.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import pyarrow as pa

from contrail.adapters.landed_files import open_folder
from contrail.config.file_names import REFERENCE
from contrail.errors import FileRefusedError, StructureError
from contrail.lake import datasets, forgotten
from contrail.lake.forgotten import Marks
from contrail.lake.sessions import spill_folder
from contrail.partitions import Partitions, as_ranges
from contrail.stages.base import StageRun, result_of
from contrail.stages.ingestion.files import READERS, Delivery, File, Hashes, Rows, published_hashes, schema_of
from contrail.stages.ingestion.spool import Room
from contrail.stages.options import IngestOptions as Options
from contrail.stages.refusals import Refusal, counted, describe, publish_refusals, reference_partition
from contrail.stages.results import IngestDetails, StageResult

# Of the memory for rows, what may wait in it until it is published.
_WAITING_SHARE = 8
# A file is late if a partition of these many days after it is in the lake. A run need not list all of history.
_LOOK_AHEAD_DAYS = 31


@dataclass
class _Table:
    """What became of one table's files."""

    name: str
    snapshot: int | None = None
    rows: int = 0
    taken: list[date | None] = field(default_factory=list)
    late: list[date] = field(default_factory=list)
    replaced: list[date] = field(default_factory=list)
    unchanged: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    left_out: int = 0


def execute(run: StageRun[Options]) -> StageResult[IngestDetails]:
    """Ingest every daily table's partitions of the range, and the reference tables, as one job.

    A file whose content is in the lake already is not read again. Good files are published even when others are
    refused.

    Raises:
        FileRefusedError: naming each refused file, what is wrong with it, and where its copy is kept.
    """
    marks = forgotten.load(run.lake)
    tables = [_ingest_table(run, name, marks) for name in run.pipeline.spec.tables]
    if refusals := [refusal for table in tables for refusal in table.refusals]:
        raise FileRefusedError(_message(run, tables, refusals))
    return result_of(
        run,
        rows=sum(table.rows for table in tables),
        unchanged=not any(table.taken for table in tables),
        snapshots={f"raw_{table.name}": table.snapshot for table in tables if table.snapshot},
        details=IngestDetails(
            files=sum(len(table.taken) for table in tables),
            unchanged_files=sum(table.unchanged for table in tables),
            late=_named({table.name: table.late for table in tables}),
            replaced=_named({table.name: table.replaced for table in tables}),
        ),
    )


def _named(found: Mapping[str, Sequence[date]]) -> tuple[str, ...]:
    return tuple(f"{table} {days}" for table, dates in found.items() for days in as_ranges(dates))


def _message(run: StageRun[Options], tables: Sequence[_Table], refusals: Sequence[Refusal]) -> str:
    # A reference table's refusal is filed under the first partition. The command need not begin there.
    dated = [r.partition for r in refusals if run.pipeline.spec.tables[r.table].kind == "daily"] or list(run.partitions)
    days = Partitions(min(dated), max(dated))
    taken = sum(len(table.taken) for table in tables)
    return (
        f"{counted(len(refusals), 'landed file')} refused; other new files in the lake: {taken}.\n"
        f"{describe(refusals)}\n"
        "What the lake held for the refused partitions stays readable.\n"
        f"Land mended files, by the same name or {_again(run, refusals)}, in {run.settings.landing / run.pipeline.name} "
        "and run again:\n"
        f"  contrail ingest -p {run.pipeline.name} --from {days.start} --to {days.end}"
    )


def _again(run: StageRun[Options], refusals: Sequence[Refusal]) -> str:
    """The name of a second delivery, where all refused tables have the same."""
    names = {run.pipeline.spec.tables[refusal.table].file_names.pattern for refusal in refusals}
    usual = names <= {"{date}.csv.gz", f"{REFERENCE}.csv.gz"}
    return "as <date>.2.csv.gz" if usual else "with .2 after the date"


def _ingest_table(run: StageRun[Options], name: str, marks: Marks | None) -> _Table:
    daily = run.pipeline.spec.tables[name].kind == "daily"
    partitions = run.partitions_of(name)
    if daily and partitions is None:
        return _Table(name)
    known = published_hashes(run, name, partitions)
    wanted: list[date | None] = list(partitions) if partitions else [None]
    layout = run.pipeline.spec.tables[name].file_names
    folder = open_folder(
        run.settings.landing / run.pipeline.name, name, layout, {str(day or REFERENCE) for day in wanted}
    )
    with spill_folder(run.settings) as spill:
        room = Room(spill, run.settings.memory_bytes // _WAITING_SHARE)
        delivery = Delivery(run, name, folder, known, partial(_check_not_future, run, name), room, marks)
        with ThreadPoolExecutor(READERS) as threads:
            files = list(threads.map(delivery.read, wanted))
        refusals = [*(file.refusal for file in files if file.refusal), *delivery.strays(partitions)]
        # Before the rows, which mark the day as done.
        publish_refusals(run, name, [day or reference_partition(run) for day in wanted], refusals)
        table = _publish(run, name, files, known)
    table.refusals, table.left_out = refusals, sum(file.left_out for file in files)
    _report(run, table, delivery.strays_elsewhere(partitions))
    return table


def _report(run: StageRun[Options], table: _Table, elsewhere: int) -> None:
    parts = [f"{len(table.taken)} files taken ({table.rows:,} rows)", f"{table.unchanged} unchanged"]
    late = [f"late: {', '.join(map(str, as_ranges(table.late)))}"] if table.late else []
    refused = [f"{len(table.refusals)} refused"] if table.refusals else []
    other = [f"{elsewhere} misnamed of days outside this range"] if elsewhere else []
    run.progress(f"{table.name}: {', '.join([*parts, *late, *refused, *other])}")
    if table.left_out:
        run.progress(
            f"{table.name}: {table.left_out:,} rows are of persons who were forgotten, and stay out. The landed files have "
            f"them again. To remove them there: contrail forget -p {run.pipeline.name} --reason again"
        )


def _today(timezone: str) -> date:
    return datetime.now(ZoneInfo(timezone)).date()


def _check_not_future(run: StageRun[Options], table: str, day: date) -> None:
    spec = run.pipeline.spec
    # A table known ahead lands on the evening before its day.
    newest = _today(spec.timezone) + timedelta(days=int(spec.tables[table].known_ahead))
    if day > newest:
        detail = f"the partition lies in the future: today is {_today(spec.timezone)} in {spec.timezone}"
        raise StructureError("future_partition", f"{detail}; is the date in the file's name right?")
    if spec.last_partition and day > spec.last_partition:
        raise StructureError("future_partition", f"the pipeline ends with {spec.last_partition} (last_partition)")


def _publish(run: StageRun[Options], name: str, files: Sequence[File], known: Hashes) -> _Table:
    taken = {file.partition: file.rows for file in files if file.rows is not None}
    refusals = [file.refusal for file in files if file.refusal]
    table = _Table(name, refusals=refusals, taken=list(taken), unchanged=len(files) - len(taken) - len(refusals))
    if not taken:
        return table
    days = [day for day in taken if day]
    table.late = _late(run, name, days, known) if days else []
    table.replaced = [day for day in days if day in known]
    table.rows = sum(rows.number for rows in taken.values())
    dataset = datasets.raw(run.pipeline.spec, name)
    stream = _stream(run, name, list(taken.values()))
    table.snapshot = run.lake.publish(dataset, stream, days or None, run.provenance(inputs={}))
    return table


def _stream(run: StageRun[Options], name: str, taken: Sequence[Rows]) -> pa.RecordBatchReader:
    schema = schema_of(run.pipeline.spec.tables[name])
    return pa.RecordBatchReader.from_batches(schema, (batch for rows in taken for batch in rows.take(name)))


def _late(run: StageRun[Options], name: str, days: Sequence[date], known: Hashes) -> list[date]:
    """New partitions that arrived after a later one."""
    if not run.lake.exists(f"raw_{name}"):
        return []
    last = max(days)
    after = Partitions(last + timedelta(days=1), last + timedelta(days=_LOOK_AHEAD_DAYS))
    later = bool(run.lake.files(f"raw_{name}", after))
    newest = after.start if later else max((day for day in known if day), default=date.min)
    return [day for day in days if day < newest and day not in known]
