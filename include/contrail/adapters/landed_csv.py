"""Read one landed file, ``*.csv.gz``, as text columns, or say exactly what is wrong with it.

A fast path reads good files. A slow path reads the others (line breaks inside quotes), and finds the line of an error.
Types and values belong to the contract.
"""

import csv
import difflib
import gzip
import io
import zlib
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.csv as pacsv

from contrail.errors import DataError

LINE = "_line"
_BOM = b"\xef\xbb\xbf"


class StructureError(DataError):
    """A file that cannot be read as its table. The error has the rule that the file broke, and the place."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail


def read_landed(content: bytes, columns: Sequence[str]) -> pa.Table:
    """Read the rows of a gzipped CSV file.

    Args:
        content: The bytes of the file.
        columns: Every column that the file must have, in any order.

    Returns:
        ``columns`` as text, in the given order, and ``_line``. An empty field is null. ``_line`` is the line on which
        the row begins; the header is line 1.

    Raises:
        StructureError: empty or truncated file, not gzip, not UTF-8, wrong columns, a row of another length, no rows.
    """
    text = _decompress(content).removeprefix(_BOM)
    _check_encoding(text)
    header = _header(text)
    _check_columns(header, columns)
    rows = _read_fast(text, columns)
    if rows is None:
        rows = _read_exact(text, header, columns)
    if not rows.num_rows:
        raise StructureError("no_rows", "the file has a header and no rows")
    return rows


def _decompress(content: bytes) -> bytes:
    if not content:
        raise StructureError("empty_file", "the file has 0 bytes")
    if not content.startswith(b"\x1f\x8b"):
        begin = content[:20].decode("utf-8", "replace")
        raise StructureError("not_gzip", f"the file is not gzip; it begins with {begin!r}")
    try:
        text = gzip.decompress(content)
    except EOFError as error:
        lines = _readable_part(content).count(b"\n")
        raise StructureError(
            "truncated_gzip",
            f"the gzip stream ends too early, after {len(content):,} bytes; lines 1 to {lines} can be read",
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise StructureError("damaged_gzip", f"the gzip stream is damaged: {error}") from error
    if not text.strip():
        raise StructureError("empty_file", "the file is empty: not even a header")
    return text


def _readable_part(content: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(content)
    except zlib.error:
        return b""


def _check_encoding(text: bytes) -> None:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        begin = text.rfind(b"\n", 0, error.start) + 1
        line = text.count(b"\n", 0, begin) + 1
        shown = text[begin:].split(b"\n", 1)[0][:60].decode("latin-1")
        raise StructureError(
            "not_utf8",
            f"line {line}, column {_column_at(text, begin, error.start)}: byte 0x{text[error.start]:02x} is not UTF-8;"
            f" as Latin-1 the line is {shown!r}",
        ) from error


def _column_at(text: bytes, begin: int, position: int) -> str:
    """Name the column of the byte at ``position``, in the line that starts at ``begin``."""
    names = _header(text.split(b"\n", 1)[0].decode("utf-8", "replace").encode())
    before = next(csv.reader([text[begin:position].decode("utf-8")]), [""])
    return names[min(max(len(before), 1), len(names)) - 1]


def _header(text: bytes) -> list[str]:
    first = text.split(b"\n", 1)[0].decode("utf-8").rstrip("\r")
    return next(csv.reader([first]), [])


def _check_columns(header: Sequence[str], columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in header]
    extra = [name for name in header if name not in columns]
    if missing:
        raise StructureError("missing_column", f"line 1: {'; '.join(_missing(name, extra) for name in missing)}")
    if extra:
        raise StructureError(
            "extra_column",
            f"line 1: column {_quoted(extra)} is not in the spec; add it to pipeline.yaml (required: false) or drop it",
        )
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        raise StructureError("repeated_column", f"line 1: column {_quoted(repeated)} occurs more than once")


def _missing(name: str, extra: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, extra, n=1, cutoff=0.5)
    return f"column '{name}' is missing" + (f"; was it renamed to '{near[0]}'?" if near else "")


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _read_fast(text: bytes, columns: Sequence[str]) -> pa.Table | None:
    """Read the rows. None: the file does not have one row per line."""
    try:
        rows = pacsv.read_csv(
            pa.BufferReader(text),
            read_options=pacsv.ReadOptions(use_threads=False, block_size=len(text)),
            parse_options=pacsv.ParseOptions(ignore_empty_lines=False),
            convert_options=pacsv.ConvertOptions(
                column_types={name: pa.string() for name in columns},
                include_columns=list(columns),
                strings_can_be_null=True,
                null_values=[""],
            ),
        )
    except pa.ArrowInvalid:
        return None
    lines = text.count(b"\n") + (not text.endswith(b"\n"))
    if rows.num_rows != lines - 1:
        return None
    return rows.append_column(LINE, pa.array(range(2, lines + 1), pa.int64()))


def _read_exact(text: bytes, header: Sequence[str], columns: Sequence[str]) -> pa.Table:
    reader = csv.reader(io.StringIO(text.decode("utf-8"), newline=""), strict=True)
    found: list[list[str | None]] = []
    lines: list[int] = []
    begin = 1
    try:
        for record in reader:
            if record and len(record) != len(header):
                raise StructureError("ragged_row", _ragged(begin, record, header))
            if record:
                found.append([field or None for field in record])
                lines.append(begin)
            begin = reader.line_num + 1
    except csv.Error as error:
        raise StructureError("broken_quotes", f"line {begin}: {error}; a quote is not closed or not doubled") from error
    by_name = dict(zip(header, zip(*found[1:], strict=True), strict=True)) if found[1:] else {}
    arrays = [pa.array(by_name.get(name, ()), pa.string()) for name in columns]
    return pa.table([*arrays, pa.array(lines[1:], pa.int64())], names=[*columns, LINE])


def _ragged(line: int, record: Sequence[str], header: Sequence[str]) -> str:
    shown = ",".join(record)
    hint = f"; nothing for column '{header[len(record)]}'" if len(record) < len(header) else "; an unquoted comma?"
    return f"line {line} has {len(record)} fields, the header {len(header)}{hint} ({shown[:80]!r})"
