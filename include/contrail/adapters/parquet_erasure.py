"""A landed Parquet file without some of its rows. Its footer says which numbers are gone, so all others keep theirs.

Which rows go does not belong here.
"""

import json
from collections.abc import Callable, Sequence
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contrail.adapters.landed_columns import Columns
from contrail.adapters.landed_parquet import LEFT_OUT, Numbers, measured
from contrail.adapters.text_forms import as_text, has_text, is_text
from contrail.config.table_spec import TableSpec
from contrail.faults import is_fault

# Says for rows, all text, which of them go; None: none.
Matches = Callable[[pa.Table], pa.ChunkedArray | None]
Quotes = Callable[[bytes], bool]
_ROWS = 1 << 15
_ANY_LENGTH = 1 << 62


def erase_parquet(
    stream: IO[bytes], source: TableSpec, matches: Matches, quotes: Quotes | None, out: IO[bytes]
) -> tuple[pa.Table, int]:
    """Write a Parquet file without the rows that go. Return them, as far as the table has their columns, and how many.

    Nothing is written of a file that cannot be read; it counts as one row.
    """
    found = [pa.schema([(name, pa.string()) for name in source.columns]).empty_table()]
    gone: list[npt.NDArray[np.int64]] = []
    stream.seek(0)
    try:
        schema = pq.read_schema(stream)
        numbers = Numbers(schema)
        texts = [field.name for field in schema if is_text(field.type)]
        stream.seek(0)
        with pq.ParquetFile(stream, read_dictionary=texts, pre_buffer=False) as file:
            # A first look, because the footer of the new file is written with what it leaves out.
            place = 1
            for batch in file.iter_batches(_ROWS):
                own = numbers.of(place, batch.num_rows)
                for part, at in measured(batch, own, _ANY_LENGTH):
                    mask, rows = _mask(part, source, matches, quotes)
                    if mask.any():
                        found.append(rows.filter(pa.array(mask)))
                        gone.append(at[mask])
                place += batch.num_rows
        if not gone:
            return found[0], 0
        _write(stream, schema, np.concatenate(gone), out)
    except (pa.ArrowException, OSError, ValueError) as error:
        if is_fault(error):
            raise
        out.seek(0)
        out.truncate()
        return found[0], 1
    return pa.concat_tables(found), sum(map(len, gone))


def _write(stream: IO[bytes], schema: pa.Schema, gone: npt.NDArray[np.int64], out: IO[bytes]) -> None:
    numbers = Numbers(schema)
    left_out = json.dumps(sorted({*numbers.gone.tolist(), *gone.tolist()})).encode()
    whole = schema.with_metadata({**(schema.metadata or {}), LEFT_OUT: left_out})
    stream.seek(0)
    with pq.ParquetFile(stream, pre_buffer=False) as file, pq.ParquetWriter(out, whole, compression="zstd") as writer:
        place = 1
        for batch in file.iter_batches(_ROWS):
            stays = ~np.isin(numbers.of(place, batch.num_rows), gone)
            writer.write_batch(batch.filter(pa.array(stays)))
            place += batch.num_rows


def _mask(
    batch: pa.RecordBatch, source: TableSpec, matches: Matches, quotes: Quotes | None
) -> tuple[npt.NDArray[np.bool_], pa.Table]:
    """Which rows go, and all rows as text."""
    header = Columns.of(source).current(batch.schema.names)
    texts = {
        name: _readable(as_text(column))
        for name, column in zip(header, batch.columns, strict=True)
        if has_text(column.type)
    }
    absent = pa.nulls(batch.num_rows, pa.string())
    rows = pa.table({name: texts.get(name, absent) for name in source.columns})
    found = matches(rows)
    go = np.zeros(batch.num_rows, np.bool_) if found is None else np.asarray(found.to_numpy(), np.bool_)
    if quotes is not None:
        go |= np.fromiter(map(quotes, _lines(batch, header, texts)), np.bool_, batch.num_rows)
    return go, rows


def _lines(batch: pa.RecordBatch, header: Sequence[str], texts: dict[str, pa.Array]) -> list[bytes]:
    """Each row as one text that names its columns."""
    shown = [texts[n].to_pylist() if n in texts else batch.column(i).to_pylist() for i, n in enumerate(header)]
    return [
        "; ".join(f"{n}={v}" for n, v in zip(header, row, strict=True)).encode() for row in zip(*shown, strict=True)
    ]


def _readable(texts: pa.StringArray) -> pa.StringArray:
    """The same texts in UTF-8, with a sign in the place of what is none."""
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        binary = pc.cast(texts, pa.binary()).to_pylist()
        return pa.array([None if each is None else each.decode("utf-8", "replace") for each in binary], pa.string())
    return texts
