"""Files in a table's folder that no reader can reach any more: find them, and remove them.

A publication that is killed before its commit leaves data files, and a snapshot that expires leaves its own. Nothing else
removes either. Whoever began to read within the grace period may still need what the table referred to then.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fsspec import AbstractFileSystem
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot
from upath import UPath

from contrail.errors import DamagedError
from contrail.lake import archive
from contrail.lake.manifests import damaged, files_of, gone, manifests
from contrail.lake.recovery import UNREADABLE
from contrail.lake.sandbox_records import BASE

_METADATA = ".metadata.json"
_KEPT = "Nothing was removed."


@dataclass(frozen=True)
class Orphan:
    """A file that nothing refers to. ``size`` is in bytes."""

    path: str
    size: int
    modified: datetime


def orphans(
    table: Table, grace: timedelta, borrowed: Collection[str] = (), before: datetime | None = None
) -> list[Orphan]:
    """List the files of a table that nothing refers to, and that nobody has begun to use within the grace period.

    Args:
        table: As it is now.
        grace: A file younger than this is kept, because a publication may be about to commit it. What the table referred
            to at any time within this period is kept too.
        borrowed: What others need of its files.
        before: When the grace period began, by a clock that the caller trusts; by default that of this machine.

    Raises:
        InputsChangedError: as ``leads_to``.
        DamagedError: when a metadata file or a manifest cannot be read, or when a file that the table needs is not in the
            listing of its folder. Nothing may be removed then.
    """
    store: AbstractFileSystem = UPath(table.location()).fs
    before = before or datetime.now(UTC) - grace
    there = list(files_under(store, table.location()))
    needed = leads_to(table)
    _check_listed(store, [path for path in needed if is_own(table, path)], there)
    kept = needed | {entry.metadata_file for entry in table.metadata.metadata_log} | set(borrowed)
    for path, content in _read_lately(store, table, there, before):
        kept.add(path)
        _follow(table, content, kept)
    names = {store._strip_protocol(path) for path in kept}
    found = [one for one in there if one.modified < before and one.path not in names]
    for one in found:
        if one.path.endswith(_METADATA):
            with suppress(*UNREADABLE):
                _read(table, store.unstrip_protocol(one.path))
    return found


def unreferenced(table: Table, borrowed: Collection[str] = ()) -> list[Orphan]:
    """List the files of a table's folder that nobody needs, however young; arguments as ``orphans``.

    Raises:
        DamagedError: as ``orphans``.
    """
    store: AbstractFileSystem = UPath(table.location()).fs
    there = list(files_under(store, table.location()))
    needed = leads_to(table)
    _check_listed(store, [path for path in needed if is_own(table, path)], there)
    names = {store._strip_protocol(path) for path in (*needed, *borrowed)}
    return [one for one in there if one.path not in names]


def remove(table: Table, found: Iterable[Orphan]) -> None:
    """Delete files that ``orphans`` has found. One that is gone already is no error."""
    store: AbstractFileSystem = UPath(table.location()).fs
    for one in found:
        try:
            store.rm_file(one.path)
        except FileNotFoundError:
            continue


def files_under(store: AbstractFileSystem, folder: str) -> Iterator[Orphan]:
    """Yield the files of a folder and of those in it. Links are no files of it, and nothing behind them is."""
    # A path library would write the folder's name in another way than the table does.
    for entry in store.find(store._strip_protocol(folder), detail=True).values():
        if entry["type"] == "file":
            # Asked later, a file may be gone.
            moment = entry["mtime"] if "mtime" in entry else store.modified(entry["name"])
            modified = moment if isinstance(moment, datetime) else datetime.fromtimestamp(moment, UTC)
            modified = modified if modified.tzinfo else modified.replace(tzinfo=UTC)
            yield Orphan(entry["name"], int(entry["size"]), modified)


def _check_listed(store: AbstractFileSystem, needed: Iterable[str], there: Iterable[Orphan]) -> None:
    """Refuse a listing that lacks files which the table needs and which exist: names in it would not match the table's."""
    for path in sorted({store._strip_protocol(path) for path in needed} - {one.path for one in there}):
        if store.exists(path):
            raise DamagedError(
                f"{path} is not in the listing of its table's folder: it lies elsewhere, or behind a link. {_KEPT}"
            )


