"""Read the text of one landed JSON Lines file as text columns, a block at a time, or say exactly what is wrong with it.

Each line that is not blank is one object. A number keeps its value, a text its characters, and null stays apart from an
empty text. DuckDB takes the values. Types belong to the contract.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing

import duckdb
import numpy as np
import pyarrow as pa

from contrail.adapters.csv_dialect import Dialect, blocks
from contrail.adapters.landed_columns import Columns, shown_name
from contrail.config.names import literal, quoted
from contrail.errors import StructureError

_BOM = b"\xef\xbb\xbf"
_NO_QUOTES = Dialect(quote=b"")
_SHOWN = 80
_LF, _BRACE = b"\n{"


def read_jsonl(parts: Iterable[bytes], columns: Columns, longest: int) -> Iterator[pa.RecordBatch]:
    """Read the rows of a JSON Lines text.

    Args:
        parts: The text, in parts.
        columns: Those of the table. A row may have them in any order. It may lack any; they are null then.
        longest: Bytes that a line may have.

    Yields:
        The columns as text, and ``_line``.

    Raises:
        StructureError: not UTF-8, a line that is no object, wrong columns, a nested value, a column that no row has.
    """
    line, seen, rows = 1, set[str](), 0
    with closing(duckdb.connect()) as connection:
        connection.execute("SET threads = 1")  # several files are read at once
        connection.execute("SET enable_progress_bar = false")
        for text in blocks(parts, longest, _NO_QUOTES):
            lines = _lines(text.removeprefix(_BOM) if line == 1 else text, line, longest)
            line += text.count(b"\n")
            if not lines.num_rows:
                continue
            connection.register("lines", lines)
            seen |= _check(connection, columns)
            rows += lines.num_rows
            yield _values(connection, columns)
    if rows:
        columns.check([name for name in columns.names if name in seen], "in all lines")


def _lines(text: bytes, first: int, longest: int) -> pa.Table:
    """The lines of a text that are not blank, with their numbers."""
    data = np.frombuffer(text + b"\n", np.uint8)
    ends = np.flatnonzero(data[:-1] == _LF)
    starts = np.concatenate([[0], ends + 1])
    ends = np.append(ends, len(text))
    if len(wrong := np.flatnonzero(ends - starts > longest)):
        raise StructureError("row_too_long", f"line {first + wrong[0]} has more than {longest:,} bytes")
    offsets = pa.py_buffer(np.append(starts, len(text) + 1).astype(np.int32))
    # The offsets put each line's end into it, which JSON ignores.
    whole = pa.StringArray.from_buffers(len(starts), offsets, pa.py_buffer(text + b"\n"))
    _check_encoding(text, first)
    numbers = pa.array(np.arange(first, first + len(starts)), pa.int64())
    full = data[starts] == _BRACE
    for n in np.flatnonzero(~full):
        full[n] = bool(text[starts[n] : ends[n]].strip())
    return pa.table({"line": numbers, "text": whole}).filter(pa.array(full))


def _check_encoding(text: bytes, first: int) -> None:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        line = first + text.count(b"\n", 0, error.start)
        detail = f"line {line}: byte 0x{text[error.start]:02x} is not UTF-8"
        raise StructureError("not_utf8", detail) from error


def _check(connection: duckdb.DuckDBPyConnection, columns: Columns) -> set[str]:
    """Refuse the first line that is wrong. Return today's names of the keys that there are."""
    wrong = connection.sql("""
        SELECT line, text FROM lines WHERE NOT json_valid(text) OR json_type(text) <> 'OBJECT' ORDER BY line LIMIT 1
    """).fetchall()
    for line, text in wrong:
        raise StructureError("not_json", f"line {line} is no JSON object of its own: {text.strip()[:_SHOWN]!r}")
    kinds = connection.sql("""
        SELECT keys, min(line) FROM (SELECT line, json_keys(text) AS keys FROM lines) GROUP BY keys ORDER BY min(line)
    """).fetchall()
    seen: set[str] = set()
    for keys, line in kinds:
        header = columns.current(keys)
        seen |= set(header)
        absent = [name for name in columns.names if name not in header]
        Columns(columns.names, absent).check(header, f"line {line}")
    return seen


def _values(connection: duckdb.DuckDBPyConnection, columns: Columns) -> pa.RecordBatch:
    names = {name: [name, *(old for old, new in columns.renamed.items() if new == name)] for name in columns.names}
    paths = [(name, literal("$." + _quoted_key(key))) for name, keys in names.items() for key in keys]
    listed = ", ".join(path for _, path in paths)
    nested = connection.sql(f"""
        SELECT line, list_position(list_transform(json_type(text, [{listed}]), lambda kind: kind IN ('ARRAY', 'OBJECT')), true)
            AS place
        FROM lines WHERE place IS NOT NULL ORDER BY line LIMIT 1
    """).fetchall()
    for line, place in nested:
        detail = f"line {line}, column {shown_name(paths[place - 1][0])}: a list or an object"
        raise StructureError("nested_value", f"{detail}; give each of its values a column, or land it as text")
    at = {name: [n for n, (own, _) in enumerate(paths, start=1) if own == name] for name in names}
    values = ", ".join(
        f"coalesce({', '.join(f'found[{n}]' for n in own)}, NULL) AS {quoted(name)}" for name, own in at.items()
    )
    query = (
        f"SELECT {values}, line AS _line FROM (SELECT line, json_extract_string(text, [{listed}]) AS found FROM lines)"
    )
    rows = connection.sql(f"{query} ORDER BY line").to_arrow_table().combine_chunks()
    batch = rows.cast(columns.schema).to_batches()[0]
    return columns.whole(batch, batch.column(batch.num_columns - 1))


def _quoted_key(key: str) -> str:
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
