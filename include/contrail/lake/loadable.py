"""Files of a table as a warehouse can load them: by the names of today, with no other columns.

The lake's own files are that as they are, unless they are from before a change of columns. Which rows a warehouse lacks
does not belong here.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from contrail.lake.parquet import parquet_files, plain, read_batches

_READERS = 16


def loadable(files: Sequence[str], schema: pa.Schema, columns: pa.Schema, copy: UPath) -> list[str]:
    """Return files that have exactly these columns. The rows of the others are copied into one file of their own.

    Args:
        files: URIs of the table's Parquet files.
        schema: The table's columns, with their earlier names (``Lake.schema``).
        columns: The columns that the warehouse takes. All of them are columns of the table.
        copy: Where the copy is written, as a stream.
    """
    with ThreadPoolExecutor(_READERS) as threads:
        fits = list(threads.map(lambda file: _has(file, columns), files))
    found = [file for file, fit in zip(files, fits, strict=True) if fit]
    others = [file for file, fit in zip(files, fits, strict=True) if not fit]
    if others:
        _write(read_batches(others, pa.schema([schema.field(name) for name in columns.names])), columns, copy)
        found.append(str(copy))
    return found


def _has(file: str, columns: pa.Schema) -> bool:
    there = {field.name: _small(field.type) for field in plain(parquet_files([file]).schema)}
    return there == {field.name: _small(field.type) for field in columns}


def _small(kind: pa.DataType) -> pa.DataType:
    """Two types of text are one in a file."""
    return pa.string() if pa.types.is_large_string(kind) else kind


def _write(batches: Iterable[pa.RecordBatch], columns: pa.Schema, copy: UPath) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    with copy.open("wb") as stream, pq.ParquetWriter(stream, columns) as writer:
        for batch in batches:
            writer.write_batch(batch.cast(columns))