def _read_lately(
    store: AbstractFileSystem, table: Table, there: Collection[Orphan], before: datetime
) -> Iterator[tuple[str, TableMetadata]]:
    """The metadata files that were the table's current one at any time since ``before``, with their contents.

    A file that the table's log does not name may be of a commit that was lost: by a killed process, or to another one. Such a
    file keeps what it refers to while it is young. One that cannot be read was never committed, and refers to nothing.
    """
    log = [entry.metadata_file for entry in table.metadata.metadata_log]
    named = {store._strip_protocol(path) for path in (table.metadata_location, *log)}
    written = sorted((one for one in there if one.path.endswith(_METADATA)), key=lambda one: one.modified)
    older = [one.path for one in written if one.modified < before]
    lately = {one.path for one in written if one.modified >= before}
    lately |= {
        *([path for path in older if path in named] or older)[-1:],
        store._strip_protocol(table.metadata_location),
    }
    for path in sorted(lately):
        location = store.unstrip_protocol(path)
        try:
            if found := _read(table, location):
                yield path, found
        except FileNotFoundError:
            continue  # another upkeep has removed it
        except UNREADABLE as error:
            if path not in named:
                continue
            why = str(error).splitlines()[0]
            raise DamagedError(
                f"{location} cannot be read ({why}), so nobody knows which files it refers to. {_KEPT}"
            ) from error


def _read(table: Table, location: str) -> TableMetadata | None:
    """Read a metadata file of a table, and refuse another table's. Its files would seem to be nobody's.

    None for what is left of a table that was never made: its process died before the catalog named it.
    """
    found = FromInputFile.table_metadata(table.io.new_input(location))
    if found.table_uuid == table.metadata.table_uuid:
        return found
    if found.snapshots or _is_of_a_table(table, found):
        raise DamagedError(f"{location} is of another table than {'.'.join(table.name())}. {_KEPT}")
    return None


def _is_of_a_table(table: Table, found: TableMetadata) -> bool:
    """Say whether metadata is of any table beside this one."""
    catalog = table.catalog
    return any(
        catalog.load_table(name).metadata.table_uuid == found.table_uuid
        for name in catalog.list_tables(table.name()[:-1])
    )


def is_own(table: Table, path: str) -> bool:
    """Say whether a file that a table leads to is its own; a sandbox's table begins with files of the main lake."""
    base = table.properties.get(BASE)
    return base is None or not path.startswith(f"{base}/")


def leads_to(table: Table) -> set[str]:
    """Return the table's metadata file, and every file that it leads to.

    Raises:
        InputsChangedError: when snapshots went after the table was loaded: persons were forgotten.
        DamagedError: as ``orphans``.
    """
    found = {table.metadata_location}
    try:
        _follow(table, table.metadata, found, missing=())
    except FileNotFoundError as error:
        if table.catalog.load_table(table.name()).metadata_location != table.metadata_location:
            raise gone(table) from error
        why = str(error).splitlines()[0]
        raise damaged(table, f"{'.'.join(table.name())}: a file that a snapshot needs is missing ({why})") from error
    return found


def _follow(
    table: Table,
    metadata: TableMetadata,
    found: set[str],
    missing: tuple[type[Exception], ...] = (FileNotFoundError,),
) -> None:
    """Add every file that a metadata file leads to. An upkeep with less grace may have removed what is ``missing``."""
    found |= {one.statistics_path for one in (*metadata.statistics, *metadata.partition_statistics)}
    for snapshot in (*metadata.snapshots, *_archived(table, metadata, found, missing)):
        if snapshot.manifest_list in found:
            continue
        found.add(snapshot.manifest_list)
        with suppress(*missing):
            for manifest in manifests(table, snapshot):
                if manifest.manifest_path not in found:
                    found.add(manifest.manifest_path)
                    with suppress(*missing):
                        found |= files_of(table, manifest)


def _archived(
    table: Table, metadata: TableMetadata, found: set[str], missing: tuple[type[Exception], ...]
) -> Iterator[Snapshot]:
    """The snapshots in the archive that a metadata file names. The archive's own place is added.

    The table may have given up a damaged archive of former metadata. Nobody can read what that named.
    """
    place = archive.place_in(metadata)
    if place is None or place in found:
        return
    found.add(place)
    try:
        yield from (Snapshot(**one) for one in archive.of(table, metadata).snapshots)
    except DamagedError:
        if place == archive.place_in(table.metadata):
            raise
