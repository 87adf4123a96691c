"""Rows of a source as one landed Parquet file: the same rows give the same bytes, in whatever order they came.

The rows are text, as a landed CSV has them, but for nulls, which stay apart from empty texts.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from contrail.config.names import listed, literal

_GROUP_ROWS = 131_072


def write_sorted(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    names: Sequence[str],
    key: Sequence[str],
    rows: Iterable[pa.RecordBatch],
) -> Path:
    """Write rows to a file, ordered by the key, then by all other columns.

    Args:
        connection: Sorts, within the memory limit.
        folder: For the file, and for the rows as they came.
        names: The columns of the file. Those that the rows lack are left out.
        key: Columns by which the rows are ordered first.
        rows: The rows, as text.

    Returns:
        The path of the file.
    """
    came, found = folder / "came.parquet", folder / "sorted.parquet"
    schema = _staged(came, names, rows)
    first = [name for name in key if name in schema.names]
    order = listed([*first, *(name for name in schema.names if name not in first)])
    ordered = connection.sql(f"SELECT * FROM read_parquet({literal(str(came))}) ORDER BY {order}")
    form = {"compression": "zstd", "version": "2.6", "write_page_checksum": True}
    with pq.ParquetWriter(str(found), schema, **form) as writer:
        for table in _groups(ordered.to_arrow_reader(_GROUP_ROWS), schema):
            writer.write_table(table, row_group_size=_GROUP_ROWS)
    came.unlink()
    return found


def _staged(path: Path, names: Sequence[str], rows: Iterable[pa.RecordBatch]) -> pa.Schema:
    """Write rows as they come. Return the schema of the file."""
    batches = iter(rows)
    first = next(batches, None)
    given = first.schema.names if first is not None else list(names)
    schema = pa.schema([(name, pa.string()) for name in names if name in given])
    with pq.ParquetWriter(str(path), schema, compression="lz4") as writer:
        for batch in [first] if first is not None else []:
            writer.write_batch(batch.select(schema.names))
        for batch in batches:
            writer.write_batch(batch.select(schema.names))
    return schema


def _groups(rows: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Cut rows into groups of a fixed size, however they come."""
    waiting = schema.empty_table()
    for batch in rows:
        waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch]).cast(schema)])
        while waiting.num_rows >= _GROUP_ROWS:
            yield waiting.slice(0, _GROUP_ROWS)
            waiting = waiting.slice(_GROUP_ROWS)
    if waiting.num_rows:
        yield waiting


def row_count(path: Path) -> int:
    """The number of rows of a file."""
    return int(pq.read_metadata(path).num_rows)


def same_rows(one: Path, other: IO[bytes]) -> bool:
    """Whether two such files have the same rows, whichever version of a library wrote them."""
    first, second = pq.ParquetFile(one), pq.ParquetFile(other)
    if first.schema_arrow != second.schema_arrow or first.metadata.num_rows != second.metadata.num_rows:
        return False
    pairs = zip(first.iter_batches(_GROUP_ROWS), second.iter_batches(_GROUP_ROWS), strict=False)
    return first.num_row_groups == second.num_row_groups and all(a.equals(b) for a, b in pairs)
