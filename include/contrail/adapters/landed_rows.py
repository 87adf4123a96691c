"""The rows of a landed file of any format, as the spec of its table says that it is written.

Each format has a module of its own: ``landed_csv``, ``landed_jsonl`` and ``landed_parquet``.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256

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
    columns, limits, landed = Columns.of(table), table.file_limits, table.landed
    with file.open() as stream:
        if table.format == "parquet":
            yield from read_parquet(stream, file.size, columns, limits)
            return
        encoding = landed.encoding if table.format == "csv" else "utf-8"
        parts = unpacked(stream, file.size, table.file_names.compression, limits, encoding)
        longest = limits.max_row_kb * KB
        if table.format == "jsonl":
            yield from read_jsonl(parts, columns, longest)
            return
        dialect = Dialect(landed.delimiter.encode(), landed.quote.encode())
        numbers = [name for name, column in table.columns.items() if column.type in ("int", "float")]
        yield from read_csv(parts, columns, CsvForm(dialect, longest, numbers if landed.decimal == "," else ()))


def digest_of(files: Sequence[LandedFile], table: TableSpec) -> str:
    """The digest of all that a partition is made from.

    Of one file in the usual form it is the file's own. Of several, or in another form, it changes with any of them.
    """
    form = _form(table)
    if len(files) == 1 and not form:
        return files[0].sha256
    return sha256("".join([*(f"{file.sha256}\n" for file in files), form]).encode()).hexdigest()


def _form(table: TableSpec) -> str:
    """How files are written, as far as it is unusual and their bytes do not tell."""
    usual = LandedSpec()
    chosen = {key: getattr(table.landed, key) for key in ("delimiter", "quote", "decimal", "encoding")}
    return "".join(f"{key}={value}\n" for key, value in chosen.items() if value != getattr(usual, key))
