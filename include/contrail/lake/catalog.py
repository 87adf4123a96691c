"""The catalog: open it, and find, make and change the tables of one pipeline.

Reading and writing rows does not belong here.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from copy import copy
from typing import Self

from pyiceberg.catalog import Catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import (
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform
from sqlalchemy.exc import IntegrityError
from upath import UPath

from contrail.config.settings import Settings
from contrail.errors import DamagedError, MissingInputError, SchemaError
from contrail.lake import conflicts, evolution, moving, recovery, sandbox_records
from contrail.lake.conflicts import Made
from contrail.lake.datasets import Dataset
from contrail.lake.rest_catalog import PatientRestCatalog
from contrail.lake.sql_catalog import RememberingSqlCatalog

# PyIceberg would retry a lost commit by itself. It would still replace the files from before the winner's commit, so two
# writers of a new partition would both append to it. The publisher must see every conflict, and read the table again.
_NO_RETRIES = {"commit.retry.num-retries": "0"}
_PROPERTIES = {
    **_NO_RETRIES,
    "format-version": "2",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "30",
    # Some hundred days of a wide table. A larger one would make each day read the entries of more and more other days.
    "commit.manifest.target-size-bytes": str(128 * 1024),
    "write.parquet.compression-codec": "zstd",
}


class Tables:
    """The Iceberg tables of one pipeline. Their namespace in the catalog is the pipeline's name, or a sandbox's for it."""

    def __init__(self, settings: Settings, namespace: str, pipeline: str | None = None) -> None:
        self.settings = settings
        self.namespace = namespace
        self.pipeline = pipeline or namespace  # whom the commands that messages name are for
        self.stored = settings.stored(namespace)
        self._opened: Catalog | None = None
        self._kept: dict[str, Table | None] | None = None

    def at_rest(self) -> Self:
        """Return the same tables for one reader. Each stays as it was first loaded, whatever others commit meanwhile.

        Raises:
            DamagedError, MissingInputError: as ``catalog``.
        """
        found = copy(self)
        found._opened, found._kept = self.catalog, {} if self._kept is None else self._kept
        return found

    @property
    def catalog(self) -> Catalog:
        """The Iceberg catalog, opened on first use.

        Raises:
            DamagedError: It lacks tables of which the warehouse has published rows.
            MissingInputError: There is no such sandbox of the pipeline.
        """
        if self._opened is None:
            sandbox_records.check(self.settings, self.pipeline)
            opened = open_catalog(self.settings)
            recovery.check(opened, self.settings.catalog, self.stored, self.pipeline)
            self._opened = opened
        return self._opened

    def table_names(self) -> list[str]:
        """List the names of the tables that exist."""
        try:
            return sorted(identifier[-1] for identifier in self.catalog.list_tables(self.stored))
        except NoSuchNamespaceError:
            return []

    def exists(self, name: str) -> bool:
        """Say whether a table exists."""
        return name in self.table_names()

    def table(self, name: str) -> Table:
        """Load an Iceberg table.

        Raises:
            MissingInputError: naming the table and the tables that exist.
            DamagedError: The table's metadata file is missing or damaged.
        """
        if (found := self.find(name)) is not None:
            return found
        known = ", ".join(self.table_names()) or "none yet"
        raise MissingInputError(
            f"pipeline '{self.namespace}' has no table '{name}'. Tables: {known}. "
            f"To see which command comes next: contrail status --pipeline {self.pipeline}"
        )

    def find(self, name: str) -> Table | None:
        """Load an Iceberg table, or return None when there is none.

        Raises:
            DamagedError: The table's metadata file is missing or damaged.
        """
        if self._kept is None:
            return self._load(name)
        if name not in self._kept:
            self._kept[name] = self._load(name)
        return self._kept[name]

    def _load(self, name: str) -> Table | None:
        try:
            return self.catalog.load_table((self.stored, name))
        except NoSuchTableError:
            return None
        except recovery.UNREADABLE as error:
            raise DamagedError(
                f"{self.namespace}.{name}: its metadata file is missing or damaged: {str(error).splitlines()[0][:300]}\n"
                "Nothing was changed. Go back to the newest metadata that can be read, at most a few commits before:\n"
                f"  contrail recover -p {self.pipeline}"
            ) from error

    def snapshot_id(self, name: str) -> int | None:
        """Return the id of a table's current snapshot, or None when it has none."""
        table = self.find(name)
        snapshot = table.current_snapshot() if table else None
        return snapshot.snapshot_id if snapshot else None

    def commit(self, name: str, attempt: Callable[[], Made]) -> Made:
        """Change a table: call ``attempt`` until it meets no other writer. It must load the table again each time.

        Raises:
            CommitConflictError: Other writers won every attempt.
        """
        return conflicts.commit(self.settings, self.namespace, name, attempt)

    def ensure(self, dataset: Dataset) -> Table:
        """Make the table of a dataset when it is missing, and bring its columns to the dataset's.

        Raises:
            SchemaError: when the table cannot become what the dataset is; see ``evolution``.
            CommitConflictError: Other writers won every attempt.
        """
        table = self.find(dataset.name)
        if table is None:
            self.commit(dataset.name, lambda: self._create(dataset))
            table = self.table(dataset.name)
        if _lacking(dataset, table) or evolution.evolved(dataset, table) != table.schema():
            return self.commit(dataset.name, lambda: self._evolve(dataset))
        return table

    def follows(self, dataset: Dataset) -> bool:
        """Say whether a table has its dataset's columns already. A missing table follows, because it will be made so.

        Raises:
            SchemaError: when the table cannot become what the dataset is.
        """
        table = self.find(dataset.name)
        return table is None or evolution.evolved(dataset, table) == table.schema()

    def bring_up_to_date(self, datasets: Iterable[Dataset]) -> None:
        """Bring the columns of those tables that exist to their datasets', before any work is done for them.

        Raises:
            SchemaError: naming every table that cannot become what its dataset is. The others follow theirs.
        """
        existing, refused = set(self.table_names()), []
        for dataset in datasets:
            if dataset.name in existing:
                try:
                    self.ensure(dataset)
                except SchemaError as error:
                    refused.append(str(error))
        if refused:
            raise SchemaError("\n".join(refused))

    def _create(self, dataset: Dataset) -> None:
        schema = dataset.iceberg_schema()
        fields = [
            PartitionField(schema.find_field(name).field_id, 1000 + i, IdentityTransform(), name)
            for i, name in enumerate(dataset.partition_by)
        ]
        # Another run may make either after our check. The SQL catalog then raises the database's own error.
        with suppress(NamespaceAlreadyExistsError, IntegrityError):
            self.catalog.create_namespace_if_not_exists(self.stored)
        with suppress(TableAlreadyExistsError, IntegrityError):
            self.catalog.create_table(
                (self.stored, dataset.name),
                schema,
                partition_spec=PartitionSpec(*fields),
                properties={
                    **_PROPERTIES,
                    **evolution.key_of(dataset),
                    "comment": dataset.doc,
                    **moving.name_of(dataset.name),
                },
                location=moving.free_location(self, dataset.name),
            )

    def _evolve(self, dataset: Dataset) -> Table:
        table = evolution.evolve(dataset, self.table(dataset.name))
        if lacking := _lacking(dataset, table):
            with table.transaction() as transaction:
                transaction.set_properties(lacking)
        return table


def _lacking(dataset: Dataset, table: Table) -> dict[str, str]:
    """The properties that a table from before does not have yet."""
    found = table.properties
    # A key that is noted already stays: another one is refused, and a renamed column is the same key.
    key = {} if evolution.KEY in found else evolution.key_of(dataset)
    return key | {name: value for name, value in _NO_RETRIES.items() if found.get(name) != value}


def open_catalog(settings: Settings, *, patient: bool = True) -> Catalog:
    """Open the catalog as it is, whatever it lacks. A patient one waits about a minute for a service that is away."""
    if settings.catalog.uri.startswith("sqlite:///"):
        UPath(settings.catalog.uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    properties = {
        "uri": settings.catalog.uri,
        "warehouse": settings.catalog.warehouse_uri,
        **settings.catalog.properties,
    }
    if settings.catalog.type == "rest":
        return (PatientRestCatalog if patient else RestCatalog)("contrail", **properties)
    # SQLite raises "database is locked" when two writers meet; both retry (see conflicts). A server may have closed an idle
    # connection, or have started again, since the connection was last used.
    return RememberingSqlCatalog("contrail", **{"pool_pre_ping": "true", **properties})
