"""Read one landed Parquet file as text columns, a batch at a time, or say exactly what is wrong with it.

A few kilobytes of Parquet can hold terabytes of text. So texts are read by their dictionaries, and measured before they are
written out. Types and values belong to the contract.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contrail.adapters.landed_columns import Columns, quoted_names
from contrail.adapters.text_forms import as_text, has_text, is_text
from contrail.adapters.unpacking import KB, Counted
from contrail.config.table_spec import FileLimits
from contrail.errors import StructureError
from contrail.faults import is_fault

MARK = b"PAR1"
# In the footer: numbers of rows that the file had, and has no more.
LEFT_OUT = b"contrail.left_out"
_ROWS, _BYTES = 1 << 15, 1 << 24

Positions = npt.NDArray[np.int64]


def read_parquet(stream: IO[bytes], size: int, columns: Columns, limits: FileLimits) -> Iterator[pa.RecordBatch]:
    """Read the rows of a Parquet file.

    Args:
        stream: The file.
        size: Its bytes.
        columns: Those of the table. The file may have them in any order.
        limits: How large its text and a value may be.

    Yields:
        The columns as text (see ``text_forms``), and ``_line``: the number of the row in the file, from 1. The footer may
        say that numbers are left out.

    Raises:
        StructureError: no Parquet, damaged, wrong columns, columns without a text form, not UTF-8, too large.
    """
    _check_marks(stream, size)
    with _readable():
        schema = pq.read_schema(stream)
        numbers = Numbers(schema)
    header = columns.current(schema.names)
    columns.check(header, "its schema")
    if wrong := next((field for field in schema if not has_text(field.type)), None):
        raise StructureError(
            "wrong_type",
            f"column {quoted_names([wrong.name])} holds {str(wrong.type)[:80]}, which has no text; land it as text",
        )
    texts = [field.name for field in schema if is_text(field.type)]
    counted, place = Counted(size, limits), 1
    stream.seek(0)
    with _readable():
        file = pq.ParquetFile(
            stream, read_dictionary=texts, buffer_size=1 << 20, pre_buffer=False, page_checksum_verification=True
        )
        _check_counts(file.metadata)
        batches = file.iter_batches(_ROWS)
    while True:
        with _readable():
            if (batch := next(batches, None)) is None:
                break
        batch = batch.rename_columns(header)
        for part, own in measured(batch, numbers.of(place, batch.num_rows), limits.max_row_kb * KB):
            whole = columns.whole(_texts(part, own), pa.array(own))
            counted.add(whole.nbytes)
            yield whole
        place += batch.num_rows
    _check_equal(file.metadata.num_rows, place - 1, "its pages")


class Numbers:
    """The numbers of a file's rows: from 1 on, but for those that the footer says are left out (``gone``)."""

    def __init__(self, schema: pa.Schema) -> None:
        try:
            self.gone = np.unique(np.array(json.loads((schema.metadata or {}).get(LEFT_OUT, b"[]")), np.int64))
        except (TypeError, OverflowError) as error:
            raise ValueError(f"{LEFT_OUT.decode()} in its footer is no list of numbers") from error
        # How many rows stand before each of those that are gone.
        self._before = self.gone - np.arange(1, len(self.gone) + 1)

    def of(self, place: int, count: int) -> Positions:
        """The numbers of some rows, of which the first stands at this place, from 1."""
        places = np.arange(place, place + count, dtype=np.int64)
        return places + np.searchsorted(self._before, places, side="left")


def _check_counts(footer: pq.FileMetaData) -> None:
    """Compare the numbers of rows that the footer says. Of different ones Arrow takes the least, and drops the other rows.

    Columns have numbers, too. To look at an encrypted one would end the process.
    """
    groups = (footer.row_group(number).num_rows for number in range(footer.num_row_groups))
    _check_equal(footer.num_rows, sum(groups), "its row groups")


def _check_equal(told: int, found: int, where: str) -> None:
    if told != found:
        detail = f"the footer says {told:,} rows, and {where} {found:,}; write the file again"
        raise StructureError("damaged_parquet", detail)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        if is_fault(error):
            raise
        raise StructureError("damaged_parquet", f"the file cannot be read as Parquet: {str(error)[:200]}") from error


def _check_marks(stream: IO[bytes], size: int) -> None:
    if not size:
        raise StructureError("empty_file", "the file has 0 bytes")
    begin = stream.read(20)
    if not begin.startswith(MARK):
        raise StructureError(
            "not_parquet", f"the file is not Parquet; it begins with {begin.decode('utf-8', 'replace')!r}"
        )
    stream.seek(max(size - len(MARK), 0))
    if stream.read() != MARK:
        raise StructureError("truncated_parquet", f"the file of {size:,} bytes ends without its footer; land it whole")
    stream.seek(0)


def measured(batch: pa.RecordBatch, numbers: Positions, longest: int) -> Iterator[tuple[pa.RecordBatch, Positions]]:
    """Cut a batch so that no part has much text; refuse a value that is too long. Each part has its rows' numbers."""
    sizes = np.zeros(batch.num_rows, np.int64)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            lengths = pc.fill_null(pc.binary_length(column.dictionary).take(column.indices), 0).to_numpy()
            if len(lengths) and lengths.max() > longest:
                row = int(numbers[np.argmax(lengths > longest)])
                raise StructureError(
                    "row_too_long", f"row {row}, column {name}: a value has more than {longest:,} bytes"
                )
            sizes += lengths
    ends = np.cumsum(sizes)
    begin = 0
    while begin < batch.num_rows:
        before = int(ends[begin - 1]) if begin else 0
        end = max(int(np.searchsorted(ends, before + _BYTES, side="right")), begin + 1)
        yield batch.slice(begin, end - begin), numbers[begin:end]
        begin = end


def _texts(batch: pa.RecordBatch, numbers: Positions) -> pa.RecordBatch:
    names: Sequence[str] = batch.schema.names
    return pa.RecordBatch.from_arrays(
        [_checked(as_text(column), name, numbers) for name, column in zip(names, batch.columns, strict=True)],
        names=names,
    )


def _checked(texts: pa.StringArray, name: str, numbers: Positions) -> pa.StringArray:
    """The same texts, if all are UTF-8. Parquet's own readers do not look."""
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid as error:
        row = int(numbers[next(n for n in range(len(texts)) if not _is_valid(texts.slice(n, 1)))])
        raise StructureError("not_utf8", f"row {row}, column {name}: the text is not UTF-8") from error
    return texts


def _is_valid(texts: pa.StringArray) -> bool:
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
