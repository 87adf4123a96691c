"""Ingest: landed files into ``raw_<table>``, every field as text with the file and line that it came from.

The stage takes a file whole or refuses it whole. Types and values belong to the stage validate.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
from upath import UPath

from contrail.adapters.landed_csv import StructureError, read_landed
from contrail.errors import FileRefusedError
from contrail.files import write_whole
from contrail.lake import datasets
from contrail.lake.datasets import PARTITION
from contrail.partitions import Partitions, as_ranges
from contrail.stages.base import StageRun, result_of
from contrail.stages.options import IngestOptions as Options
from contrail.stages.refusals import Refusal, counted, describe, publish_refusals, reference_partition
from contrail.stages.results import IngestDetails, StageResult

_NAME = re.compile(r"(?P<stem>reference|\d{4}-\d{2}-\d{2})(?:\.(?P<revision>\d+))?\.csv\.gz")
_THREADS = 8
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


@dataclass(frozen=True)
class _File:
    """A landed file, read or refused; unchanged if it has no rows and no refusal.

    ``partition`` is None for a reference table.
    """

    partition: date | None
    rows: pa.Table | None = None
    refusal: Refusal | None = None


def execute(run: StageRun[Options]) -> StageResult[IngestDetails]:
    """Ingest every daily table's partitions of the range, and the reference tables, as one job.

    A file whose content is in the lake already is not read again. Good files are published even when others are
    refused.

    Raises:
        FileRefusedError: naming each refused file, what is wrong with it, and where its copy is kept.
    """
    tables = [_ingest_table(run, name) for name in run.pipeline.spec.tables]
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
    days = Partitions(min(r.partition for r in refusals), max(r.partition for r in refusals))
    taken = sum(len(table.taken) for table in tables)
    return (
        f"{counted(len(refusals), 'landed file')} refused; other new files in the lake: {taken}.\n"
        f"{describe(refusals)}\n"
        "What the lake held for the refused partitions stays readable.\n"
        f"Land mended files, by the same name or as <date>.2.csv.gz, in {run.settings.landing / run.pipeline.name} "
        "and run again:\n"
        f"  contrail ingest -p {run.pipeline.name} --from {days.start} --to {days.end}"
    )


def _ingest_table(run: StageRun[Options], name: str) -> _Table:
    daily = run.pipeline.spec.tables[name].kind == "daily"
    partitions = run.partitions_of(name)
    if daily and partitions is None:
        return _Table(name)
    known = _published_hashes(run, name, partitions)
    wanted: list[date | None] = list(partitions) if partitions else [None]
    landed = landed_files(run.settings.landing / run.pipeline.name / name)
    with ThreadPoolExecutor(_THREADS) as threads:
        files = list(threads.map(lambda day: _read_partition(run, name, day, landed, known), wanted))
    table = _publish(run, name, files, known)
    kept = [day or reference_partition(run) for day in wanted]
    publish_refusals(run, name, kept, table.refusals)
    _report(run, table)
    return table


def _report(run: StageRun[Options], table: _Table) -> None:
    parts = [f"{len(table.taken)} files taken ({table.rows:,} rows)", f"{table.unchanged} unchanged"]
    late = [f"late: {', '.join(map(str, as_ranges(table.late)))}"] if table.late else []
    refused = [f"{len(table.refusals)} refused"] if table.refusals else []
    run.progress(f"{table.name}: {', '.join([*parts, *late, *refused])}")


def landed_files(folder: UPath) -> dict[str, UPath]:
    """The file to read for each partition (``reference`` for a reference table): the highest revision."""
    newest: dict[str, tuple[int, UPath]] = {}
    for path in folder.iterdir() if folder.exists() else ():
        if found := _NAME.fullmatch(path.name):
            revision = int(found["revision"] or 1)
            newest[found["stem"]] = max(
                newest.get(found["stem"], (0, path)), (revision, path), key=lambda each: each[0]
            )
    return {stem: path for stem, (_, path) in newest.items()}


def _published_hashes(run: StageRun[Options], table: str, partitions: Partitions | None) -> dict[date | None, str]:
    """The SHA-256 of the file that each partition in the lake was read from."""
    name = f"raw_{table}"
    if not run.lake.exists(name):
        return {}
    columns = [PARTITION, "_sha256"] if partitions else ["_sha256"]
    known = run.lake.scan(name, partitions, columns).group_by(columns).aggregate([]).to_pylist()
    return {row.get(PARTITION): row["_sha256"] for row in known}


def _read_partition(
    run: StageRun[Options], table: str, day: date | None, landed: dict[str, UPath], known: dict[date | None, str]
) -> _File:
    path = landed.get(str(day or "reference"))
    try:
        if day:
            _check_not_future(run, table, day)
        if path is None:
            return _without_file(run, table, day, day in known)
        content = path.read_bytes()
        if known.get(day) == hashlib.sha256(content).hexdigest():
            return _File(day)
        rows = _raw_rows(run, table, day, path, content)
        return _File(day, rows if rows.num_rows or day in known else None)
    except StructureError as error:
        kept = _keep(run, table, path) if path else None
        partition = day or reference_partition(run)
        return _File(day, refusal=Refusal(partition, table, error.rule, error.detail, str(path or "") or None, kept))


def _raw_rows(run: StageRun[Options], table: str, day: date | None, path: UPath, content: bytes) -> pa.Table:
    source = run.pipeline.spec.tables[table]
    try:
        rows = read_landed(content, list(source.columns))
    except StructureError as error:
        if not (error.rule == "no_rows" and source.may_be_empty):
            raise
        rows = pa.table(
            {name: pa.array([], pa.string()) for name in source.columns} | {"_line": pa.array([], pa.int64())}
        )
    rows = rows.append_column("_file", pa.repeat(f"{table}/{path.name}", rows.num_rows))
    rows = rows.append_column("_sha256", pa.repeat(hashlib.sha256(content).hexdigest(), rows.num_rows))
    return rows.append_column(PARTITION, pa.repeat(pa.scalar(day, pa.date32()), rows.num_rows)) if day else rows


def _without_file(run: StageRun[Options], table: str, day: date | None, known: bool) -> _File:
    # A landing zone may be cleaned up. Rows that are in the lake already need no file.
    if known or run.pipeline.spec.tables[table].may_be_empty or run.options.leave_missing:
        return _File(day)
    folder = run.settings.landing / run.pipeline.name / table
    name = "<date>.csv.gz" if day else "reference.csv.gz"
    raise StructureError("missing_file", f"there is no {name} in {folder}; wait for it, or land it")


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


def _keep(run: StageRun[Options], table: str, path: UPath) -> str:
    """Copy a refused file under a name from its content, so that a new delivery does not overwrite the copy."""
    content = path.read_bytes()
    folder = run.settings.refused / run.pipeline.name / table
    kept = folder / f"{path.name.removesuffix('.csv.gz')}-{hashlib.sha256(content).hexdigest()[:16]}.csv.gz"
    if not kept.exists():
        write_whole(kept, content)
    return str(kept)


def _publish(run: StageRun[Options], name: str, files: Sequence[_File], known: dict[date | None, str]) -> _Table:
    taken = {file.partition: file.rows for file in files if file.rows is not None}
    refusals = [file.refusal for file in files if file.refusal]
    table = _Table(name, refusals=refusals, taken=list(taken), unchanged=len(files) - len(taken) - len(refusals))
    if not taken:
        return table
    days = [day for day in taken if day]
    table.late = _late(run, name, days, known) if days else []
    table.replaced = [day for day in days if day in known]
    rows = pa.concat_tables(taken.values())
    dataset = datasets.raw(run.pipeline.spec, name)
    table.snapshot = run.lake.publish(dataset, rows, days or None, run.provenance(inputs={}))
    table.rows = rows.num_rows
    return table


def _late(run: StageRun[Options], name: str, days: Sequence[date], known: dict[date | None, str]) -> list[date]:
    """New partitions that arrived after a later one."""
    if not run.lake.exists(f"raw_{name}"):
        return []
    last = max(days)
    after = Partitions(last + timedelta(days=1), last + timedelta(days=_LOOK_AHEAD_DAYS))
    later = bool(run.lake.files(f"raw_{name}", after))
    newest = after.start if later else max((day for day in known if day), default=date.min)
    return [day for day in days if day < newest and day not in known]
