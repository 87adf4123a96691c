"""Spoil landed files for tests, as a feed would."""

import gzip
import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from contrail.adapters.landed_columns import Columns
from contrail.adapters.landed_csv import CsvForm, read_csv
from contrail.adapters.unpacking import KB, unpacked
from contrail.config.table_spec import FileLimits


def landed_path(toy: Any, table: str, day: str, revision: int = 1) -> Path:
    """The file of a day (or ``reference``) in the landing zone."""
    suffix = "" if revision == 1 else f".{revision}"
    return Path(str(toy.landing)) / table / f"{day}{suffix}.csv.gz"


def lines_of(toy: Any, table: str, day: str) -> list[str]:
    """The lines of a landed file, without their ends; the first is the header."""
    return gzip.decompress(landed_path(toy, table, day).read_bytes()).decode().splitlines()


def write_lines(toy: Any, table: str, day: str, lines: list[str], revision: int = 1) -> Path:
    """Deliver a file with these lines."""
    path = landed_path(toy, table, day, revision)
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))
    return path


def edit(toy: Any, table: str, day: str, line: int, change: Callable[[list[str]], list[str]]) -> None:
    """Change the fields of one line (1 is the header) of a landed file."""
    lines = lines_of(toy, table, day)
    lines[line - 1] = ",".join(change(lines[line - 1].split(",")))
    write_lines(toy, table, day, lines)


def set_field(toy: Any, table: str, day: str, line: int, column: str, value: str) -> None:
    """Set one field of a landed file."""
    position = lines_of(toy, table, day)[0].split(",").index(column)
    edit(toy, table, day, line, lambda fields: [*fields[:position], value, *fields[position + 1 :]])


def with_column(
    lines: Sequence[str], column: str, change: Callable[[str], str], rows: slice = slice(None)
) -> list[str]:
    """The lines of a landed file, with what ``change`` makes of one column's fields in these rows."""
    head, *own = lines
    place = head.split(",").index(column)
    cells = [row.split(",") for row in own]
    for row in cells[rows]:
        row[place] = change(row[place])
    return [head, *(",".join(row) for row in cells)]


def deliver_anew(toy: Any, day: str) -> Path:
    """The toy's deliveries of a day again, all an hour later: other late rates for the seven days after it."""
    later = with_column(lines_of(toy, "deliveries", day), "delay", lambda delay: str(float(delay) + 60))
    return write_lines(toy, "deliveries", day, later, revision=2)


def deliver_spoilt(toy: Any, day: str, refused: str, last: str) -> None:
    """The toy's landed days again: one with a bad row and a changed one, one with too many bad rows, and one as no gzip."""
    set_field(toy, "parcels", day, 4, "weight", "-3")
    set_field(toy, "parcels", day, 6, "weight", "7.5")
    for line in range(2, 12):
        set_field(toy, "deliveries", refused, line, "delay", "late")
    deliver_anew(toy, last)
    landed_path(toy, "parcels", last).write_bytes(b"not gzip")


def read_landed(
    content: bytes,
    columns: Sequence[str],
    optional: Collection[str] = (),
    limits: FileLimits | None = None,
    renamed: Mapping[str, str] | None = None,
) -> pa.Table:
    """All rows of a gzipped CSV file in the usual dialect."""
    own = Columns(list(columns), optional, renamed or {})
    return pa.Table.from_batches(list(landed_batches(content, own, limits or FileLimits())), own.schema)


def landed_batches(content: bytes, columns: Columns, limits: FileLimits) -> Iterator[pa.RecordBatch]:
    """The rows of a gzipped CSV file in the usual dialect, a batch at a time."""
    parts = unpacked(io.BytesIO(content), len(content), "gz", limits)
    return read_csv(parts, columns, CsvForm(longest=limits.max_row_kb * KB))
