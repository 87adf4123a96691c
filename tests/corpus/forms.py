"""The formats in which a day lands: rows to the text or the Parquet of a file, and text to a packed file."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard


@dataclass(frozen=True)
class Form:
    """A format and how it is packed: ``csv``, ``jsonl`` or ``parquet``; nothing, ``gz`` or ``zst``."""

    format: str
    packing: str = ""

    @property
    def suffix(self) -> str:
        return f".{self}"

    def __str__(self) -> str:
        return f"{self.format}.{self.packing}".rstrip(".")


FORMS: Mapping[str, Form] = {
    str(form): form
    for form in (
        *(Form(text, packing) for text in ("csv", "jsonl") for packing in ("", "gz", "zst")),
        Form("parquet"),
    )
}
_PACK: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gz": lambda text: gzip.compress(text, mtime=0),
    "zst": lambda text: zstandard.compress(text),
}
_TYPES: Mapping[type, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    datetime: pa.timestamp("us", "UTC"),
    date: pa.date32(),
}


def pack(text: bytes, packing: str) -> bytes:
    """A packed text."""
    return _PACK[packing](text)


def render(rows: Sequence[Mapping[str, Any]], names: Sequence[str], form: Form) -> bytes:
    """The text or the Parquet of rows, before it is packed. A row may lack columns, and hold texts for other values."""
    if form.format == "parquet":
        return parquet_of(arrow_of(rows, names))
    if form.format == "jsonl":
        return "".join(f"{json.dumps({n: _json(row[n]) for n in names if n in row})}\n" for row in rows).encode()
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_text(row.get(name)) for name in names] for row in rows)
    return out.getvalue().encode()


def arrow_of(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> pa.Table:
    """The rows as a table. A column whose values are of several types is text."""
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def parquet_of(table: pa.Table, **options: Any) -> bytes:
    """The bytes of a Parquet file."""
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def _column(values: Sequence[Any]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) == 1 and (kind := kinds.pop()) in _TYPES:
        try:
            return pa.array(values, _TYPES[kind])
        except (OverflowError, pa.ArrowException):
            pass
    return pa.array([_text(value) or None for value in values], pa.string())


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value)


def _json(value: Any) -> Any:
    return _text(value) if isinstance(value, date) else value
