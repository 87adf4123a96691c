"""The rows of a landed file of any format, as the spec of its table says that it is written.

Each format has a module of its own: ``landed_csv``, ``landed_jsonl`` and ``landed_parquet``.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import IO

import pyarrow as pa

from contrail.adapters.csv_dialect import Dialect
from contrail.adapters.landed_columns import Columns
from contrail.adapters.landed_csv import CsvForm, read_csv
from contrail.adapters.landed_files import LandedFile
from contrail.adapters.landed_jsonl import read_jsonl
from contrail.adapters.landed_parquet import read_parquet
from contrail.adapters.unpacking import KB, unpacked
from contrail.config.landed_spec import LandedSpec
from contrail.config.table_spec import TableSpec


def read_rows(file: LandedFile, table: TableSpec) -> Iterator[pa.RecordBatch]:
    """Read the rows of a landed file, a batch at a time, in their order.

    Yields:
        Every column of the table as text, null where it is absent, and ``_line``. Batches without rows do not come.

    Raises:
        StructureError: whatever is wrong with the file, and where.
    """
    with file.open() as stream:
        yield from rows_of(stream, file.size, table)


def rows_of(stream: IO[bytes], size: int, table: TableSpec) -> Iterator[pa.RecordBatch]:
    """Read the rows of an open file of ``size`` bytes, as ``read_rows`` does."""
    columns, limits = Columns.of(table), table.file_limits
    stream.seek(0)
    if table.format == "parquet":
        yield from read_parquet(stream, size, columns, limits)
        return
    parts, longest = text_of(stream, size, table), limits.max_row_kb * KB
    if table.format == "jsonl":
        yield from read_jsonl(parts, columns, longest)
        return
    numbers = [name for name, column in table.columns.items() if column.type in ("int", "float")]
    form = CsvForm(dialect_of(table), longest, numbers if table.landed.decimal == "," else ())
    yield from read_csv(parts, columns, form)


def text_of(stream: IO[bytes], size: int, table: TableSpec) -> Iterator[bytes]:
    """Read the text of an open file of CSV or JSON Lines, in UTF-8."""
    stream.seek(0)
    encoding = table.landed.encoding if table.format == "csv" else "utf-8"
    return unpacked(stream, size, table.file_names.compression, table.file_limits, encoding)


def dialect_of(table: TableSpec) -> Dialect:
    """The dialect of a table's CSV."""
    return Dialect(table.landed.delimiter.encode(), table.landed.quote.encode())


def digest_of(digests: Sequence[str], table: TableSpec) -> str:
    """The digest of all that a partition is made from, of the SHA-256 of its files.

    Of one file in the usual form it is the file's own. Of several, or in another form, it changes with any of them.
    """
    form = _form(table)
    if len(digests) == 1 and not form:
        return digests[0]
    return sha256("".join([*(f"{digest}\n" for digest in digests), form]).encode()).hexdigest()


def _form(table: TableSpec) -> str:
    """How files are written, as far as it is unusual and their bytes do not tell."""
    usual = LandedSpec()
    chosen = {key: getattr(table.landed, key) for key in ("delimiter", "quote", "decimal", "encoding")}
    return "".join(f"{key}={value}\n" for key, value in chosen.items() if value != getattr(usual, key))
