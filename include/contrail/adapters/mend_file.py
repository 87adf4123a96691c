"""Read mended rows that a person gives in a file: CSV or Parquet, with the file and line of each row as it landed.

What a mend is of, and whether it is one, does not belong here.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from contrail.adapters.landed_columns import LINE, Columns
from contrail.adapters.landed_csv import CsvForm, read_csv
from contrail.adapters.landed_parquet import MARK, read_parquet
from contrail.adapters.unpacking import unpacked
from contrail.config.file_names import Compression
from contrail.config.problems import hint
from contrail.config.table_spec import TableSpec
from contrail.errors import DataError, SpecError, StructureError

FILE, PLACE = "_file", "_place"
IDENTITY = (FILE, LINE)
# What a download of the quarantine has beside the row. A column of the table of that name is the table's.
BESIDE = ("partition_date", "_rule", "_detail")


@dataclass(frozen=True)
class _Mended(Columns):
    """The columns that a person gave. Those that are absent stay absent, for they were not mended."""

    hidden: Collection[str] = ()

    def check(self, header: Sequence[str], where: str) -> None:
        check_columns(header, self.names, where, self.hidden)

    def whole(self, batch: pa.RecordBatch, lines: pa.Array) -> pa.RecordBatch:
        return batch.append_column(PLACE, lines)


def read_mends(path: Path, table: TableSpec, hidden: Collection[str] = ()) -> Iterator[pa.RecordBatch]:
    """Read the rows of a file, a batch at a time. ``hidden`` are columns that may not be mended.

    Yields:
        The columns of the file as text, and ``_place``: the line of the row, or its number in a Parquet file.

    Raises:
        SpecError: for a file that is not there, and for a column that the table does not have.
        DataError: whatever else is wrong with the file, and where.
    """
    columns = _Mended([*IDENTITY, *table.columns, *BESIDE], hidden=hidden)
    try:
        with path.open("rb") as stream:
            size, is_parquet = stream.seek(0, 2), stream.seek(0) == 0 and stream.read(len(MARK)) == MARK
            stream.seek(0)
            if is_parquet:
                yield from read_parquet(stream, size, columns, table.file_limits)
            else:
                packed: Compression = "gz" if path.suffix == ".gz" else None
                yield from read_csv(unpacked(stream, size, packed, table.file_limits), columns, CsvForm())
    except StructureError as error:
        raise DataError(f"{path.name}: {error}. Nothing was mended.") from error
    except OSError as error:
        raise SpecError(f"{path.name} cannot be read: {error.strerror}. Nothing was mended.") from error


def check_columns(given: Sequence[str], known: Sequence[str], where: str, hidden: Collection[str] = ()) -> None:
    """Compare the columns of mended rows with those that they may have, and with those that may not be mended.

    Raises:
        SpecError: for a column that is unknown, hidden or twice, and without file or line.
    """
    if missing := [name for name in IDENTITY if name not in given]:
        raise SpecError(
            f"{where}: the mended rows have no {' and no '.join(missing)}. Each row needs {FILE} and {LINE}, the landed file and "
            "line that quarantine has for it. Nothing was mended."
        )
    if twice := next((name for name in given if list(given).count(name) > 1), None):
        raise SpecError(f"{where}: the column '{twice}' is there twice. Nothing was mended.")
    if personal := [name for name in given if name in hidden]:
        raise SpecError(
            f"{where}: {', '.join(personal)} is personal, so what you see of it is no value. Leave it out, and it stays as it "
            "landed; or mend it with --personal. Nothing was mended."
        )
    if unknown := next((name for name in given if name not in known), None):
        raise SpecError(f"{where}: no column '{unknown}'; {hint(unknown, list(known), 'columns')}. Nothing was mended.")
