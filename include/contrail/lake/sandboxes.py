"""A sandbox's part of the lake: tables that begin as those of the main lake are, without a copy of their rows.

A table of a sandbox has a metadata file of its own, which leads to the main lake's manifests and data files. From there on
it is a table like any other: what is published to it lies in its own folder. MLflow's part of a sandbox does not belong here.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from uuid import uuid4

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.serializers import ToOutputFile
from pyiceberg.table import Table
from pyiceberg.table.refs import SnapshotRef, SnapshotRefType
from upath import UPath

from contrail.config.names import in_sandbox, of_sandbox, sandbox_problem
from contrail.config.settings import Settings
from contrail.errors import DamagedError, SpecError
from contrail.files import remove_folder
from contrail.lake import moving, orphans, sandbox_records
from contrail.lake.catalog import Tables, open_catalog
from contrail.lake.recovery import UNREADABLE
from contrail.lake.sandbox_records import BASE, Pinned

PIN = "sandbox_pin"  # the tag that keeps the pinned snapshot of a sandbox's table from expiring
_PASSING = frozenset({"tmp", "locks"})  # what a command makes that asks for a sandbox which nobody has made


def begin(settings: Settings, pipeline: str) -> dict[str, Pinned]:
    """Make the tables of a sandbox, each at the snapshot that the main lake's table has now.

    What an earlier making or dropping has left when it was killed goes first.

    Args:
        settings: Of the sandbox.
        pipeline: The pipeline.

    Returns:
        What each table was pinned to.

    Raises:
        DamagedError: when a table of the main lake cannot be read.
    """
    main, catalog, own = Tables(settings.main, pipeline), open_catalog(settings), settings.stored(pipeline)
    _clear(catalog, settings, [own])
    catalog.create_namespace_if_not_exists(own)
    pinned = {}
    for name in main.table_names():
        table = main.table(name)
        catalog.register_table(
            (own, name), _cloned(table, f"{settings.catalog.warehouse_uri.rstrip('/')}/{own}/{name}")
        )
        current = table.current_snapshot()
        pinned[name] = Pinned(snapshot=current.snapshot_id if current else None, location=table.location())
    return pinned


def _cloned(table: Table, location: str) -> str:
    """Write a metadata file that leads to a table's own files. What is added to it lies at ``location``."""
    known = table.metadata
    pins = {}
    if known.current_snapshot_id is not None:
        pins[PIN] = SnapshotRef(snapshot_id=known.current_snapshot_id, snapshot_ref_type=SnapshotRefType.TAG)
    cloned = known.model_copy(
        update={
            "location": location,
            "table_uuid": uuid4(),
            "last_updated_ms": int(datetime.now(UTC).timestamp() * 1000),
            # A commit removes the oldest metadata file in the log, and these are the main lake's.
            "metadata_log": [],
            "refs": {**known.refs, **pins},
            "properties": {**known.properties, BASE: table.location()},
        }
    )
    place = f"{location}/metadata/00000-{uuid4()}.metadata.json"
    ToOutputFile.table_metadata(cloned, table.io.new_output(place))
    return place


def borrowed(tables: Tables, table: Table) -> set[str]:
    """List every file that sandboxes need, among them those of this table of the main lake.

    Raises:
        DamagedError: when a sandbox's table cannot be read, so that nobody knows what it needs.
    """
    found: set[str] = set()
    for record in () if tables.settings.sandbox else sandbox_records.every(tables.settings, tables.pipeline):
        names = [name for name, pinned in record.tables.items() if pinned.location == table.location()]
        own = Tables(tables.settings.inside(record.name), tables.pipeline)
        for name in names:
            for one in (name, *moving.moved_tables(own.table_names(), name)):
                if (borrower := own.find(one)) and borrower.properties.get(BASE) == table.location():
                    found |= orphans.leads_to(borrower)
    return found


