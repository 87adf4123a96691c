"""Files in a table's folder that no reader can reach any more: find them, and remove them.

A publication that is killed before its commit leaves data files, and a snapshot that expires leaves its own. Nothing else
removes either. Whoever began to read within the grace period may still need what the table referred to then.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fsspec import AbstractFileSystem
from pyiceberg.io import FileIO
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from upath import UPath

from contrail.errors import DamagedError
from contrail.lake.recovery import UNREADABLE

_METADATA = ".metadata.json"


@dataclass(frozen=True)
class Orphan:
    """A file that nothing refers to. ``size`` is in bytes."""

    path: str
    size: int
    modified: datetime


def orphans(table: Table, grace: timedelta) -> list[Orphan]:
    """List the files of a table that nothing refers to, and that nobody has begun to use within the grace period.

    Args:
        table: As it is now.
        grace: A file younger than this is kept, because a publication may be about to commit it. What the table referred
            to at any time within this period is kept too.

    Raises:
        DamagedError: when a metadata file of that time cannot be read. Nothing may be removed then.
    """
    place = UPath(table.location())
    store: AbstractFileSystem = place.fs
    before = datetime.now(UTC) - grace
    there = [_file(store, entry) for entry in store.find(place.path, detail=True).values()]
    kept = {store._strip_protocol(path) for path in _reachable(table, _read_lately(store, table, there, before))}
    found = [one for one in there if one.modified < before and one.path not in kept]
    for one in found:
        if one.path.endswith(_METADATA):
            with suppress(*UNREADABLE):
                _read(table, store.unstrip_protocol(one.path))
    return found


def remove(table: Table, found: Iterable[Orphan]) -> None:
    """Delete files that ``orphans`` has found. One that is gone already is no error."""
    store: AbstractFileSystem = UPath(table.location()).fs
    for one in found:
        try:
            store.rm_file(one.path)
        except FileNotFoundError:
            continue


def _file(store: AbstractFileSystem, entry: dict[str, Any]) -> Orphan:
    modified = store.modified(entry["name"])
    return Orphan(entry["name"], int(entry["size"]), modified if modified.tzinfo else modified.replace(tzinfo=UTC))


def _read_lately(
    store: AbstractFileSystem, table: Table, there: Collection[Orphan], before: datetime
) -> Iterator[tuple[str, TableMetadata]]:
    """The metadata files that were the table's current one at any time since ``before``, with their contents."""
    written = sorted((one for one in there if one.path.endswith(_METADATA)), key=lambda one: one.modified)
    older = [one for one in written if one.modified < before]
    lately = {one.path for one in written if one.modified >= before} | {one.path for one in older[-1:]}
    lately.add(store._strip_protocol(table.metadata_location))
    for path in sorted(lately):
        location = store.unstrip_protocol(path)
        try:
            yield path, _read(table, location)
        except FileNotFoundError:
            continue  # another upkeep has removed it
        except UNREADABLE as error:
            why = str(error).splitlines()[0]
            raise DamagedError(
                f"{location} cannot be read ({why}), so nobody knows which files it refers to. Nothing was removed."
            ) from error


def _read(table: Table, location: str) -> TableMetadata:
    """Read a metadata file of a table, and refuse another table's. Its files would seem to be nobody's."""
    found = FromInputFile.table_metadata(table.io.new_input(location))
    if found.table_uuid != table.metadata.table_uuid:
        raise DamagedError(f"{location} is of another table than {'.'.join(table.name())}. Nothing was removed.")
    return found


def _reachable(table: Table, metadata: Iterable[tuple[str, TableMetadata]]) -> set[str]:
    """Every file that these metadata files lead to, and they themselves."""
    found = {entry.metadata_file for entry in table.metadata.metadata_log}
    for path, content in metadata:
        found.add(path)
        found |= {one.statistics_path for one in content.statistics}
        for snapshot in content.snapshots:
            if snapshot.manifest_list in found:
                continue
            found.add(snapshot.manifest_list)
            for manifest in snapshot.manifests(table.io):
                if manifest.manifest_path not in found:
                    found.add(manifest.manifest_path)
                    found |= _data_files(manifest, table.io)
    return found


def _data_files(manifest: Any, io: FileIO) -> set[str]:
    return {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(io, discard_deleted=True)}
