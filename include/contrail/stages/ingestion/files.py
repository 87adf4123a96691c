"""One partition's landed file: its rows, or why they are refused. Whatever is wrong with a file stays its own refusal.

Which partitions a run takes, and how they are published, does not belong here.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date
from threading import Lock

import pyarrow as pa
from upath import UPath

from contrail.adapters.google_errors import as_ours
from contrail.adapters.landed_csv import LINE, read_landed
from contrail.adapters.landed_files import LandingFolder
from contrail.adapters.landed_names import SAME_NUMBER, Stray
from contrail.adapters.landing import REFERENCE
from contrail.errors import DamagedError, StructureError
from contrail.files import write_whole
from contrail.lake.datasets import PARTITION
from contrail.partitions import Partitions
from contrail.stages.base import StageRun
from contrail.stages.options import IngestOptions as Options
from contrail.stages.refusals import Refusal, reference_partition

# The SHA-256 of the file that each partition in the lake was read from; None where the lake's own file cannot be read.
Hashes = Mapping[date | None, str | None]
# Several threads read files. A large one is unpacked alone, so that memory is bounded by one file's limits.
_LARGE, _ALONE = 4 << 20, Lock()
_UNREADABLE = (DamagedError, OSError, pa.ArrowInvalid)


@dataclass(frozen=True)
class File:
    """A landed file, read or refused; unchanged if it has no rows and no refusal.

    ``partition`` is None for a reference table.
    """

    partition: date | None
    rows: pa.Table | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True)
class Delivery:
    """What landed for one table, and what the lake holds of it. ``check_day`` refuses days that cannot be."""

    run: StageRun[Options]
    table: str
    folder: LandingFolder
    known: Hashes
    check_day: Callable[[date], None]

    def read(self, day: date | None) -> File:
        """Read the file of a partition, unless the lake holds its content already."""
        path = self.folder.files.get(str(day or REFERENCE))
        limits = self.run.pipeline.spec.tables[self.table].file_limits
        content: bytes | None = None
        try:
            if path is not None:
                content = self.folder.read(path, limits)
            if day:
                self.check_day(day)
            if path is None or content is None:
                return self._without_file(day)
            self.folder.check_sums(path, content)
            if self.known.get(day) == hashlib.sha256(content).hexdigest():
                return File(day)
            with _ALONE if len(content) > _LARGE else nullcontext():
                rows = self._rows(day, path, content)
            return File(day, rows if rows.num_rows or day in self.known else None)
        except StructureError as error:
            return self._refused(day, error, path, content)
        except MemoryError:
            wrong = StructureError("too_large", "there is not enough memory to read it; split it")
            return self._refused(day, wrong, path, content)
        except Exception as error:
            # What a service did is no fault of the file: the run may pass later.
            if ours := as_ours(error):
                raise ours from error
            wrong = StructureError("unreadable", f"{type(error).__name__}: {str(error)[:200]}")
            return self._refused(day, wrong, path, content)

    def _refused(self, day: date | None, error: StructureError, path: UPath | None, content: bytes | None) -> File:
        """Refuse a partition. A copy of what was read is kept."""
        kept = self._keep(path, content) if path is not None and content is not None else None
        partition = day or reference_partition(self.run)
        file = str(path) if path is not None else None
        return File(day, refusal=Refusal(partition, self.table, error.rule, error.detail, file, kept))

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
        source, lost = self.run.pipeline.spec.tables[self.table], day in self.known and self.known[day] is None
        if any(stray.day == day and (day or stray.rule == SAME_NUMBER) for stray in self.folder.strays):
            return File(day)  # refused by its name
        # A landing zone may be cleaned up. Rows that are in the lake already need no file.
        fine = day in self.known or source.may_be_empty or self.run.options.leave_missing
        if fine and not lost:
            return File(day)
        name = "<date>.csv.gz" if day else f"{REFERENCE}.csv.gz"
        detail = f"there is no {name} in {self.folder.folder}; wait for it, or land it"
        if lost:
            detail = f"the lake's own rows of this partition cannot be read, and {detail}"
        if uploads := [each for each in self.folder.names.unfinished if each.startswith(str(day or REFERENCE))]:
            detail += f"; an upload has not ended: {uploads[0]}"
        raise StructureError("missing_file", detail)

    def _rows(self, day: date | None, path: UPath, content: bytes) -> pa.Table:
        source = self.run.pipeline.spec.tables[self.table]
        try:
            rows = read_landed(
                content, list(source.columns), source.optional_columns, source.file_limits, source.earlier_names
            )
        except StructureError as error:
            if not (error.rule == "no_rows" and source.may_be_empty):
                raise
            empty = {name: pa.array([], pa.string()) for name in source.columns}
            rows = pa.table(empty | {LINE: pa.array([], pa.int64())})
        rows = rows.append_column("_file", pa.repeat(f"{self.table}/{path.name}", rows.num_rows))
        rows = rows.append_column("_sha256", pa.repeat(hashlib.sha256(content).hexdigest(), rows.num_rows))
        return rows.append_column(PARTITION, pa.repeat(pa.scalar(day, pa.date32()), rows.num_rows)) if day else rows

    def _keep(self, path: UPath, content: bytes) -> str | None:
        """Copy a refused file under a name from its content, so that a new delivery does not overwrite the copy."""
        folder = self.run.settings.refused / self.run.pipeline.name / self.table
        kept = folder / f"{path.name.removesuffix('.csv.gz')}-{hashlib.sha256(content).hexdigest()[:16]}.csv.gz"
        try:
            if not kept.exists():
                write_whole(kept, content)
        except OSError as error:
            self.run.progress(f"{self.table}: no copy of {path} could be kept: {error}")
            return None
        return str(kept)


def published_hashes(run: StageRun[Options], table: str, partitions: Partitions | None) -> Hashes:
    """Look up which files the lake holds. A partition whose own data files are lost or damaged can be taken in again."""
    name = f"raw_{table}"
    if not run.lake.exists(name):
        return {}
    try:
        return _hashes(run, name, partitions)
    except _UNREADABLE:
        if partitions is None:
            return {None: None}
    found: dict[date | None, str | None] = {}
    for day in partitions:
        try:
            found |= _hashes(run, name, Partitions(day, day))
        except _UNREADABLE:
            found[day] = None
    return found


def _hashes(run: StageRun[Options], name: str, partitions: Partitions | None) -> dict[date | None, str | None]:
    columns = [PARTITION, "_sha256"] if partitions else ["_sha256"]
    known = run.lake.scan(name, partitions, columns).group_by(columns).aggregate([]).to_pylist()
    return {row.get(PARTITION): row["_sha256"] for row in known}
