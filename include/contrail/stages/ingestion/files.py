"""One partition's landed files: their rows, or why they are refused. Whatever is wrong with them stays their own refusal.

Which partitions a run takes, and how they are published, does not belong here.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from threading import Semaphore
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from contrail.adapters.google_errors import as_ours
from contrail.adapters.landed_columns import Columns
from contrail.adapters.landed_erasure import without
from contrail.adapters.landed_files import LandedFile, LandingFolder
from contrail.adapters.landed_names import SAME_NUMBER, Stray
from contrail.adapters.landed_rows import digest_of, read_rows
from contrail.config.file_names import REFERENCE
from contrail.config.personal import SHOW_ROWS, without_quotes
from contrail.config.table_spec import TableSpec
from contrail.errors import DamagedError, StructureError
from contrail.faults import stops_a_run
from contrail.files import written_whole
from contrail.lake.datasets import PARTITION
from contrail.lake.forgotten import Marks
from contrail.lake.parquet import read_batches
from contrail.partitions import Partitions
from contrail.stages.base import StageRun
from contrail.stages.ingestion.spool import Room, Spool
from contrail.stages.options import IngestOptions as Options
from contrail.stages.refusals import Refusal, reference_partition

# The digest of the files that each partition in the lake was read from; None where the lake's own file cannot be read.
Hashes = Mapping[date | None, str | None]
READERS = 8
# A small file is read once, and kept until it has been judged. A large one is read for its digest, and again if it is new.
_SMALL = 4 << 20
_UNREADABLE = (DamagedError, OSError, pa.ArrowInvalid)


@dataclass(frozen=True)
class Rows:
    """The rows of a partition's files, by the names of the files, and the digest of all of them."""

    day: date | None
    digest: str
    files: Mapping[str, Spool]

    @property
    def number(self) -> int:
        """How many there are."""
        return sum(spool.rows for spool in self.files.values())

    @property
    def left_out(self) -> int:
        """How many the files had of persons who were forgotten."""
        return sum(spool.left_out for spool in self.files.values())

    def take(self, table: str) -> Iterator[pa.RecordBatch]:
        """Give the rows out, once, with where they come from."""
        for name, spool in self.files.items():
            for batch in spool.take():
                rows = batch.num_rows
                batch = batch.append_column("_file", pa.repeat(f"{table}/{name}", rows))
                batch = batch.append_column("_sha256", pa.repeat(self.digest, rows))
                yield (
                    batch.append_column(PARTITION, pa.repeat(pa.scalar(self.day, pa.date32()), rows))
                    if self.day
                    else batch
                )

    def drop(self) -> None:
        """Forget the rows."""
        for spool in self.files.values():
            spool.drop()


def schema_of(table: TableSpec) -> pa.Schema:
    """The schema of the rows that ``Rows.take`` gives."""
    origin = [pa.field("_file", pa.string()), pa.field("_sha256", pa.string())]
    day = [pa.field(PARTITION, pa.date32())] if table.kind == "daily" else []
    return pa.schema([*Columns.of(table).schema, *origin, *day])


@dataclass(frozen=True)
class File:
    """A partition's landed files, read or refused; unchanged if it has no rows and no refusal.

    ``partition`` is None for a reference table. ``left_out`` counts rows of persons who were forgotten.
    """

    partition: date | None
    rows: Rows | None = None
    refusal: Refusal | None = None
    left_out: int = 0


