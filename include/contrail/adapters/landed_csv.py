"""Read one landed file, ``*.csv.gz``, as text columns, or say exactly what is wrong with it.

``csv_dialect`` decides what the text says, for every file alike. Arrow then only takes the fields. Types and values belong
to the contract.
"""

import codecs
import difflib
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.csv as pacsv

from contrail.adapters.csv_dialect import Fault, Records, fields_before, find_records
from contrail.adapters.unpacking import KB, unpack
from contrail.config.table_spec import FileLimits
from contrail.errors import StructureError

LINE = "_line"
_BOM = b"\xef\xbb\xbf"
_DECODED = 1 << 22
_FIELD = re.compile(r'(?:\A|,)(?:"((?:[^"]|"")*)"|([^,]*))')
# A header may have a million names. A message shows a few, each in part.
_NAMES_SHOWN, _NAME_SHOWN = 10, 60


def read_landed(
    content: bytes,
    columns: Sequence[str],
    optional: Collection[str] = (),
    limits: FileLimits | None = None,
    renamed: Mapping[str, str] | None = None,
) -> pa.Table:
    """Read the rows of a gzipped CSV file.

    Args:
        content: The bytes of the file.
        columns: Every column of the table. The file may have them in any order.
        optional: Those of ``columns`` that the file may lack. They are null then.
        limits: How large the text and a row may be; None for the defaults of a table.
        renamed: Columns by their earlier names, which the file may have in their place.

    Returns:
        ``columns`` as text, in the given order, and ``_line``. An empty field is null, in quotes or not. ``_line`` is the
        line on which the row begins; the first line of the file is 1.

    Raises:
        StructureError: empty, truncated or too large file, not gzip, not UTF-8, text that breaks the dialect, wrong
            columns, a row of another length, no rows.
    """
    limits = limits or FileLimits()
    text = unpack(content, limits).removeprefix(_BOM)
    if not text.strip():
        raise StructureError("empty_file", "the file is empty: not even a header")
    _check_encoding(text)
    records = find_records(text, limits.max_row_kb * KB)
    if isinstance(records, Fault):
        raise _refusal(text, records)
    header = [(renamed or {}).get(name, name) for name in _header(text, records)]
    _check_columns(header, int(records.lines[0]), columns, optional)
    if len(records.starts) == 1:
        raise StructureError("no_rows", "the file has a header and no rows")
    return _read(text, records, header, columns)


def _read(text: bytes, records: Records, header: Sequence[str], columns: Sequence[str]) -> pa.Table:
    present = [name for name in columns if name in header]
    body = pa.py_buffer(text).slice(int(records.starts[1]))
    broken_lines = b'"' in text
    try:
        rows = _fields(body, header, present, pacsv.ParseOptions(newlines_in_values=broken_lines))
    except pa.ArrowInvalid:
        raise _ragged(body, records, header, broken_lines) from None
    if rows.num_rows != len(records.lines) - 1:
        raise StructureError("unreadable", f"of {len(records.lines) - 1} rows, {rows.num_rows} could be read")
    for at, name in enumerate(columns):
        if name not in present:
            rows = rows.add_column(at, name, pa.nulls(rows.num_rows, pa.string()))
    return rows.append_column(LINE, pa.array(records.lines[1:], pa.int64()))


def _fields(body: pa.Buffer, header: Sequence[str], wanted: Sequence[str], parse: pacsv.ParseOptions) -> pa.Table:
    return pacsv.read_csv(
        pa.BufferReader(body),
        read_options=pacsv.ReadOptions(use_threads=False, block_size=body.size, column_names=list(header)),
        parse_options=parse,
        convert_options=pacsv.ConvertOptions(
            column_types={name: pa.string() for name in wanted},
            include_columns=wanted,
            strings_can_be_null=True,
            null_values=[""],
        ),
    )


