"""The Iceberg catalog in a database, which reads each metadata file of a table once.

Which catalog there is belongs to ``catalog``.
"""

import sqlite3
from collections import OrderedDict
from typing import Any

from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io import FileIO
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update import (
    AddSnapshotUpdate,
    RemoveSnapshotsUpdate,
    TableRequirement,
    TableUpdate,
    ValidatableTableRequirement,
)
from sqlalchemy.exc import DBAPIError

from contrail.faults import postgres_is_away
from contrail.files import on_disk

_KEPT = 64  # tables, each with some ten kilobytes


def is_away(error: BaseException) -> bool:
    """Say whether the catalog's database is a server that did not answer. It may have done what it was asked for."""
    if not isinstance(error, DBAPIError) or error.orig is None or isinstance(error.orig, sqlite3.Error):
        return False
    return postgres_is_away(error.orig)


class _NamesAsLoaded(ValidatableTableRequirement):
    """Nobody has tagged a snapshot, or taken a tag away, since the table was loaded. Iceberg itself cannot require it."""

    type: str = "assert-names-as-loaded"
    loaded: dict[str, int]

    def validate(self, base_metadata: TableMetadata | None) -> None:
        if base_metadata is None or _names(base_metadata) != self.loaded:
            raise CommitFailedException("Requirement failed: a tag has changed")


def _names(metadata: TableMetadata) -> dict[str, int]:
    return {name: ref.snapshot_id for name, ref in metadata.refs.items()}


def _keep(table: Table, snapshot: Snapshot) -> None:
    """Wait until the manifests that a snapshot has written are on the disk."""
    own = [one.manifest_path for one in snapshot.manifests(table.io) if one.added_snapshot_id == snapshot.snapshot_id]
    on_disk([snapshot.manifest_list, *own])


class RememberingSqlCatalog(SqlCatalog):
    """PyIceberg's SQL catalog. A stage loads a table dozens of times, and its metadata has every kept snapshot.

    The database says each time which metadata file is the table's current one. A metadata file never changes.
    """

    def __init__(self, name: str, **properties: Any) -> None:
        super().__init__(name, **properties)
        self._known: OrderedDict[str, Table] = OrderedDict()

    def _convert_orm_to_iceberg(self, orm_table: IcebergTables) -> Table:
        known = self._known.get(orm_table.metadata_location or "")
        if known is None or not known.io.new_input(known.metadata_location).exists():
            known = super()._convert_orm_to_iceberg(orm_table)
            self._remember(known)
        # The caller's own: a commit changes the metadata of the table that made it.
        return Table(known.name(), known.metadata, known.metadata_location, known.io, self)

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Commit, and remember the metadata that this wrote: the next reader in this process need not parse it.

        Raises:
            CommitFailedException: Another writer was first, or has tagged a snapshot while this one takes snapshots away.
        """
        if any(isinstance(update, RemoveSnapshotsUpdate) for update in updates):
            # A snapshot that is taken away loses its tags.
            requirements = (*requirements, _NamesAsLoaded(loaded=_names(table.metadata)))
        for update in updates:
            if isinstance(update, AddSnapshotUpdate):
                _keep(table, update.snapshot)
        made = super().commit_table(table, requirements, updates)
        self._remember(Table(table.name(), made.metadata, made.metadata_location, table.io, self))
        return made

    @staticmethod
    def _write_metadata(metadata: TableMetadata, io: FileIO, metadata_path: str) -> None:
        """Write it, and wait for the disk: the database does so too, and must not know of a file that a power cut takes."""
        SqlCatalog._write_metadata(metadata=metadata, io=io, metadata_path=metadata_path)
        on_disk([metadata_path])

    def _remember(self, table: Table) -> None:
        self._known[table.metadata_location] = table
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
