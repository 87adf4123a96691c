"""One pipeline's tables: readers, and the one publisher that every stage uses.

Compute jobs hand over staged rows; ``publish`` audits them and makes them visible in a single atomic Iceberg
commit. Nothing else writes to a table. No stage's rules belong here.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    TableAlreadyExistsError,
    ValidationException,
)
from pyiceberg.expressions import (
    AlwaysFalse,
    AlwaysTrue,
    And,
    BooleanExpression,
    EqualTo,
    GreaterThanOrEqual,
    LessThanOrEqual,
    Or,
)
from pyiceberg.io.pyarrow import _dataframe_to_data_files, schema_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.table import Table
from pyiceberg.table.snapshots import ancestors_of
from pyiceberg.transforms import IdentityTransform
from sqlalchemy.exc import IntegrityError, OperationalError
from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)
from upath import UPath

from contrail.config.settings import Settings
from contrail.errors import CommitConflictError, DataError, MissingInputError
from contrail.lake import audit
from contrail.lake.datasets import PARTITION, Dataset
from contrail.lake.lineage import ALL_PARTITIONS, Lineage, commit_of
from contrail.lake.parquet import parquet_files
from contrail.lake.provenance import PREFIX, Provenance
from contrail.partitions import Partitions, as_ranges

if TYPE_CHECKING:
    from pyiceberg.table.snapshots import Snapshot

# PyIceberg would try a lost commit again by itself, with the files to replace as they were before the winner's commit: two
# writers of a new partition would both append to it. Every conflict must come to ``publish``, which looks again.
_NO_RETRIES = {"commit.retry.num-retries": "0"}
_PROPERTIES = {
    **_NO_RETRIES,
    "format-version": "2",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "30",
    "write.parquet.compression-codec": "zstd",
}
_ATTEMPTS = 12
_WRITERS = 4
_CONFLICTS = (CommitFailedException, ValidationException, OperationalError)


@dataclass(frozen=True)
class PartitionState:
    """Rows of a published partition and when it last changed."""

    rows: int
    updated_at: datetime | None
    snapshot_id: int | None


def _catalog(settings: Settings) -> Catalog:
    if settings.catalog.uri.startswith("sqlite:///"):
        UPath(settings.catalog.uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    properties = {
        "type": settings.catalog.type,
        "uri": settings.catalog.uri,
        "warehouse": settings.catalog.warehouse_uri,
        **settings.catalog.properties,
    }
    # SQLite raises "database is locked" when two writers meet; both retry (see publish).
    return load_catalog("contrail", **properties)


def _row_filter(days: list[date] | None, scope: Mapping[str, str]) -> BooleanExpression:
    found: BooleanExpression = AlwaysTrue()
    if days is not None:
        # Ranges, not In(): PyIceberg's cost of a list grows with its square (a year: seconds).
        found = AlwaysFalse()
        for part in as_ranges(days):
            found = Or(found, And(GreaterThanOrEqual(PARTITION, part.start), LessThanOrEqual(PARTITION, part.end)))  # type: ignore[arg-type]
    for column, value in scope.items():
        found = And(found, EqualTo(column, value))  # type: ignore[arg-type]
    return found


class Lake:
    """The tables of one pipeline; its namespace in the catalog is the pipeline's name."""

    def __init__(self, settings: Settings, namespace: str) -> None:
        self.settings = settings
        self.namespace = namespace
        self._opened: Catalog | None = None

    @property
    def catalog(self) -> Catalog:
        """The Iceberg catalog, opened on first use."""
        if self._opened is None:
            self._opened = _catalog(self.settings)
        return self._opened

    def table_names(self) -> list[str]:
        """Names of the tables that exist."""
        if not self.catalog.namespace_exists(self.namespace):
            return []
        return sorted(identifier[-1] for identifier in self.catalog.list_tables(self.namespace))

    def exists(self, name: str) -> bool:
        """Whether a table was ever published."""
        return self.catalog.table_exists((self.namespace, name))

    def table(self, name: str) -> Table:
        """The Iceberg table.

        Raises:
            MissingInputError: naming the table and the tables that exist.
        """
        try:
            return self.catalog.load_table((self.namespace, name))
        except NoSuchTableError as error:
            known = ", ".join(self.table_names()) or "none yet"
            raise MissingInputError(
                f"pipeline '{self.namespace}' has no table '{name}'. Tables: {known}. "
                f"Run the stage that makes it first (contrail status --pipeline {self.namespace})."
            ) from error

    def snapshot_id(self, name: str) -> int | None:
        """Current snapshot of a table; None when it has none."""
        if not self.exists(name):
            return None
        snapshot = self.table(name).current_snapshot()
        return snapshot.snapshot_id if snapshot else None

    # ---- readers ----

    def schema(self, name: str) -> pa.Schema:
        """The columns of a table as Arrow, with which its files of any age can be read.

        Raises:
            MissingInputError: if the table does not exist.
        """
        return _plain(schema_to_pyarrow(self.table(name).schema(), include_field_ids=False))

    def files(self, name: str, partitions: Partitions | None = None, snapshot_id: int | None = None) -> list[str]:
        """URIs of the Parquet files that hold exactly the rows of these partitions, sorted.

        Raises:
            MissingInputError: if the table does not exist, or no longer has the snapshot.
        """
        days = list(partitions) if partitions else None
        table = self.table(name)
        if snapshot_id is not None and table.snapshot_by_id(snapshot_id) is None:
            # PyIceberg would find no files, as if the table had been empty.
            raise MissingInputError(
                f"{self.namespace}.{name} has no snapshot {snapshot_id}, or it has expired. contrail history {name} "
                f"--pipeline {self.namespace} lists those that it has."
            )
        scan = table.scan(row_filter=_row_filter(days, {}), snapshot_id=snapshot_id)
        return sorted(task.file.file_path for task in scan.plan_files())

    def scan(
        self,
        name: str,
        partitions: Partitions | None = None,
        columns: Iterable[str] | None = None,
        snapshot_id: int | None = None,
    ) -> pa.Table:
        """Rows of a table as Arrow, in the order of its files.

        Raises:
            MissingInputError: if the table does not exist, or no longer has the snapshot.
        """
        schema = self.schema(name)
        files = self.files(name, partitions, snapshot_id)
        names = list(columns) if columns is not None else schema.names
        if not files:
            return schema.empty_table().select(names)
        dataset = parquet_files(files, schema)
        return dataset.to_table(columns=names)

    def partitions(self, name: str) -> dict[date, PartitionState]:
        """The published partitions of a table, in order; empty when the table does not exist."""
        if not self.exists(name):
            return {}
        table = self.table(name)
        if table.current_snapshot() is None:
            return {}
        found: dict[date, PartitionState] = {}
        for entry in table.inspect.partitions().to_pylist():
            day = entry["partition"][PARTITION]
            changed = entry["last_updated_at"]
            before = found.get(day)
            newest = max(filter(None, (changed, before.updated_at if before else None)), default=None)
            rows = entry["record_count"] + (before.rows if before else 0)
            found[day] = PartitionState(
                rows, newest.replace(tzinfo=UTC) if newest else None, entry["last_updated_snapshot_id"]
            )
        return dict(sorted(found.items()))

    def connect(
        self, names: Iterable[str] | None = None, partitions: Mapping[str, Partitions] | None = None
    ) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection (UTC) with a view for each table, each pinned to its current snapshot.

        Args:
            names: The tables wanted; None for all.
            partitions: Limits a table to these partitions, so that the files of the others are not even opened.
        """
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        wanted = set(self.table_names()) if names is None else set(names) & set(self.table_names())
        for name in sorted(wanted):
            self._create_view(connection, name, (partitions or {}).get(name))
        if "predictions" in wanted:
            connection.execute(
                "CREATE VIEW predictions_latest AS SELECT * EXCLUDE (feature_snapshot, scoring_run) "
                "FROM predictions WHERE partition_date = (SELECT max(partition_date) FROM predictions)"
            )
        return connection

    def _create_view(self, connection: duckdb.DuckDBPyConnection, name: str, partitions: Partitions | None) -> None:
        files = [path.removeprefix("file://") for path in self.files(name, partitions)]
        protocol = files[0].partition("://")[0] if files and "://" in files[0] else ""
        if protocol and not connection.filesystem_is_registered(protocol):
            connection.register_filesystem(UPath(files[0]).fs)
        if files:
            listed = ", ".join("'" + path.replace("'", "''") + "'" for path in files)
            source = f"SELECT * FROM read_parquet([{listed}], hive_partitioning=false, union_by_name=true)"
        else:
            connection.register(f"_empty_{name}", self.schema(name).empty_table())
            source = f'SELECT * FROM "_empty_{name}"'
        connection.execute(f'CREATE VIEW "{name}" AS {source}')

    # ---- the publisher ----

    def publish(
        self,
        dataset: Dataset,
        rows: pa.Table | UPath,
        partitions: Partitions | Iterable[date] | None,
        provenance: Provenance,
        scope: Mapping[str, str] | None = None,
        each_partition: bool = False,
    ) -> int:
        """Audit staged rows, then replace these partitions in one atomic commit.

        A partition without staged rows becomes empty. A reader sees all of the old rows or all of the new ones.
        Other writers are waited for; the last commit of a partition wins.

        Args:
            dataset: The table that the rows are for; it is created when missing.
            rows: Staged rows, as Arrow or as a folder of Parquet files.
            partitions: The partitions that are replaced; None replaces an unpartitioned table whole.
            provenance: Goes into the snapshot's summary.
            scope: Narrows the replacement by further partition columns, for example ``{"stage": "ingest"}``.
            each_partition: One commit a partition instead, in order; all rows are audited before the first.

        Returns:
            The id of the table's snapshot that holds the rows.

        Raises:
            AuditError: nothing was published.
            CommitConflictError: other writers won every attempt; nothing was published.
        """
        days = None if partitions is None else sorted(set(partitions))
        staged = audit.check(dataset, rows, days, scope or {})
        summary = provenance.summary() | {f"{PREFIX}job_rows": str(staged.num_rows)}
        if not (each_partition and days):
            return self._replace(dataset, staged, days, summary, scope or {})
        return [self._replace(dataset, _of(staged, day), [day], summary, scope or {}) for day in days][-1]

    def _replace(
        self,
        dataset: Dataset,
        staged: pa.Table,
        days: list[date] | None,
        summary: dict[str, str],
        scope: Mapping[str, str],
    ) -> int:
        label = ALL_PARTITIONS if days is None else ",".join(str(r) for r in as_ranges(days))
        summary = summary | {f"{PREFIX}partitions": label}
        try:
            return _retrying()(self._commit, dataset, staged, _row_filter(days, scope), summary)
        except RetryError as error:
            raise CommitConflictError(
                f"{self.namespace}.{dataset.name} {label}: {_ATTEMPTS} commits were lost to other writers. "
                "Nothing was published; readers see what was there before. Run the stage again."
            ) from error

    def _commit(self, dataset: Dataset, staged: pa.Table, replaced: BooleanExpression, summary: dict[str, str]) -> int:
        table = self._ensure(dataset)
        current = table.current_snapshot()
        old = [task.file for task in table.scan(row_filter=replaced).plan_files()] if current else []
        if current and not old and staged.num_rows == 0:
            return int(current.snapshot_id)
        # The public overwrite() makes a delete snapshot and an append snapshot; this makes one (docs/adr/0002).
        new = _write_files(table, _by_partition(staged, dataset.partition_by))
        with table.transaction() as transaction:
            update = transaction.update_snapshot(snapshot_properties=summary)
            with update.overwrite() if old else update.merge_append() as producer:
                for file in old:
                    producer.delete_data_file(file)
                for file in new:
                    producer.append_data_file(file)
        snapshot = table.current_snapshot()
        assert snapshot is not None
        self._expire(table)
        return int(snapshot.snapshot_id)

    def _ensure(self, dataset: Dataset) -> Table:
        identifier = (self.namespace, dataset.name)
        schema = dataset.iceberg_schema()
        if not self.catalog.table_exists(identifier):
            fields = [
                PartitionField(schema.find_field(name).field_id, 1000 + i, IdentityTransform(), name)
                for i, name in enumerate(dataset.partition_by)
            ]
            # Another run may make either between our look and our create; the SQL catalog says so as the database does.
            with suppress(NamespaceAlreadyExistsError, IntegrityError):
                self.catalog.create_namespace_if_not_exists(self.namespace)
            with suppress(TableAlreadyExistsError, IntegrityError):
                return self.catalog.create_table(
                    identifier,
                    schema,
                    partition_spec=PartitionSpec(*fields),
                    properties={**_PROPERTIES, "comment": dataset.doc},
                )
        table = self.catalog.load_table(identifier)
        if not _NO_RETRIES.items() <= table.properties.items():
            with table.transaction() as transaction:
                transaction.set_properties(_NO_RETRIES)
        if set(table.schema().column_names) != set(schema.column_names):
            audit.check_evolution(dataset, table.schema())
            with table.update_schema() as update:
                update.union_by_name(schema)
        return table

    def _expire(self, table: Table) -> None:
        """Forget the oldest untagged snapshots once a fifth more than ``snapshots_kept`` have gathered."""
        kept = self.settings.snapshots_kept
        protected = {ref.snapshot_id for ref in table.refs().values()}
        snapshots = [s.snapshot_id for s in sorted(table.snapshots(), key=lambda s: s.timestamp_ms)]
        if len(snapshots) > kept * 1.2:
            expired = [s for s in snapshots[:-kept] if s not in protected]
            table.maintenance.expire_snapshots().by_ids(expired).commit()

    # ---- history ----

    def history(self, name: str) -> list[dict[str, object]]:
        """The snapshots of a table, newest first, with their provenance."""
        table = self.table(name)
        current = table.current_snapshot()
        tags: dict[int, list[str]] = {}
        for tag, ref in table.refs().items():
            if tag != "main":
                tags.setdefault(ref.snapshot_id, []).append(tag)
        return [
            {
                "snapshot": snapshot.snapshot_id,
                "committed_at": _moment(snapshot),
                "current": bool(current and snapshot.snapshot_id == current.snapshot_id),
                "tags": tags.get(snapshot.snapshot_id, []),
                **_summary(snapshot),
            }
            for snapshot in sorted(table.snapshots(), key=lambda s: s.timestamp_ms, reverse=True)
        ]

    def lineage(self, name: str) -> Lineage:
        """The commits that the table's current state is made of; none when it does not exist."""
        table = self.table(name) if self.exists(name) else None
        if table is None:
            return Lineage(())
        entries = (
            {"snapshot": snapshot.snapshot_id, "committed_at": _moment(snapshot), **_summary(snapshot)}
            for snapshot in ancestors_of(table.current_snapshot(), table.metadata)
        )
        return Lineage(tuple(commit_of(entry) for entry in entries))

    def rollback(self, name: str, snapshot_id: int) -> None:
        """Make an earlier snapshot the current one, in one atomic commit; later snapshots stay readable by id.

        Raises:
            DataError: for a snapshot that the table does not have.
        """
        table = self.table(name)
        if table.snapshot_by_id(snapshot_id) is None:
            raise DataError(
                f"{self.namespace}.{name} has no snapshot {snapshot_id}; "
                f"contrail history {name} --pipeline {self.namespace} lists those that it has."
            )
        table.manage_snapshots().set_current_snapshot(snapshot_id).commit()

    def tag(self, name: str, snapshot_id: int, tag: str) -> None:
        """Name a snapshot so that it never expires; naming it again is harmless."""

        def commit() -> None:
            table = self.table(name)
            existing = table.refs().get(tag)
            if existing is None or existing.snapshot_id != snapshot_id:
                table.manage_snapshots().create_tag(snapshot_id, tag).commit()

        _retrying()(commit)

    def untag(self, name: str, tag: str) -> None:
        """Remove a snapshot's name, so that it may expire; a name that is not there is no fault."""

        def commit() -> None:
            table = self.table(name)
            if tag in table.refs():
                table.manage_snapshots().remove_tag(tag).commit()

        _retrying()(commit)