def changed(tables: Tables, record: sandbox_records.Sandbox) -> tuple[list[str], list[str]]:
    """List the tables that a sandbox has published to, or made, and then those that cannot be read."""
    pinned, found, damaged = record.snapshots, [], []
    for name in tables.table_names():
        try:
            if tables.snapshot_id(name) != pinned.get(name):
                found.append(name)
        except DamagedError:
            damaged.append(name)
    return found, damaged


def names_in_catalog(main: Settings) -> set[tuple[str, str]]:
    """List the sandboxes, each with its pipelines and other namespaces, that the catalog knows, whole or not."""
    found = (of_sandbox(space[0]) for space in open_catalog(main).list_namespaces())
    return {one for one in found if one}


def drop(main: Settings, sandbox: str) -> None:
    """Remove the tables of a sandbox with its own files. The same call goes on after a kill."""
    spaces = [in_sandbox(*one) for one in names_in_catalog(main) if one[0] == sandbox]
    _clear(open_catalog(main), main, spaces)


def own_bytes(main: Settings, sandbox: str) -> int:
    """Add up the sizes of a sandbox's own files, in bytes: of its tables, its models, and those beside them."""
    spaces = [in_sandbox(*one) for one in names_in_catalog(main) if one[0] == sandbox]
    stores = (main.catalog.warehouse_uri, main.registry.artifact_uri)
    shared = [UPath(store) / space for store in stores for space in spaces]
    return sum(
        one.size
        for folder in (*shared, *folders(main, sandbox))
        if folder.exists()
        for one in orphans.files_under(folder.fs, str(folder))
    )


def folders(main: Settings, sandbox: str) -> list[UPath]:
    """List the folders beside the lake that are a sandbox's alone."""
    return _beside(main.inside(sandbox))


def removable(main: Settings, sandbox: str) -> list[UPath]:
    """List those of a sandbox's folders that exist, for they are to be removed.

    Raises:
        SpecError: for one that is not directly in a folder of sandboxes, whatever led there.
    """
    found = []
    for folder, above in zip(folders(main, sandbox), _of_all(main), strict=True):
        if folder.exists():
            if folder.resolve().parent != above.resolve():
                raise SpecError(
                    f"the sandbox '{sandbox}' would lie in {folder}, which is not a folder directly in {above}. Nothing was "
                    "removed. A link there has to be removed by hand"
                )
            found.append(folder)
    return found


def names_in_folders(main: Settings) -> set[str]:
    """List the sandboxes that have anything in their folders beside the lake, whole or not."""
    places = [one for above in _of_all(main) if above.exists() for one in above.iterdir()]
    return {
        one.name
        for one in places
        if not sandbox_problem(one.name, ()) and one.is_dir() and any(it.name not in _PASSING for it in one.iterdir())
    }


def _of_all(main: Settings) -> list[UPath]:
    """The folders that have the folders of all sandboxes, in the order of ``folders``."""
    return [folder / sandbox_records.FOLDER for folder in _beside(main)]


def _beside(settings: Settings) -> list[UPath]:
    uris = (
        settings.staging_uri, settings.refused_uri, settings.data_versions_remote_uri, settings.lineage_uri,
        settings.reports_uri,
    )  # fmt: skip
    return [*(UPath(uri) for uri in uris if uri), UPath(settings.home_path)]


def _clear(catalog: Catalog, settings: Settings, spaces: Iterable[str]) -> None:
    """Remove namespaces of sandboxes, with the files of their tables."""
    for space in spaces:
        assert of_sandbox(space), space
        with suppress(NoSuchNamespaceError):
            for identifier in catalog.list_tables(space):
                # Files first: a table that the catalog no longer knows would keep its files.
                with suppress(NoSuchTableError, *UNREADABLE):
                    remove_folder(UPath(catalog.load_table(identifier).location()))
                with suppress(NoSuchTableError):
                    catalog.drop_table(identifier)
            catalog.drop_namespace(space)
        remove_folder(UPath(settings.catalog.warehouse_uri) / space)
