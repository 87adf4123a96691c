"""Readers of a table: its files, its rows as Arrow, its partitions, and DuckDB views for people.

Every reader sees one whole snapshot. Nothing here writes.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import accumulate

import duckdb
import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import Table
from upath import UPath

from contrail.config.names import literal, quoted
from contrail.errors import MissingInputError, SnapshotGoneError
from contrail.lake import data_files, integrity, manifests, snapshots
from contrail.lake.catalog import Tables
from contrail.lake.datasets import PARTITION
from contrail.lake.evolution import earlier_names
from contrail.lake.history import lineage_of
from contrail.lake.parquet import field_id, plain, read_batches, read_rows, with_earlier
from contrail.lake.selection import Selection
from contrail.lake.sessions import session
from contrail.partitions import Partitions, as_ranges


@dataclass(frozen=True)
class PartitionState:
    """The rows of a published partition, and the time at which it last changed."""

    rows: int
    snapshot_id: int | None
    table: Table | None = field(default=None, repr=False, compare=False)

    @property
    def updated_at(self) -> datetime | None:
        """The time of that change; None where its snapshot has expired. It may have to be looked up in the archive."""
        if self.table is None or self.snapshot_id is None:
            return None
        made = snapshots.find(self.table, self.snapshot_id)
        return datetime.fromtimestamp(made.timestamp_ms / 1000, UTC) if made else None


def schema(tables: Tables, name: str, snapshot_id: int | None = None) -> pa.Schema:
    """Return the Arrow schema of a table as it is now, or as it was at a snapshot.

    It reads files of any age. Each field knows its id, and the names that it had (``parquet.earlier_of``).

    Raises:
        MissingInputError: if the table does not exist.
    """
    return schema_of(tables.table(name), snapshot_id)


def schema_of(table: Table, snapshot_id: int | None = None) -> pa.Schema:
    """Return the Arrow schema of a loaded table; see ``schema``."""
    snapshot = snapshots.find(table, snapshot_id) if snapshot_id is not None else None
    wanted = table.schema()
    if snapshot is not None and snapshot.schema_id is not None:
        wanted = table.schemas().get(snapshot.schema_id, wanted)
    earlier = earlier_names(table, wanted)
    found = zip(wanted.fields, schema_to_pyarrow(wanted), strict=True)
    # Every reader here uses Arrow's small string type.
    return pa.schema(
        [
            with_earlier(arrow.with_type(pa.string()) if pa.types.is_large_string(arrow.type) else arrow, names)
            for field, arrow in found
            for names in [earlier.get(field.field_id, ())]
        ]
    )


def files(
    tables: Tables,
    name: str,
    partitions: Partitions | None = None,
    snapshot_id: int | None = None,
    scope: Mapping[str, str] | None = None,
) -> list[str]:
    """List the URIs of the Parquet files that hold exactly the rows of these partitions, sorted.

    The files are as they were written; see ``integrity``. ``scope`` has values of further partition columns.

    Raises:
        MissingInputError: if the table does not exist, or no longer has the snapshot.
        DamagedError: if a file is missing or has other bytes.
    """
    table = _with_snapshot(tables, name, snapshot_id)
    found = data_files.listed(table, Selection.of(partitions, scope), snapshot_id)
    current = table.current_snapshot()
    integrity.check(table, found, current=snapshot_id is None or bool(current and current.snapshot_id == snapshot_id))
    return sorted(file.file_path for file in found)


def made_of(
    tables: Tables, name: str, partitions: Partitions | None = None, snapshot_id: int | None = None
) -> dict[date, list[str]]:
    """Name the data files of each day that has rows, sorted. No file is opened.

    A name has the digest of the file's bytes, so the same names are the same rows.

    Raises:
        MissingInputError: if the table does not exist, or no longer has the snapshot.
    """
    found: dict[date, list[str]] = {}
    for file in data_files.listed(_with_snapshot(tables, name, snapshot_id), Selection.of(partitions), snapshot_id):
        if file.record_count:
            found.setdefault(data_files.day_of(file.partition[0]), []).append(file.file_path.rpartition("/")[2])
    return {day: sorted(names) for day, names in sorted(found.items())}


def _with_snapshot(tables: Tables, name: str, snapshot_id: int | None) -> Table:
    table = tables.table(name)
    if snapshot_id is not None and snapshots.find(table, snapshot_id) is None:
        # PyIceberg would find no files, as if the table were empty.
        raise gone(tables, name, snapshot_id)
    return table


def gone(tables: Tables, name: str, snapshot_id: int) -> SnapshotGoneError:
    """The error for a snapshot that a table does not have."""
    return SnapshotGoneError(
        name,
        f"{tables.namespace}.{name} has no snapshot {snapshot_id}, or it has expired. contrail history {name} "
        f"--pipeline {tables.namespace} lists its snapshots.",
    )


def scan(
    tables: Tables,
    name: str,
    partitions: Partitions | None = None,
    columns: Iterable[str] | None = None,
    snapshot_id: int | None = None,
    scope: Mapping[str, str] | None = None,
) -> pa.Table:
    """Read rows of a table as Arrow, in the order of its files. They must fit into memory: ``batches`` need not.

    ``scope`` has values of further partition columns.

    Raises:
        MissingInputError: if the table does not exist, lacks a column, or no longer has the snapshot.
        DamagedError: if a file is missing or has other bytes.
    """
    found, wanted = _found(tables, name, partitions, columns, snapshot_id, scope)
    return read_rows(found, wanted) if found else plain(wanted).empty_table()


def batches(
    tables: Tables,
    name: str,
    partitions: Partitions | None = None,
    columns: Iterable[str] | None = None,
    snapshot_id: int | None = None,
) -> pa.RecordBatchReader:
    """Read rows of a table as a stream, in the order of its files: by partition, and in one by key.

    Only a few batches are in memory at a time. The errors are those of ``scan``, raised before the first batch.
    """
    found, wanted = _found(tables, name, partitions, columns, snapshot_id)
    return pa.RecordBatchReader.from_batches(plain(wanted), read_batches(found, wanted))


def _found(
    tables: Tables,
    name: str,
    days: Iterable[date] | None,
    columns: Iterable[str] | None,
    snapshot_id: int | None,
    scope: Mapping[str, str] | None = None,
) -> tuple[list[str], pa.Schema]:
    """Find the files to read, and the columns to read in them."""
    tables = tables.at_rest()
    own, parts = schema(tables, name), [None] if days is None else as_ranges(days)
    found = [file for part in parts for file in files(tables, name, part, snapshot_id, scope)]
    names = list(columns) if columns is not None else own.names
    if missing := [column for column in names if column not in own.names]:
        raise MissingInputError(
            f"{tables.namespace}.{name} has no columns {missing} yet; it has {own.names}. The next stage that uses the "
            f"table brings it to the spec: contrail status --pipeline {tables.namespace} shows which."
        )
    return found, pa.schema([own.field(column) for column in names])


def partitions(tables: Tables, name: str, window: Partitions | None = None) -> dict[date, PartitionState]:
    """Return the published partitions of a table, in order. A missing table has none.

    Args:
        tables: The tables of one pipeline.
        name: The table.
        window: Only these partitions. What is read then does not grow with the number of the others.

    Raises:
        DamagedError: when a manifest is missing or damaged.
    """
    table = tables.find(name)
    snapshot = table.current_snapshot() if table else None
    if table is None or snapshot is None:
        return {}
    position = next(i for i, field in enumerate(table.spec().fields) if field.name == PARTITION)
    found: dict[date, PartitionState] = {}
    newest_of: dict[date, int] = {}  # a partition may have several files
    for entry in data_files.entries(table, Selection.of(window), snapshot):
        day = data_files.day_of(entry.data_file.partition[position])
        own = PartitionState(entry.data_file.record_count, entry.snapshot_id, table)
        order = entry.sequence_number or 0
        rows, newest = found[day].rows if day in found else 0, order >= newest_of.get(day, 0)
        found[day] = replace(own if newest else found[day], rows=own.rows + rows)
        newest_of[day] = max(order, newest_of.get(day, 0))
    return dict(sorted(found.items()))


def ends(tables: Tables, name: str) -> Partitions | None:
    """Return the range from the first to the last published partition of a table; None when it has none.

    What is read does not grow with the number of partitions between them.

    Raises:
        DamagedError: when a manifest is missing or damaged.
    """
    tables = tables.at_rest()
    table = tables.find(name)
    snapshot = table.current_snapshot() if table else None
    if table is None or snapshot is None:
        return None
    bounds = manifests.bounds(table, snapshot, PARTITION)
    first, last = (data_files.day_of(pick(bounds)) if bounds else None for pick in (min, max))
    if first is None or last is None:
        return None
    # A manifest's bounds may be of files that are no longer there.
    if not all(partitions(tables, name, Partitions(day, day)) for day in (first, last)):
        days = partitions(tables, name)
        return Partitions(min(days), max(days)) if days else None
    return Partitions(first, last)


@contextmanager
def connect(
    tables: Tables, names: Iterable[str] | None = None, partitions: Mapping[str, Partitions] | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB session with a view for each table. Each view is pinned to its table's current snapshot.

    The session keeps within ``memory_limit``; see ``sessions.session``.

    Args:
        tables: The tables of one pipeline.
        names: The tables to show; None for all.
        partitions: Limits a table to these partitions. DuckDB then opens no file of the others.
    """
    tables = tables.at_rest()
    with session(tables.settings) as connection:
        existing = set(tables.table_names())
        for name in sorted(existing if names is None else existing.intersection(names)):
            create_view(connection, name, schema(tables, name), files(tables, name, (partitions or {}).get(name)))
        yield connection