@dataclass(frozen=True)
class Delivery:
    """What landed for one table, and what the lake holds of it.

    ``check_day`` refuses days that cannot be. ``marks`` say which rows are of persons who were forgotten.
    """

    run: StageRun[Options]
    table: str
    folder: LandingFolder
    known: Hashes
    check_day: Callable[[date], None]
    room: Room
    marks: Marks | None = None
    # Each reader has a block of text in memory, whichever partition its file is of.
    readers: Semaphore = field(default_factory=lambda: Semaphore(READERS))

    @property
    def source(self) -> TableSpec:
        """What the spec says of the table."""
        return self.run.pipeline.spec.tables[self.table]

    def read(self, day: date | None) -> File:
        """Read the files of a partition, unless the lake holds their content already."""
        paths = self.folder.deliveries.get(str(day or REFERENCE), ())
        looked: list[LandedFile] = []
        at = paths[0] if paths else None
        try:
            for at in paths:
                looked.append(self.folder.look(at, self.source.file_limits, keep=_SMALL if len(paths) == 1 else 0))
                self.folder.check_sums(looked[-1])
            at = paths[0] if paths else None
            if day:
                self.check_day(day)
            if not paths:
                return self._without_file(day)
            digest = digest_of([file.sha256 for file in looked], self.source)
            if self.known.get(day) == digest:
                return File(day)
        except Exception as error:
            return self._refused(day, error, at, next((file for file in looked if file.path == at), None))
        return self._judged(day, looked, digest)

    def _judged(self, day: date | None, files: Sequence[LandedFile], digest: str) -> File:
        """Read all files of a partition. The first that is wrong refuses them all."""
        if len(files) == 1:
            results = [self._spooled(files[0])]
        else:
            with ThreadPoolExecutor(READERS) as threads:
                results = list(threads.map(self._spooled, files))
        wrong = next((n for n, found in enumerate(results) if isinstance(found, Exception)), None)
        rows = Rows(day, digest, {f.name: s for f, s in zip(files, results, strict=True) if isinstance(s, Spool)})
        error = results[wrong] if wrong is not None else None
        if error is None and not (rows.number or rows.left_out) and not self.source.may_be_empty:
            nothing = "the file has a header and no rows" if self.source.format == "csv" else "the file has no rows"
            error = StructureError("no_rows", nothing if len(files) == 1 else "its files have no rows")
        if isinstance(error, Exception):
            rows.drop()
            return self._refused(day, error, files[wrong or 0].path, files[wrong or 0])
        return File(day, rows if rows.number or day in self.known else None, left_out=rows.left_out)

    def _spooled(self, file: LandedFile) -> Spool | Exception:
        """The rows of a file, or what is wrong with it."""
        spool = Spool(self.room)
        with self.readers:
            try:
                for batch in read_rows(file, self.source):
                    spool.add(kept := self._without_forgotten(batch))
                    spool.left_out += batch.num_rows - kept.num_rows
                spool.end()
            except Exception as error:
                spool.drop()
                return error
        return spool

    def _without_forgotten(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        found = self.marks.mask(pa.Table.from_batches([rows])) if self.marks else None
        return rows if found is None else rows.filter(pc.invert(found.combine_chunks()))

    def _refused(self, day: date | None, error: Exception, path: UPath | None, file: LandedFile | None) -> File:
        """Refuse a partition. A copy of the file at fault is kept if it could be read."""
        wrong = self._as_refusal(error)
        kept = self._keep(file) if file is not None else None
        shown = str(path) if path is not None else None
        partition = day or reference_partition(self.run)
        detail = without_quotes(wrong.detail) if self.source.personal and wrong.rule in SHOW_ROWS else wrong.detail
        return File(day, refusal=Refusal(partition, self.table, wrong.rule, detail, shown, kept))

    def _as_refusal(self, error: Exception) -> StructureError:
        if isinstance(error, StructureError):
            return error
        if isinstance(error, MemoryError):
            return StructureError("too_large", "there is not enough memory to read it; split it")
        # What the machine or a service did is no fault of the file: the run may pass later.
        if stops_a_run(error):
            raise error
        if ours := as_ours(error):
            raise ours from error
        return StructureError("unreadable", f"{type(error).__name__}: {str(error)[:200]}")

    def strays(self, days: Partitions | None) -> Iterator[Refusal]:
        """Refuse what lies in the folder and is no file of the table, as far as it belongs to these days.

        A name that means no day belongs to every run. It is filed under the run's last day.
        """
        for stray in self.folder.strays:
            if not self._elsewhere(stray, days):
                last = days.end if days else reference_partition(self.run)
                file = str(self.folder.folder / stray.name)
                yield Refusal(stray.day if days and stray.day else last, self.table, stray.rule, stray.detail, file)

    def strays_elsewhere(self, days: Partitions | None) -> int:
        """Count the names that seem to mean days of other runs."""
        return sum(self._elsewhere(stray, days) for stray in self.folder.strays)

    def _elsewhere(self, stray: Stray, days: Partitions | None) -> bool:
        return days is not None and stray.day is not None and stray.day not in days

    def _without_file(self, day: date | None) -> File:
        stem, lost = str(day or REFERENCE), day in self.known and self.known[day] is None
        if any(stray.day == day and (day or stray.rule == SAME_NUMBER) for stray in self.folder.strays):
            return File(day)  # refused by its name
        # A landing zone may be cleaned up. Rows that are in the lake already need no file.
        layout, waits_for = self.folder.layout, self.folder.waits_for(stem)
        # A day whose files are partly there, or lack their marker, is not without rows.
        begun = waits_for is not None and (layout.several or layout.marker is not None)
        may_lack = self.source.may_be_empty and not begun
        if (day in self.known or may_lack or self.run.options.leave_missing) and not lost:
            return File(day)
        usual = layout.pattern == "{date}.csv.gz"
        name = "<date>.csv.gz" if usual else layout.written("" if day else REFERENCE)
        detail = f"there is no {name} in {self.folder.folder}; wait for it, or land it"
        if lost:
            detail = f"the lake's own rows of this partition cannot be read, and {detail}"
        if waits_for:
            marker = layout.marker is not None
            detail += f"; its files wait for {waits_for}" if marker else f"; an upload has not ended: {waits_for}"
        raise StructureError("missing_file", detail)

    def _keep(self, file: LandedFile) -> str | None:
        """Copy a refused file under a name from its content, so that a new delivery does not overwrite the copy."""
        suffix = self.folder.layout.suffix
        name = file.name.removesuffix(suffix).replace("/", "-")
        folder = self.run.settings.refused / self.run.pipeline.name / self.table
        try:
            with file.open() as stream:
                return self._copied(stream, file.sha256, lambda digest: folder / f"{name}-{digest[:16]}{suffix}")
        except (OSError, StructureError) as error:
            self.run.progress(f"{self.table}: no copy of {file.path} could be kept: {error}")
            return None

    def _copied(self, stream: IO[bytes], digest: str, named: Callable[[str], UPath]) -> str:
        """Copy a refused file, without rows of persons who were forgotten."""
        with ExitStack() as at_last:
            if self.marks:
                erased = at_last.enter_context(without(stream, self.source, self.room.folder, self.marks.mask))
                stream, digest = erased.content, erased.digest or digest
                if not stream.seek(0, 2):
                    raise StructureError(
                        "unreadable", "nobody can say whether it has rows of persons who were forgotten"
                    )
            kept = named(digest)
            if not kept.exists():
                stream.seek(0)
                shutil.copyfileobj(stream, at_last.enter_context(written_whole(kept)), 1 << 20)
        return str(kept)


def published_hashes(run: StageRun[Options], table: str, partitions: Partitions | None) -> Hashes:
    """Look up which files the lake holds. A partition whose own data files are lost or damaged can be taken in again."""
    name = f"raw_{table}"
    if not run.lake.exists(name):
        return {}
    try:
        return _hashes(run, name, partitions)
    except _UNREADABLE as error:
        if stops_a_run(error):
            raise
        if partitions is None:
            return {None: None}
    found: dict[date | None, str | None] = {}
    for day in partitions:
        try:
            found |= _hashes(run, name, Partitions(day, day))
        except _UNREADABLE as error:
            if stops_a_run(error):
                raise
            found[day] = None
    return found


def _hashes(run: StageRun[Options], name: str, partitions: Partitions | None) -> dict[date | None, str | None]:
    """The digest of each partition. All rows of a data file have the same."""
    columns = [PARTITION, "_sha256"] if partitions else ["_sha256"]
    wanted = pa.schema([run.lake.schema(name).field(column) for column in columns])
    uris = run.lake.files(name, partitions)
    firsts = [row for batch in (read_batches(uris, wanted) if uris else ()) for row in batch.slice(0, 1).to_pylist()]
    return {row.get(PARTITION): row["_sha256"] for row in firsts}
