"""A landed file without some of its rows, in any format. All other rows keep their values, lines and numbers.

A row that goes leaves blank lines, which readers of text skip. ``parquet_erasure`` has the rows of Parquet, and
``broken_erasure`` the lines of files that are refused. Which rows go does not belong here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contrail.adapters.broken_erasure import erase_lines
from contrail.adapters.csv_dialect import Dialect, Records, blocks, find_records
from contrail.adapters.landed_columns import LINE, Columns
from contrail.adapters.landed_parquet import MARK
from contrail.adapters.landed_rows import dialect_of, rows_of, text_of
from contrail.adapters.packing import encoded, packing
from contrail.adapters.parquet_erasure import Matches, Quotes, erase_parquet
from contrail.adapters.unpacking import KB
from contrail.config.table_spec import TableSpec
from contrail.errors import StructureError
from contrail.files import digest

_BOM = b"\xef\xbb\xbf"
_NO_QUOTES = Dialect(quote=b"")


@dataclass(frozen=True)
class Erased:
    """A file's new content, at its beginning, and the rows that went. ``rows`` has the table's columns, as text.

    ``digest`` is the SHA-256 of the new content; None: no row goes, and ``content`` is the file itself.
    """

    content: IO[bytes]
    rows: pa.Table
    count: int
    digest: str | None = None


@contextmanager
def without(
    stream: IO[bytes], source: TableSpec, spill: Path, matches: Matches, quotes: Quotes | None = None
) -> Iterator[Erased]:
    """Take rows out of a landed file.

    A Parquet file that nobody can read loses all of its content: nobody can say whose rows it has.

    Args:
        stream: The file.
        source: The table that it landed for.
        spill: A folder for the new content. It goes with the block.
        matches: Says which rows go.
        quotes: Says whether a line quotes the person. In a file that cannot be read as its table's, it goes too.
    """
    with TemporaryFile(dir=spill) as out:
        rows, count = _erase(stream, source, matches, quotes, out)
        if not count:
            stream.seek(0)
            yield Erased(stream, rows, 0)
            return
        new = digest(out)
        out.seek(0)
        yield Erased(out, rows, count, new)


def _erase(
    stream: IO[bytes], source: TableSpec, matches: Matches, quotes: Quotes | None, out: IO[bytes]
) -> tuple[pa.Table, int]:
    is_parquet = stream.seek(0) == 0 and stream.read(len(MARK)) == MARK
    try:
        rows, gone = _found(stream, source, matches)
    except StructureError:
        erase = erase_parquet if is_parquet else erase_lines
        return erase(stream, source, matches, quotes, out)
    if not len(gone):
        return rows, 0
    if is_parquet:
        return erase_parquet(stream, source, matches, None, out)
    landed = source.landed
    encoding = landed.encoding if source.format == "csv" else "utf-8"
    with packing(out, source.file_names.compression) as packed, encoded(packed.write, encoding) as write:
        for part in _blanked(stream, source, gone):
            write(part)
    return rows, len(gone)


def _found(stream: IO[bytes], source: TableSpec, matches: Matches) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """The rows that go, and the lines on which they begin."""
    found = [Columns.of(source).schema.empty_table()]
    for batch in rows_of(stream, stream.seek(0, 2), source):
        rows = pa.Table.from_batches([batch])
        if (mask := matches(rows.drop_columns([LINE]))) is not None:
            found.append(rows.filter(mask))
    whole = pa.concat_tables(found)
    return whole.drop_columns([LINE]), whole[LINE].to_numpy()


def _blanked(stream: IO[bytes], source: TableSpec, gone: npt.NDArray[np.int64]) -> Iterator[bytes]:
    """Yield the text, with as many line ends in the place of each record that goes as it has."""
    longest, dialect = source.file_limits.max_row_kb * KB, dialect_of(source) if source.format == "csv" else _NO_QUOTES
    line = 1
    for text in blocks(text_of(stream, stream.seek(0, 2), source), longest, dialect):
        skipped = len(_BOM) if line == 1 and text.startswith(_BOM) else 0
        starts, lines = _records(text[skipped:], longest, dialect, line, source)
        ends = np.append(starts[1:], len(text) - skipped)
        low = 0
        for n in np.flatnonzero(np.isin(lines, gone)):
            start, end = int(starts[n]) + skipped, int(ends[n]) + skipped
            yield text[low:start]
            yield b"\n" * text.count(b"\n", start, end)
            low = end
        yield text[low:]
        line += text.count(b"\n")


def _records(text: bytes, longest: int, dialect: Dialect, line: int, source: TableSpec) -> tuple[Any, Any]:
    """Where the records of a text begin, and on which lines."""
    if source.format == "jsonl":
        starts = np.append(0, np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")) + 1)
        return starts, np.arange(line, line + len(starts))
    records = find_records(text, longest, dialect, line)
    assert isinstance(records, Records)  # else reading would have refused it
    return records.starts, records.lines