def snapshot_at(tables: Tables, name: str, moment: datetime | None) -> int | None:
    """Return the snapshot that was current at this moment; None where a table had none. No moment means now.

    Raises:
        MissingInputError: if the table had one, which has expired since.
    """
    table = tables.find(name)
    if table is None:
        return None
    if moment is None:
        found = table.current_snapshot()
    else:
        found = snapshots.at(table, int(moment.timestamp() * 1000))
        if found is None and (kept := snapshots.in_order(table)) and not lineage_of(table).complete:
            oldest = datetime.fromtimestamp(kept[0].timestamp_ms / 1000, UTC)
            raise MissingInputError(
                f"{tables.namespace}.{name}: the snapshot of {moment:%Y-%m-%d %H:%M:%S} UTC has expired; the oldest that "
                f"is kept is of {oldest:%Y-%m-%d %H:%M:%S}. contrail history {name} --pipeline {tables.namespace} lists "
                "its snapshots."
            )
    return found.snapshot_id if found else None


def view(
    tables: Tables,
    connection: duckdb.DuckDBPyConnection,
    view: str,
    name: str,
    days: Iterable[date] | None = None,
    columns: Iterable[str] | None = None,
    snapshot_id: int | None = None,
    *,
    row: str | None = None,
) -> None:
    """Make a view of rows of a table in a DuckDB session, which reads them only when it is asked.

    Args:
        tables: The tables of one pipeline.
        connection: The session.
        view: The view's name.
        name: The table.
        days: The partitions whose rows it shows; None for all.
        columns: Those that it has; None for all.
        snapshot_id: As the table was at this snapshot.
        row: The name of a further column, with each row's number in the order of the table's files, from 0 on.

    Raises:
        MissingInputError: if the table does not exist, lacks a column, or no longer has the snapshot.
        DamagedError: if a file is missing or has other bytes.
    """
    found, wanted = _found(tables, name, days, columns, snapshot_id)
    create_view(connection, view, wanted, found, row=row)


