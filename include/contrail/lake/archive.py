"""Earlier snapshots of a table, in a file beside its metadata.

Whoever opens a table reads its metadata, with every snapshot in it. So the metadata has the newest few, and those with a
tag. The others are in one file, which a property of the table names. Few readers open it. A file never changes: what moves
snapshots writes the next one, and the commit that takes them out of the metadata names it. ``upkeep`` decides what moves,
and ``snapshots`` reads both places as one.
"""

import gzip
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any
from uuid import uuid4

from pydantic import Field
from pyiceberg.io import FileIO
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot

from contrail.config.names import without_sandbox
from contrail.config.validation_errors import parse_json
from contrail.errors import DamagedError, DataError
from contrail.files import on_disk
from contrail.frozen import Frozen
from contrail.lake.lineage import ALL_PARTITIONS, commit_of
from contrail.lake.provenance import LEDGER
from contrail.partitions import Partitions

PROPERTY = "contrail.archive"
# The range of the partitions that its commits replaced, so that a question for a later day need not open it.
DAYS = "contrail.archive_days"


class Archive(Frozen):
    """Snapshots that a table's metadata no longer has.

    Attributes:
        snapshots: As Iceberg's metadata has them, in the order of their commits.
        parents: The parent of each snapshot of the metadata whose parent is here. Iceberg forgets a parent that it removes.
        log: Which snapshot became the current one when, in milliseconds from 1970 on.
        tags: Names of snapshots here. Such a snapshot stays.
    """

    snapshots: tuple[dict[str, Any], ...] = ()
    parents: dict[int, int] = Field(default={})
    log: tuple[tuple[int, int], ...] = ()
    tags: dict[str, int] = Field(default={})

    def find(self, snapshot_id: int) -> Snapshot | None:
        """Return a snapshot by its id; None where it is not here."""
        return next((Snapshot(**one) for one in self.snapshots if one["snapshot-id"] == snapshot_id), None)

    def ids(self) -> frozenset[int]:
        """Return the ids of the snapshots."""
        return frozenset(one["snapshot-id"] for one in self.snapshots)

    def with_more(self, metadata: TableMetadata, gone: Iterable[Snapshot]) -> "Archive":
        """Add snapshots of a table's metadata, which are about to leave it. One that has lost its tag may be an old one."""
        moved = {snapshot.snapshot_id: snapshot for snapshot in gone}
        cut = {
            one.snapshot_id: one.parent_snapshot_id
            for one in metadata.snapshots
            if one.snapshot_id not in moved and one.parent_snapshot_id in moved
        }
        parents = {child: parent for child, parent in self.parents.items() if child not in moved}
        return Archive(
            snapshots=tuple(sorted((*self.snapshots, *map(self._kept, moved.values())), key=_number)),
            parents={**parents, **{child: parent for child, parent in cut.items() if parent is not None}},
            log=tuple(
                sorted(
                    {
                        *self.log,
                        *((e.timestamp_ms, e.snapshot_id) for e in metadata.snapshot_log if e.snapshot_id in moved),
                    }
                )
            ),
            tags=self.tags,
        )

    def _kept(self, snapshot: Snapshot) -> dict[str, Any]:
        parent = snapshot.parent_snapshot_id or self.parents.get(snapshot.snapshot_id)
        whole = snapshot.model_copy(update={"parent_snapshot_id": parent})
        return whole.model_dump(mode="json", by_alias=True, exclude_none=True)

    def without(self, gone: Collection[int]) -> "Archive":
        """Leave out these snapshots, whether tagged or not."""
        return Archive(
            snapshots=tuple(one for one in self.snapshots if one["snapshot-id"] not in gone),
            parents={child: parent for child, parent in self.parents.items() if parent not in gone},
            log=tuple(entry for entry in self.log if entry[1] not in gone),
            tags={name: snapshot for name, snapshot in self.tags.items() if snapshot not in gone},
        )

    def newest(self, kept: int) -> "Archive":
        """Leave out all but the newest snapshots, and those with a tag."""
        named = set(self.tags.values())
        loose = [one["snapshot-id"] for one in self.snapshots if one["snapshot-id"] not in named]
        return self.without(frozenset(loose[: max(0, len(loose) - kept)]))


def _number(snapshot: Mapping[str, Any]) -> int:
    return int(snapshot.get("sequence-number") or 0)


@dataclass(frozen=True)
class _Place:
    """Where an archive is. The same place is the same archive, whichever store was opened for it."""

    location: str
    io: FileIO = field(compare=False)
    table: str = field(compare=False)


def place_in(metadata: TableMetadata) -> str | None:
    """Return the place of the archive that a table's metadata names; None where it names none."""
    return metadata.properties.get(PROPERTY) or None


def of(table: Table, metadata: TableMetadata | None = None) -> Archive:
    """Read the archive of a table, as it is loaded, or as other metadata of it says.

    Raises:
        DamagedError: The file is missing or damaged.
    """
    place = place_in(metadata or table.metadata)
    return _read(_Place(place, table.io, ".".join(table.name()))) if place else Archive()


@lru_cache(maxsize=32)
def _read(place: _Place) -> Archive:
    try:
        with place.io.new_input(place.location).open() as stream:
            return parse_json(Archive, gzip.decompress(stream.read()), place.location)
    except (FileNotFoundError, EOFError, gzip.BadGzipFile, zlib.error, DataError) as error:
        pipeline = without_sandbox(place.table.split(".")[0])
        why = "is not there" if isinstance(error, FileNotFoundError) else "is not as it was written"
        raise DamagedError(
            f"{place.table}: the file of its earlier snapshots is missing or damaged: {place.location} {why}.\n"
            "Its rows of today are whole. Restore the file from a backup, or go on without the earlier snapshots:\n"
            f"  contrail recover -p {pipeline}"
        ) from error


def reaches(metadata: TableMetadata, day: date) -> bool:
    """Say whether a commit in the archive may have replaced a partition. What is not known counts as true."""
    if place_in(metadata) is None:
        return False
    days = metadata.properties.get(DAYS, ALL_PARTITIONS)
    return days == ALL_PARTITIONS or day in Partitions.from_text(days)


def _days(archive: Archive) -> str:
    ends: list[date] = []
    for snapshot in archive.snapshots:
        summary = snapshot.get("summary", {})
        parts = commit_of(snapshot["snapshot-id"], summary).partitions
        if parts is None or LEDGER in summary:
            return ALL_PARTITIONS
        ends += [end for part in parts for end in (part.start, part.end)]
    return str(Partitions(min(ends), max(ends))) if ends else ALL_PARTITIONS


def write(table: Table, archive: Archive) -> Mapping[str, str]:
    """Write an archive to a new file, and return the properties that name it. Nothing names it before a commit does."""
    if not archive.snapshots:
        return {PROPERTY: ""}
    # By a name that ends in .gz, Arrow would compress what is compressed.
    place = f"{table.location()}/metadata/{uuid4()}.snapshots"
    content = gzip.compress(archive.model_dump_json().encode(), mtime=0)
    with table.io.new_output(place).create() as stream:
        stream.write(content)
    on_disk([place])
    return {PROPERTY: place, DAYS: _days(archive)}
