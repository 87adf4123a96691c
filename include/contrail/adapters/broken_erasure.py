"""A landed file of text that is refused, without the lines of some rows. It stays refused for what is wrong with others.

It is read as far as it goes, a line at a time: a line of CSV by the names of the first line, a line of JSON by its own.
"""

import codecs
import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contrail.adapters.csv_dialect import Dialect, blocks
from contrail.adapters.landed_columns import Columns
from contrail.adapters.packing import packing
from contrail.adapters.parquet_erasure import Matches, Quotes
from contrail.adapters.unpacking import KB, Readable
from contrail.config.file_names import Compression
from contrail.config.table_spec import TableSpec
from contrail.files import digest

_NO_QUOTES = Dialect(quote=b"")
_FIELD = re.compile(r'"((?:[^"\\]|\\.)*)"\s*:\s*("(?:[^"\\]|\\.)*"|[^\s,{}\[\]]+)')
_OPEN_END = b"\xff"  # half a character, where each has two bytes or four
_ENDS: dict[Compression, int] = {"gz": 8, "zst": 1, None: 0}  # bytes without which a packed file is truncated


class _Decoded:
    """The same text in UTF-8, as far as it can be told."""

    def __init__(self, content: Readable, encoding: str) -> None:
        self._content, self._encoding, self.whole = content, encoding, True

    def __iter__(self) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder(self._encoding)()
        try:
            for part in self._content:
                yield decoder.decode(part).encode()
            decoder.decode(b"", final=True)
        except UnicodeError:
            self.whole = False


@dataclass
class _Lines:
    """How the lines of a file are read. ``header`` has the names of the first line."""

    source: TableSpec
    encoding: str
    header: list[str] | None = None

    def fields(self, line: str) -> Mapping[str, str | None]:
        """The fields of a line by today's names, as far as they can be told."""
        if line.lstrip().startswith("{"):
            return self._named(_json_fields(line))
        cells = _cells(line, self.source)
        if self.header is None:
            self.header = Columns.of(self.source).current(cells)
        return {name: cell or None for name, cell in zip(self.header, cells, strict=False)}

    def _named(self, fields: Mapping[str, Any]) -> dict[str, str | None]:
        renamed = self.source.earlier_names
        return {renamed.get(name, name): None if text is None else str(text) for name, text in fields.items()}


def erase_lines(
    stream: IO[bytes], source: TableSpec, matches: Matches, quotes: Quotes | None, out: IO[bytes]
) -> tuple[pa.Table, int]:
    """Write a text without the lines that go. Return them as rows, and how many they are."""
    encoding = source.landed.encoding if source.format == "csv" else "utf-8"
    content = Readable(stream)
    text = content if _is_like_ascii(encoding) else _Decoded(content, encoding)
    lines = _Lines(source, encoding if text is content else "utf-8")
    found, count = [pa.schema([(name, pa.string()) for name in source.columns]).empty_table()], 0
    with packing(out, content.compression) as packed:
        for block in blocks(iter(text), source.file_limits.max_row_kb * KB, _NO_QUOTES):
            own = block.splitlines(keepends=True)
            go, rows = _mask(own, lines, matches, quotes)
            if go.any():
                found.append(rows.filter(pa.array(go)))
                count += int(go.sum())
            kept = b"".join(b"\n" if gone else line for line, gone in zip(own, go, strict=True))
            packed.write(kept if text is content else kept.decode().encode(encoding))
        if text is not content and not text.whole:
            packed.write(_OPEN_END)
    if not content.whole:
        _cut_short(out, content.compression)
        # What nobody can unpack may be of anybody: it goes, once.
        count = count or int(digest(out) != digest(stream))
    return pa.concat_tables(found), count


def _is_like_ascii(encoding: str) -> bool:
    return "\n,".encode(encoding).endswith(b"\n,")


def _cut_short(out: IO[bytes], compression: Compression) -> None:
    """Leave the file truncated, as it was found."""
    out.seek(-_ENDS[compression], 2)
    out.truncate()


def _mask(
    own: Sequence[bytes], lines: _Lines, matches: Matches, quotes: Quotes | None
) -> tuple[npt.NDArray[np.bool_], pa.Table]:
    """Which lines go, and all lines as rows."""
    texts = [line.decode(lines.encoding, "replace").strip("\r\n\ufeff") for line in own]
    fields = [lines.fields(text) for text in texts]
    rows = pa.table({name: pa.array([row.get(name) for row in fields], pa.string()) for name in lines.source.columns})
    found = matches(rows)
    go = np.zeros(len(own), np.bool_) if found is None else np.asarray(found.to_numpy(), np.bool_)
    if quotes is not None:
        go |= np.fromiter((quotes(text.encode()) for text in texts), np.bool_, len(own))
    return go, rows


def _json_fields(line: str) -> Mapping[str, Any]:
    with suppress(json.JSONDecodeError, RecursionError):
        return dict(json.loads(line, parse_int=str, parse_float=str, parse_constant=str))
    # Of a line that is broken, what stands beside a name.
    found = {}
    for name, value in _FIELD.findall(line):
        with suppress(json.JSONDecodeError):
            found[json.loads(f'"{name}"')] = json.loads(value, parse_int=str, parse_float=str, parse_constant=str)
    return found


def _cells(line: str, source: TableSpec) -> list[str]:
    mark, quote = source.landed.delimiter, source.landed.quote
    try:
        quoting = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
        return next(csv.reader([line], delimiter=mark, **quoting), [])
    except csv.Error:
        return line.split(mark)