def create_view(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    rows: pa.Schema,
    uris: list[str],
    *,
    row: str | None = None,
    filename: bool = False,
    select: str = "SELECT *",
) -> list[str]:
    """Make a view of these files, or of no rows. Return the paths that DuckDB opens.

    Args:
        connection: Gets the view.
        name: Name of the view.
        rows: Schema of the table.
        uris: Its files.
        row: The name of a further column: the number of each row in the order of the files.
        filename: Each row also has the path of its file.
        select: What the view shows of the rows; by default all as they are.
    """
    source, found = rows_sql(connection, rows, uris, row=row, filename=filename)
    connection.execute(f"CREATE VIEW {quoted(name)} AS {select} FROM ({source})")
    return found


def rows_sql(
    connection: duckdb.DuckDBPyConnection,
    rows: pa.Schema,
    uris: list[str],
    *,
    row: str | None = None,
    filename: bool = False,
) -> tuple[str, list[str]]:
    """Make a query for the rows of these files, and list the paths that it opens. The arguments are ``create_view``'s."""
    found = [path.removeprefix("file://") for path in uris]
    protocol = found[0].partition("://")[0] if found and "://" in found[0] else ""
    if protocol and not connection.filesystem_is_registered(protocol):
        connection.register_filesystem(UPath(found[0]).fs)
    empty = connection.from_arrow(rows.empty_table())
    if found:
        # By their ids, DuckDB finds columns that files have under another name, or lack, and shows no others.
        named = ", ".join(
            f"{field_id(field)}: {{name: {literal(field.name)}, type: {literal(str(kind))}, default_value: NULL}}"
            for field, kind in zip(rows, empty.types, strict=True)
        )
        listed, also = ", ".join(map(literal, found)), ", filename=true" if filename else ""
        number = f", {_row_number(connection, found)} AS {quoted(row)}" if row else ""
        source = (
            f"SELECT *{number} FROM read_parquet([{listed}], hive_partitioning=false{also}, schema=MAP {{{named}}})"
        )
    else:
        columns = (
            f"CAST(NULL AS {kind}) AS {quoted(column)}" for column, kind in zip(empty.columns, empty.types, strict=True)
        )
        number = f", CAST(NULL AS BIGINT) AS {quoted(row)}" if row else ""
        source = f"SELECT {', '.join(columns)}{number} WHERE false"
    return source, found


def _row_number(connection: duckdb.DuckDBPyConnection, paths: list[str]) -> str:
    """SQL of a row's number. DuckDB numbers the files, and the rows of each; the footers count the rows before a file."""
    footers = f"SELECT file_name, num_rows FROM parquet_file_metadata([{', '.join(map(literal, paths))}])"
    counted = dict(connection.execute(footers).fetchall())
    before = accumulate((counted[path] for path in paths[:-1]), initial=0)
    return f"CAST([{', '.join(map(str, before))}] AS BIGINT[])[CAST(file_index AS BIGINT) + 1] + file_row_number"