def _ragged(body: pa.Buffer, records: Records, header: Sequence[str], broken_lines: bool) -> StructureError:
    """Find the row that is too short or too long. Only then does Arrow ask about each such row, which takes time."""
    found: list[tuple[int, int, str]] = []

    def refuse(row: pacsv.InvalidRow) -> str:
        found.append((row.number, row.actual_columns, row.text))
        return "error"

    with suppress(pa.ArrowInvalid):
        _fields(body, header, [], pacsv.ParseOptions(newlines_in_values=broken_lines, invalid_row_handler=refuse))
    if not found:
        return StructureError("unreadable", "Arrow cannot read the file")
    ((number, given, text), wanted) = found[0], len(header)
    hint = f"; nothing for column {_quoted([header[given]])}" if given < wanted else "; an unquoted comma?"
    detail = f"line {records.lines[number]} has {given} fields, the header {wanted}{hint} ({text[:80]!r})"
    return StructureError("ragged_row", detail)


def _check_encoding(text: bytes) -> None:
    if text.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    for low in range(0, len(text), _DECODED):
        waiting = len(decoder.getstate()[0])
        try:
            decoder.decode(text[low : low + _DECODED], final=low + _DECODED >= len(text))
        except UnicodeDecodeError as error:
            raise _not_utf8(text, low - waiting + error.start) from error


def _not_utf8(text: bytes, position: int) -> StructureError:
    begin = text.rfind(b"\n", 0, position) + 1
    line = text.count(b"\n", 0, begin) + 1
    shown = text[begin : begin + 60].split(b"\n", 1)[0].decode("latin-1")
    return StructureError(
        "not_utf8",
        f"line {line}, column {_column(text, fields_before(text, begin, position))}: byte 0x{text[position]:02x} is not "
        f"UTF-8; as Latin-1 the line is {shown!r}",
    )


def _refusal(text: bytes, fault: Fault) -> StructureError:
    return StructureError(fault.rule, f"line {fault.line}, column {_column(text, fault.field)}: {fault.words}")


def _column(text: bytes, position: int) -> str:
    """Name the column at a position of a text whose header may be at fault itself; or number it."""
    header = _names(re.split(rb"[\r\n]", text, maxsplit=1)[0])
    return header[position][:_NAME_SHOWN] if position < len(header) else str(position + 1)


def _header(text: bytes, records: Records) -> list[str]:
    begin, *after = (int(start) for start in records.starts[:2])
    return _names(text[begin : after[0] if after else None])


def _names(record: bytes) -> list[str]:
    found = _FIELD.findall(record.decode("utf-8", "replace").rstrip("\r\n"))
    return [quoted.replace('""', '"') or plain for quoted, plain in found]


# ---- columns ----


def _check_columns(header: Sequence[str], line: int, columns: Sequence[str], optional: Collection[str]) -> None:
    known, given = set(columns), set(header)
    extra = [name for name in header if name not in known]
    absent = {name: _near(name, extra) for name in columns if name not in given}
    if missing := {name: near for name, near in absent.items() if near or name not in optional}:
        raise StructureError("missing_column", f"line {line}: {'; '.join(map(_missing, missing, missing.values()))}")
    if extra:
        raise StructureError(
            "extra_column",
            f"line {line}: column {_quoted(extra)} is not in the spec; "
            "add it to pipeline.yaml (required: false) or drop it",
        )
    if repeated := sorted(name for name, count in Counter(header).items() if count > 1):
        raise StructureError("repeated_column", f"line {line}: column {_quoted(repeated)} occurs more than once")


def _near(name: str, extra: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, [each[:_NAME_SHOWN] for each in extra[:100]], 1, 0.5)), None)


def _missing(name: str, near: str | None) -> str:
    hint = f"; was it renamed to '{near}'? Then give the column that name, with renamed_from: {name}" if near else ""
    return f"column '{name}' is missing{hint}"


def _quoted(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name[:_NAME_SHOWN]}'" for name in names[:_NAMES_SHOWN])
    return shown + (f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else "")
