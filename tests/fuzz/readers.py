"""The readers of landed files get good files that were cut, flipped, repeated and mixed."""

import io
from collections.abc import Mapping
from datetime import date
from functools import cache
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from contrail.adapters.landed_rows import rows_of
from contrail.config.table_spec import TableSpec
from contrail.errors import StructureError
from tests.corpus.flights import _SPEC, COLUMNS, TABLE, file_of
from tests.corpus.flights import rows_of as good_rows
from tests.corpus.forms import FORMS, Form, pack, render
from tests.fuzz.target import HOSTILE, Target, WrongError

_DAY = date(2013, 2, 20)
_ROWS = 12
_MOST_BYTES = 96 << 20  # of Arrow's, for a file of a few kilobytes: blocks of text, and their positions
_PIECES = [text.encode("utf-8", "surrogatepass") for text in HOSTILE] + [
    b",", b'"', b'""', b"\n", b"\r", b"{", b"}", b"[", b"]", b":", b"\\", b"\\u0000", b"\\ud800", b"PAR1", b"\x1f\x8b\x08",
    b"\x28\xb5\x2f\xfd", b"\xef\xbb\xbf", b"\xff\xfe", b"\x15\x00", b"1e5", b"9" * 500,
]  # fmt: skip

# One change: at which part of the content, how many bytes go, and what comes there.
_PIECE = st.sampled_from(_PIECES) | st.binary(max_size=8)
_CHANGE = st.tuples(
    st.floats(0, 1), st.sampled_from([0, 0, 1, 1, 2, 7, 64, 4_000]), _PIECE, st.sampled_from([1, 1, 1, 2, 50])
)
_CHANGES = st.lists(_CHANGE, min_size=1, max_size=6)


@cache
def _good(form: Form) -> tuple[bytes, bytes, TableSpec]:
    """The text and the file of some rows, and the spec of their table."""
    given = good_rows(_DAY)[:_ROWS]
    spec: Mapping[str, Any] = _SPEC["tables"][TABLE] | {"landed": {"files": f"{{date}}{form.suffix}"}}
    return render(given, [*COLUMNS], form), file_of(given, form), TableSpec.model_validate(spec)


def _changed(content: bytes, changes: list[tuple[float, int, bytes, int]]) -> bytes:
    for part, gone, piece, times in changes:
        at = int(part * len(content))
        content = content[:at] + piece * times + content[at + gone :]
    return content


def _check(example: tuple[str, bool, list[tuple[float, int, bytes, int]]]) -> None:
    name, of_text, changes = example
    form = FORMS[name]
    text, file, spec = _good(form)
    content = pack(_changed(text, changes), form.packing) if of_text else _changed(file, changes)
    read(content, spec)


def read(content: bytes, spec: TableSpec) -> None:
    """Read a file as ingest does: rows of the table's columns, or a refusal that names the rule."""
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    try:
        for batch in rows_of(io.BytesIO(content), len(content), spec):
            most = max(most, pa.total_allocated_bytes() - before)
            if batch.schema.names != [*COLUMNS, "_line"] or not batch.num_rows:
                raise WrongError(f"a batch of {batch.num_rows} rows with {batch.schema.names}")
            batch.validate(full=True)
            rows += batch.num_rows
    except StructureError as refused:
        if not refused.rule or not refused.detail or len(refused.detail) > 2_000:
            raise WrongError(f"a refusal of {len(refused.detail)} letters: {refused.rule}") from refused
    if rows > 100 * _ROWS + len(content):
        raise WrongError(f"{rows} rows of {len(content)} bytes")
    if most > _MOST_BYTES:
        raise WrongError(f"{most:,} bytes of memory for {len(content):,}")


def _target(name: str, forms: list[str], text: st.SearchStrategy[bool]) -> Target:
    return Target(name, st.tuples(st.sampled_from(forms), text, _CHANGES), _check, short=60)


TARGETS = [
    _target("read csv", ["csv", "csv.gz", "csv.zst"], st.sampled_from([True, True, True, False])),
    _target("read jsonl", ["jsonl", "jsonl.gz", "jsonl.zst"], st.sampled_from([True, True, True, False])),
    _target("read parquet", ["parquet"], st.just(False)),
]
