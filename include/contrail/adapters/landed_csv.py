"""Read the text of one landed CSV file as text columns, a block at a time, or say exactly what is wrong with it.

``csv_dialect`` decides what the text says, for every file alike. Arrow then only takes the fields. Types and values belong
to the contract.
"""

import codecs
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from contrail.adapters.csv_dialect import RFC_4180, Dialect, Fault, Records, blocks, fields_before, find_records
from contrail.adapters.landed_columns import Columns, quoted_names, shown_name
from contrail.adapters.unpacking import KB
from contrail.errors import StructureError

_BOM = b"\xef\xbb\xbf"
_DECODED = 1 << 22


@dataclass(frozen=True)
class CsvForm:
    """How a table's CSV is written. ``decimals`` are the columns in which a comma is the decimal mark."""

    dialect: Dialect = RFC_4180
    longest: int = 1024 * KB
    decimals: Collection[str] = ()


@dataclass(frozen=True)
class _Block:
    """A text of whole records: the line on which it begins, and the names above it once there is a header."""

    text: bytes
    line: int
    form: CsvForm
    header: Sequence[str] = ()


def read_csv(parts: Iterable[bytes], columns: Columns, form: CsvForm) -> Iterator[pa.RecordBatch]:
    """Read the rows of a CSV text.

    Args:
        parts: The text, in parts.
        columns: Those of the table. The file may have them in any order.
        form: How it is written.

    Yields:
        The columns as text, and ``_line``. An empty field is null, in quotes or not. ``_line`` is the line on which the row
        begins; the first line of the file is 1.

    Raises:
        StructureError: no header, not UTF-8, text that breaks the dialect, wrong columns, a row of another length.
    """
    header: list[str] = []
    line = 1
    for text in blocks(parts, form.longest, form.dialect):
        block = _Block(text.removeprefix(_BOM) if line == 1 else text, line, form, header)
        _check_encoding(block)
        records = find_records(block.text, form.longest, form.dialect, line)
        if isinstance(records, Fault):
            raise _refusal(block, records)
        line += text.count(b"\n")
        if not len(records.starts):
            continue
        if not header:
            header, first = _header(block, records, columns)
            block, records = replace(block, header=header), first
        if len(records.starts):
            yield columns.whole(_read(block, records, columns), pa.array(records.lines, pa.int64()))
    if not header:
        raise StructureError("empty_file", "the file is empty: not even a header")


def _header(block: _Block, records: Records, columns: Columns) -> tuple[list[str], Records]:
    """The names of the first record, checked, and the records below it."""
    begin, *after = (int(start) for start in records.starts[:2])
    names = _names(block.text[begin : after[0] if after else None], block.form.dialect)
    header = columns.current(names)
    columns.check(header, f"line {int(records.lines[0])}")
    return header, Records(records.starts[1:], records.lines[1:])


def _read(block: _Block, records: Records, columns: Columns) -> pa.RecordBatch:
    body = pa.py_buffer(block.text).slice(int(records.starts[0]))
    present = [name for name in columns.names if name in block.header]
    try:
        rows = _fields(body, block, present)
    except pa.ArrowInvalid:
        raise _ragged(body, records, block) from None
    if rows.num_rows != len(records.lines):
        raise StructureError("unreadable", f"of {len(records.lines)} rows, {rows.num_rows} could be read")
    for name in block.form.decimals:
        if name in present:
            rows = rows.set_column(present.index(name), name, _with_point(rows[name]))
    return rows.combine_chunks().to_batches()[0]


def _with_point(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers with a point for a decimal comma. A point that is there already becomes a comma, which no number has."""
    if not pc.any(pc.match_substring(values, ".")).as_py():
        return pc.replace_substring(values, ",", ".")
    swapped = pc.replace_substring(pc.replace_substring(values, ".", "\0"), ",", ".")
    return pc.replace_substring(swapped, "\0", ",")


def _fields(
    body: pa.Buffer, block: _Block, wanted: Sequence[str], refuse: "pacsv.InvalidRowHandler | None" = None
) -> pa.Table:
    quote = block.form.dialect.quote.decode()
    return pacsv.read_csv(
        pa.BufferReader(body),
        read_options=pacsv.ReadOptions(use_threads=False, block_size=body.size, column_names=list(block.header)),
        parse_options=pacsv.ParseOptions(
            delimiter=block.form.dialect.delimiter.decode(),
            quote_char=quote or False,
            newlines_in_values=bool(quote) and quote.encode() in block.text,
            invalid_row_handler=refuse,
        ),
        convert_options=pacsv.ConvertOptions(
            column_types={name: pa.string() for name in wanted},
            include_columns=wanted,
            strings_can_be_null=True,
            null_values=[""],
        ),
    )


def _ragged(body: pa.Buffer, records: Records, block: _Block) -> StructureError:
    """Find the row that is too short or too long. Only then does Arrow ask about each such row, which takes time."""
    found: list[tuple[int, int, str]] = []

    def refuse(row: pacsv.InvalidRow) -> str:
        found.append((row.number, row.actual_columns, row.text))
        return "error"

    with suppress(pa.ArrowInvalid):
        _fields(body, block, [], refuse)
    if not found:
        return StructureError("unreadable", "Arrow cannot read the file")
    ((number, given, text), wanted) = found[0], len(block.header)
    mark = "comma" if block.form.dialect.delimiter == b"," else "delimiter"
    hint = f"; nothing for column {quoted_names([block.header[given]])}" if given < wanted else f"; an unquoted {mark}?"
    detail = f"line {records.lines[number - 1]} has {given} fields, the header {wanted}{hint} ({text[:80]!r})"
    return StructureError("ragged_row", detail)


def _check_encoding(block: _Block) -> None:
    text = block.text
    if text.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    for low in range(0, len(text), _DECODED):
        waiting = len(decoder.getstate()[0])
        try:
            decoder.decode(text[low : low + _DECODED], final=low + _DECODED >= len(text))
        except UnicodeDecodeError as error:
            raise _not_utf8(block, low - waiting + error.start) from error


def _not_utf8(block: _Block, position: int) -> StructureError:
    text = block.text
    begin = text.rfind(b"\n", 0, position) + 1
    line = block.line + text.count(b"\n", 0, begin)
    shown = text[begin : begin + 60].split(b"\n", 1)[0].decode("latin-1")
    before = fields_before(text, begin, position, block.form.dialect)
    return StructureError(
        "not_utf8",
        f"line {line}, column {_column(block, before)}: byte 0x{text[position]:02x} is not UTF-8; as Latin-1 the line is "
        f"{shown!r}",
    )


def _refusal(block: _Block, fault: Fault) -> StructureError:
    return StructureError(fault.rule, f"line {fault.line}, column {_column(block, fault.field)}: {fault.words}")


def _column(block: _Block, position: int) -> str:
    """Name the column at a position of a text whose header may be at fault itself; or number it."""
    header = block.header or _names(re.split(rb"[\r\n]", block.text, maxsplit=1)[0], block.form.dialect)
    return shown_name(header[position]) if position < len(header) else str(position + 1)


def _names(record: bytes, dialect: Dialect) -> list[str]:
    text = record.decode("utf-8", "replace").rstrip("\r\n")
    mark, quote = (re.escape(part.decode()) for part in (dialect.delimiter, dialect.quote))
    if not quote:
        return text.split(dialect.delimiter.decode())
    found = re.findall(rf"(?:\A|{mark})(?:{quote}((?:[^{quote}]|{quote}{quote})*){quote}|([^{mark}]*))", text)
    return [quoted.replace(quote * 2, quote) or plain for quoted, plain in found]
