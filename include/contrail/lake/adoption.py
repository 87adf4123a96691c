"""Files that an engine's executors wrote as a table's own: the publisher takes them as they are.

Such a file has the columns of the table with their ids, in their types, rows of one partition, sorted by the key. Several
files of a partition have ranges of the key that do not overlap. Other files are no error: their rows are sorted and written
anew (``writing``).

Spark writes such files of columns with the metadata ``parquet.field.id`` (``Lake.field_ids``), with
``spark.sql.parquet.outputTimestampType=TIMESTAMP_MICROS``. ``partitionBy`` takes its column out of the files, so it gets a
copy of the partition column. Rows are sorted within partitions by that copy first, then by the key: Spark would otherwise
sort them again, by the copy alone.
"""

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.table import Table
from upath import UPath

from contrail.files import is_local, local_path
from contrail.lake import data_files
from contrail.lake.datasets import Dataset
from contrail.lake.ordering import Ascending
from contrail.lake.parquet import batches_of, parquet_files
from contrail.lake.staged import files_in
from contrail.lake.writing import Written

_THREADS = 4


@dataclass(frozen=True)
class Final:
    """A staged file that may become a data file as it is."""

    path: UPath
    partition: tuple[Any, ...]
    footer: pq.FileMetaData


def final_files(table: Table, dataset: Dataset, folder: UPath) -> list[Final] | None:
    """Return the files of a folder with rows, in order, if every one is as the table's own; else None.

    Raises:
        AuditError: when the folder has no Parquet files.
    """
    if folder.protocol not in _stores(table):
        return None
    with ThreadPoolExecutor(_THREADS) as pool:
        footers = list(pool.map(_footer, paths := files_in(folder)))
    found = []
    for path, footer in zip(paths, footers, strict=True):
        partition = _partition(table, dataset, footer)
        if partition is None:
            return None
        if footer.num_rows:
            found.append(Final(path, partition, footer))
    return _in_order(dataset, found)


def _stores(table: Table) -> tuple[str, ...]:
    return ("", "file") if is_local(table.location()) else (UPath(table.location()).protocol,)


def _footer(path: UPath) -> pq.FileMetaData:
    with path.open("rb") as stream:
        return pq.read_metadata(stream)


def _partition(table: Table, dataset: Dataset, footer: pq.FileMetaData) -> tuple[Any, ...] | None:
    """The values of a file's partition columns, none without rows; None if the file is not as the table's own."""
    wanted = {field.name: (field.type, field.metadata) for field in data_files.schema_of(table)}
    own = footer.schema.to_arrow_schema()
    there = {field.name: (_small(field.type), field.metadata) for field in own}
    if there.keys() != wanted.keys() or len(own) != len(there):
        return None
    if any(there[name][0] != kind or _id(there[name][1]) != _id(known) for name, (kind, known) in wanted.items()):
        return None
    if not footer.num_rows:
        return ()
    values = [_only_value(footer, own.get_field_index(name)) for name in dataset.partition_by]
    return tuple(values) if None not in values and _counts_nulls(footer) else None


def _small(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_large_string(kind) else kind


def _id(metadata: dict[bytes, bytes] | None) -> bytes | None:
    return (metadata or {}).get(b"PARQUET:field_id")


def _chunks(footer: pq.FileMetaData, place: int) -> Iterator[Any]:
    return (footer.row_group(group).column(place).statistics for group in range(footer.num_row_groups))


def _counts_nulls(footer: pq.FileMetaData) -> bool:
    """Whether the footer says all that the audit and the manifests ask."""
    return all(
        one is not None and one.has_null_count for place in range(footer.num_columns) for one in _chunks(footer, place)
    )


def _only_value(footer: pq.FileMetaData, place: int) -> Any:
    """The one value of a column; None if it has several, or nulls."""
    found = set()
    for one in _chunks(footer, place):
        found |= {one.min, one.max} if one.has_min_max and not one.null_count else {None}
    return found.pop() if len(found) == 1 else None


def _in_order(dataset: Dataset, files: Sequence[Final]) -> list[Final] | None:
    """Sort files by their first row. None if the rows of all of them, one file after the other, are not in order."""
    by = list(dataset.order)
    try:
        found = sorted(files, key=lambda one: _first(one, by))
    except TypeError:
        return None  # a null in the key
    seen = Ascending(by)
    for one in found:
        for batch in batches_of(parquet_files([str(one.path)]), by):
            seen.see(batch.cast(pa.schema([(name, _small(batch.schema.field(name).type)) for name in by])))
        if not seen.holds:
            return None
    return found


def _first(one: Final, by: Sequence[str]) -> tuple[Any, ...]:
    rows = parquet_files([str(one.path)]).head(1, columns=list(by), batch_size=1)
    return tuple(rows.to_pylist()[0][name] for name in by)


def adopt(table: Table, files: Sequence[Final]) -> list[Written]:
    """Move files into a table's folder, under names with their digests. If one fails, those moved are removed."""
    run = uuid4()
    moved: list[str] = []

    def move(numbered: tuple[int, Final]) -> Written:
        number, one = numbered
        with one.path.open("rb") as stream:
            size, digest = data_files.measured(stream)
        key = data_files.partition_key(table, one.partition)
        place = data_files.location(table, key, f"{run}-{number:05d}-{digest}.parquet")
        moved.append(place)
        if is_local(place):
            local_path(place).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(one.path.path, local_path(place))
        else:
            one.path.fs.mv(one.path.path, place)
        return Written(data_files.entry(table, place, size, key, one.footer), one.partition, one.footer)

    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(move, enumerate(files)))
    except BaseException:
        data_files.discard(table, moved)
        raise