def _retrying() -> Retrying:
    return Retrying(
        retry=retry_if_exception_type(_CONFLICTS),
        wait=wait_random_exponential(multiplier=0.1, max=5),
        stop=stop_after_attempt(_ATTEMPTS),
    )


def _of(staged: pa.Table, day: date) -> pa.Table:
    return staged.filter(pc.equal(staged[PARTITION], pa.scalar(day, pa.date32())))


def _moment(snapshot: "Snapshot") -> str:
    return datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC).isoformat(timespec="seconds")


def _summary(snapshot: "Snapshot") -> dict[str, object]:
    values = dict(snapshot.summary.additional_properties) if snapshot.summary else {}
    ours = {key.removeprefix(PREFIX): value for key, value in values.items() if key.startswith(PREFIX)}
    inputs = json.loads(ours.pop("inputs", "{}"))
    return {"rows": int(values.get("total-records", 0)), **ours, "inputs": inputs}


def _write_files(table: Table, parts: Iterator[pa.Table]) -> list[DataFile]:
    """Write each part's data files, a few at a time; they are visible to nobody before the commit."""
    with ThreadPoolExecutor(_WRITERS) as pool:
        written = pool.map(lambda rows: list(_dataframe_to_data_files(table.metadata, rows, table.io)), parts)
        return [file for files in written for file in files]


def _by_partition(staged: pa.Table, columns: tuple[str, ...]) -> Iterator[pa.Table]:
    """The rows of one partition at a time; PyIceberg would filter all rows once for each partition (a year: 46 s)."""
    if not columns or staged.num_rows == 0:
        yield from [staged] if staged.num_rows else []
        return
    ordered = staged.sort_by([(name, "ascending") for name in columns]).combine_chunks()
    start = 0
    for rows in ordered.group_by(list(columns), use_threads=False).aggregate([([], "count_all")])["count_all"]:
        yield ordered.slice(start, rows.as_py())
        start += rows.as_py()


def _plain(schema: pa.Schema) -> pa.Schema:
    """The schema with Arrow's small string type, which every reader here uses."""
    return pa.schema(
        [f.with_type(pa.string()) if pa.types.is_large_string(f.type) else f for f in schema]
    ).remove_metadata()
