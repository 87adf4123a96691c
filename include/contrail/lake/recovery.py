"""A catalog that lacks tables whose files are there: notice it, and put the tables back.

The catalog alone knows which metadata file of a table is current. An empty one beside an old warehouse looks like a new
project, and would begin every table anew. What is in the metadata does not belong here.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, ValidationError
from pyiceberg.io import load_file_io
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update import AssertRefSnapshotId, SetPropertiesUpdate
from upath import UPath

from contrail.config.settings import CatalogSettings
from contrail.errors import CommitConflictError, DamagedError
from contrail.lake import archive
from contrail.lake.manifests import manifests
from contrail.lake.moving import NAME

# What PyIceberg raises for metadata that is missing or damaged. Any other error of the system is a fault of the machine or of
# the store, and the metadata may be whole.
UNREADABLE = (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError, ValidationError)
_METADATA = re.compile(r"^(\d+)-.*\.metadata\.json$")


@dataclass(frozen=True)
class Found:
    """The newest readable metadata of a table in the warehouse. ``unreadable`` are newer files that are damaged.

    ``archive`` is the file of earlier snapshots that the table goes on without, because it is missing or damaged. ``lost``
    counts the snapshots that leave a whole one, because files that they need are missing.
    """

    name: str
    location: str
    snapshot: int
    rows: int
    unreadable: tuple[str, ...] = ()
    archive: str = ""
    lost: int = 0


def check(catalog: Catalog, of: CatalogSettings, namespace: str, pipeline: str) -> None:
    """Refuse a catalog that lacks tables of a namespace, of which the warehouse has published rows.

    Raises:
        DamagedError: naming the tables, and the command that puts them back.
    """
    if of.type != "sql":
        return  # a catalog service keeps its tables itself
    known = _known(catalog, namespace)
    folder = UPath(of.warehouse_uri) / namespace
    if missing := [name for name in _folders(folder) if name not in known]:
        used = _locations(catalog, namespace, known)
        lost = [name for name in missing if str(folder / name) not in used and _newest(of, folder / name)]
        if lost:
            raise DamagedError(
                f"the catalog {of.uri} does not know {len(lost)} tables of {namespace} whose rows are in {folder}: "
                f"{', '.join(lost)}. It was deleted, emptied, or is an older copy. Nothing was changed. Put the catalog "
                f"back, or make it again from the newest metadata of each table:\n  contrail recover -p {pipeline}"
            )


def recover(catalog: Catalog, of: CatalogSettings, namespace: str) -> Iterator[Found]:
    """Put every table that the catalog lacks, or cannot load, back at its newest readable metadata, one by one.

    Tables that it can load stay as they are. One whose archive cannot be read goes on without it, and an archive without
    the snapshots whose manifests are missing. Killed in between, the same call goes on.

    Raises:
        OSError: The machine or the store failed. Tables that were put back before stay so.
    """
    known = _known(catalog, namespace)
    folder = UPath(of.warehouse_uri) / namespace
    catalog.create_namespace_if_not_exists(namespace)
    used = _locations(catalog, namespace, known)
    for name in _folders(folder):
        if str(folder / name) in used or not (found := _newest(of, folder / name)):
            continue
        if found.name in known:
            catalog.drop_table((namespace, found.name))
        catalog.register_table((namespace, found.name), found.location)
        yield found
    yield from _without_archives(catalog, namespace)


def _without_archives(catalog: Catalog, namespace: str) -> Iterator[Found]:
    """Let each table whose archive cannot be read go on without the snapshots in it, or without those that are lost."""
    for name in _known(catalog, namespace):
        try:
            table = catalog.load_table((namespace, name))
        except (NoSuchTableError, *UNREADABLE):
            continue
        place, properties, lost = "", {archive.PROPERTY: ""}, 0
        try:
            kept = archive.of(table)
            there = cache(_there(table))
            gone = [one["snapshot-id"] for one in kept.snapshots if _is_lost(table, Snapshot(**one), there)]
            if not gone:
                continue
            properties, lost = dict(archive.write(table, kept.without(gone))), len(gone)
        except DamagedError:
            place = str(archive.place_in(table.metadata))
        snapshot = table.current_snapshot()
        _set(table, properties)
        number = snapshot.snapshot_id if snapshot else 0
        yield Found(name, table.metadata_location, number, _rows(snapshot), (), place, lost)


def _there(table: Table) -> Callable[[str], bool]:
    return lambda path: table.io.new_input(path).exists()


def _is_lost(table: Table, snapshot: Snapshot, there: Callable[[str], bool]) -> bool:
    """Say whether a manifest of a snapshot is missing. One that is damaged may be restored."""
    try:
        return not all(there(one.manifest_path) for one in manifests(table, snapshot))
    except FileNotFoundError:
        return True
    except DamagedError:
        return False


def _set(table: Table, properties: Mapping[str, str]) -> None:
    """Name another archive, unless a publication, which may have named one, was first."""
    current = table.current_snapshot()
    still = AssertRefSnapshotId(ref=MAIN_BRANCH, snapshot_id=current.snapshot_id if current else None)
    try:
        with table.transaction() as transaction:
            transaction._apply((SetPropertiesUpdate(updates=dict(properties)),), (still,))
    except CommitFailedException as error:
        raise CommitConflictError(
            f"{'.'.join(table.name())}: another writer was first. Its archive is as it was. Run the command again."
        ) from error


def _rows(snapshot: Snapshot | None) -> int:
    return int((snapshot.summary or {}).get("total-records", 0)) if snapshot and snapshot.summary else 0


def _known(catalog: Catalog, namespace: str) -> list[str]:
    if not catalog.namespace_exists(namespace):
        return []
    return [identifier[-1] for identifier in catalog.list_tables(namespace)]


def _folders(folder: UPath) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def _locations(catalog: Catalog, namespace: str, names: list[str]) -> set[str]:
    """The folders of the tables that load. A table that was renamed keeps its folder."""
    found = set()
    for name in names:
        try:
            found.add(str(UPath(catalog.load_table((namespace, name)).location())))
        except (NoSuchTableError, *UNREADABLE):
            continue
    return found


def _newest(of: CatalogSettings, folder: UPath) -> Found | None:
    """The newest metadata of a table that can be read. None: no rows were ever published."""
    files = [path for path in (folder / "metadata").glob("*.metadata.json") if _METADATA.match(path.name)]
    unreadable: list[str] = []
    for path in sorted(files, key=lambda path: (int(path.name.split("-")[0]), path.stat().st_mtime), reverse=True):
        location = f"{of.warehouse_uri.rstrip('/')}/{folder.parent.name}/{folder.name}/metadata/{path.name}"
        metadata = _read(of, location)
        if metadata is None:
            unreadable.append(path.name)
        elif snapshot := metadata.current_snapshot():
            own = metadata.properties.get(NAME, folder.name)
            return Found(own, location, snapshot.snapshot_id, _rows(snapshot), tuple(unreadable))
    return None


def _read(of: CatalogSettings, location: str) -> TableMetadata | None:
    properties = {key: value for key, value in of.properties.items() if isinstance(value, str)}
    try:
        return FromInputFile.table_metadata(load_file_io(properties, location).new_input(location))
    except UNREADABLE:
        return None
