"""Write sorted rows as the data files of a table: one partition a file, a large one in several.

At most a few row groups are in memory. No reader sees a file before the commit.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table, TableProperties

from contrail.files import is_local, local_path
from contrail.lake import data_files
from contrail.lake.data_files import Hashed

FILE_BYTES = 256 * 2**20
# A reader decodes a row group at a time, and a writer holds a few. DuckDB reads groups of about this many rows in parallel.
_GROUP_ROWS, _GROUP_BYTES = 131_072, 48 * 2**20
_THREADS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class Written:
    """A data file, the values of its partition columns, and what its footer says."""

    file: DataFile
    partition: tuple[Any, ...]
    footer: pq.FileMetaData


def write(table: Table, batches: Iterable[pa.RecordBatch], partition_by: Sequence[str], spill: Path) -> list[Written]:
    """Write the files of sorted rows. If one cannot be written, the others are removed again.

    Args:
        table: Gives the columns, their ids, and the place.
        batches: Rows, sorted by the partition columns first.
        partition_by: The partition columns.
        spill: A folder on this machine's disk, for files on their way to an object store.
    """
    files: list[_File] = []
    run = uuid4()
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            ending: deque[Future[Written]] = deque()
            found: list[Written] = []
            for values, rows in _groups(batches, partition_by):
                if not files or files[-1].is_full_for(values):
                    ending.extend(file.end(pool) for file in files[-1:])
                    files.append(_File(table, values, f"{run}-{len(files):05d}", spill))
                files[-1].add(pool, rows)
                while len(ending) > _THREADS:
                    found.append(ending.popleft().result())
            ending.extend(file.end(pool) for file in files[-1:])
            return [*found, *(one.result() for one in ending)]
    except BaseException:
        for file in files:
            file.abandon()
        raise


class _File:
    """One file on its way. Its row groups are written one after the other, beside those of other files."""

    def __init__(self, table: Table, values: tuple[Any, ...], name: str, spill: Path) -> None:
        self._table, self._values, self._name = table, values, name
        self._key = data_files.partition_key(table, values)
        beside = data_files.location(table, self._key, f"{name}.parquet")
        own = local_path(beside) if is_local(beside) else spill / f"{name}.parquet"
        self._out = Hashed(own)
        self._footers: list[pq.FileMetaData] = []
        self._schema = data_files.schema_of(table)
        self._writer = pq.ParquetWriter(
            self._out,
            self._schema,
            compression=table.properties.get(TableProperties.PARQUET_COMPRESSION, "zstd"),
            metadata_collector=self._footers,
        )
        self._task: Future[None] | None = None
        self._place: str | None = None

    def is_full_for(self, values: tuple[Any, ...]) -> bool:
        """Say whether rows of this partition go to another file."""
        if values != self._values:
            return True
        if self._task:
            self._task.result()
        return self._out.size >= FILE_BYTES

    def add(self, pool: ThreadPoolExecutor, rows: pa.Table) -> None:
        """Write a row group, after those before."""
        self._task = pool.submit(self._write, rows, self._task)

    def end(self, pool: ThreadPoolExecutor) -> Future[Written]:
        """Close the file and give it its name."""
        return pool.submit(self._finish, self._task)

    def _write(self, rows: pa.Table, after: Future[None] | None) -> None:
        if after:
            after.result()
        self._writer.write_table(rows.cast(self._schema), row_group_size=len(rows))

    def _finish(self, after: Future[None] | None) -> Written:
        if after:
            after.result()
        self._writer.close()
        self._place = self._out.finish(self._table, self._key, self._name)
        footer = self._footers[0]
        own = data_files.entry(self._table, self._place, self._out.size, self._key, footer)
        return Written(own, self._values, footer)

    def abandon(self) -> None:
        """Remove the file, finished or not."""
        with suppress(Exception):
            self._writer.close()
        with suppress(Exception):
            self._out.close()
        self._out.path.unlink(missing_ok=True)
        if self._place:
            data_files.discard(self._table, [self._place])


def _groups(batches: Iterable[pa.RecordBatch], columns: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], pa.Table]]:
    """Yield the rows of each row group with the values of its partition columns."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    of: tuple[Any, ...] = ()
    for batch in batches:
        for values, part in _by_partition(batch, columns):
            if held and (values != of or rows + len(part) > _GROUP_ROWS or size + part.nbytes > _GROUP_BYTES):
                yield of, pa.Table.from_batches(held)
                held, rows, size = [], 0, 0
            of = values
            held.append(part)
            rows, size = rows + len(part), size + part.nbytes
    if held:
        yield of, pa.Table.from_batches(held)


def _by_partition(batch: pa.RecordBatch, columns: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], pa.RecordBatch]]:
    """Split sorted rows where the partition changes."""
    if not columns or not len(batch):
        yield from [((), batch)] if len(batch) else []
        return
    starts = [0, *(place + 1 for place in _changes(batch.select(list(columns))).to_pylist()), len(batch)]
    for start, end in pairwise(starts):
        yield tuple(batch.column(name)[start].as_py() for name in columns), batch.slice(start, end - start)


def _changes(rows: pa.RecordBatch) -> pa.Array:
    """The places of rows that differ from the next one."""
    found = pa.array([False] * (len(rows) - 1), pa.bool_())
    for column in rows.columns:
        own, other = column.slice(0, len(rows) - 1), column.slice(1)
        nulls = pc.xor(pc.is_null(own), pc.is_null(other))
        found = pc.or_(found, pc.coalesce(pc.not_equal(own, other), nulls))
    return pc.indices_nonzero(found)
