"""A landed file without some rows: all others keep values, lines and numbers, and a refused file stays refused."""

import csv
import errno
import gzip
import hashlib
import io
import json
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from contrail.adapters import parquet_erasure
from contrail.adapters.landed_columns import Columns
from contrail.adapters.landed_erasure import without
from contrail.adapters.landed_rows import rows_of
from contrail.config.table_spec import TableSpec
from contrail.errors import StructureError

CELLS = st.text('ab é,;"\n', max_size=6)
Rows = Sequence[tuple[str, str]]


def table(files: str = "reference.csv.gz", **landed: Any) -> TableSpec:
    return TableSpec.model_validate(
        {
            "kind": "reference",
            "key": ["id"],
            "columns": {"id": {"type": "string"}, "text": {"type": "string", "required": False}},
            "landed": {"files": files, **landed},
        }
    )


def mine(rows: pa.Table) -> pa.ChunkedArray:
    return pc.fill_null(pc.equal(rows["id"], "me"), False)


def read(content: bytes, spec: TableSpec) -> pa.Table:
    batches = rows_of(io.BytesIO(content), len(content), spec)
    return pa.Table.from_batches(list(batches), Columns.of(spec).schema)


def erase(
    content: bytes, spec: TableSpec, quotes: Callable[[bytes], bool] | None = None
) -> tuple[bytes, int, pa.Table]:
    with without(io.BytesIO(content), spec, Path(tempfile.gettempdir()), mine, quotes) as erased:
        after = erased.content.read()
        assert erased.digest == (hashlib.sha256(after).hexdigest() if erased.count else None)
        return after, erased.count, erased.rows


def as_csv(rows: Rows, delimiter: str = ",") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows([["id", "text"], *rows])
    return text.getvalue()


def as_jsonl(rows: Rows) -> str:
    return "".join(json.dumps({"text": text, "id": name}, ensure_ascii=False) + "\n" for name, text in rows)


def as_parquet(rows: Rows) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"text": [text for _, text in rows], "id": [name for name, _ in rows]}), out)
    return out.getvalue()


FORMS: dict[str, tuple[TableSpec, Callable[[Rows], bytes]]] = {
    "csv.gz": (table(), lambda rows: gzip.compress(as_csv(rows).encode())),
    "csv with a byte order mark": (table("r.csv"), lambda rows: b"\xef\xbb\xbf" + as_csv(rows).encode()),
    "csv.zst": (
        table("r.csv.zst", delimiter=";", encoding="latin-1"),
        lambda rows: zstandard.compress(as_csv(rows, ";").encode("latin-1")),
    ),
    "csv in UTF-16": (table("r.csv", encoding="utf-16"), lambda rows: as_csv(rows).encode("utf-16")),
    "jsonl.gz": (table("r.jsonl.gz"), lambda rows: gzip.compress(as_jsonl(rows).encode())),
    "jsonl": (table("r.jsonl"), lambda rows: as_jsonl(rows).encode()),
    "parquet": (table("r.parquet"), as_parquet),
}


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(st.sampled_from(["me", "you", "me too"]), CELLS), min_size=1))
def test_other_rows_keep_values_and_numbers(form: str, rows: Rows) -> None:
    spec, write = FORMS[form]
    content = write(rows)
    before = read(content, spec)
    after, count, gone = erase(content, spec)
    kept = before.filter(pc.invert(mine(before)))
    assert count == before.num_rows - kept.num_rows == gone.num_rows
    assert read(after, spec).equals(kept)
    if not count:
        assert after == content
    assert erase(after, spec)[:2] == (after, 0)


def test_rows_that_go_one_after_the_other_leave_the_numbers_of_the_others() -> None:
    spec, write = FORMS["parquet"]
    content = write([("a", "1"), ("me", "2"), ("b", "3"), ("me", "4"), ("c", "5")])
    after, _, _ = erase(content, spec)
    with without(
        io.BytesIO(after), spec, Path(tempfile.gettempdir()), lambda rows: pc.equal(rows["id"], "a")
    ) as erased:
        assert read(erased.content.read(), spec)["_line"].to_pylist() == [3, 5]


def test_the_text_of_other_rows_keeps_its_bytes() -> None:
    text = 'id;text\nyou;"a;\n b"\nme;"c\nd"\n\nyou;\xe9\n'.encode("latin-1")
    after, _, _ = erase(zstandard.compress(text), FORMS["csv.zst"][0])
    unpacked = zstandard.ZstdDecompressor().decompressobj().decompress(after)
    assert unpacked == 'id;text\nyou;"a;\n b"\n\n\n\nyou;\xe9\n'.encode("latin-1")


RAGGED = b"id,text\nyou,a\nme,b\nme,c,d\nother,quotes ME-NAME,x\nyou,e,f\n"
LINES = b'{"id": "you"}\n{"id": "me"}\n["x"]\n{"id": "me", "text":\n{"id": "other", "text": "ME-NAME"}\n'
JSONL, SEMICOLONS = FORMS["jsonl"][0], FORMS["csv.zst"][0]
WIDE = "id,text\nyou,a\nme,b\nme,c,d\nyou,e,f\n".encode("utf-16")


@pytest.mark.parametrize(
    ("content", "spec", "rule"),
    [
        (gzip.compress(RAGGED), table(), "ragged_row"),
        (gzip.compress(b"id,text\nyou,a\nme,b\nyou,ME-NAME\n")[:-5], table(), "truncated_gzip"),
        (RAGGED, table(), "not_gzip"),
        (gzip.compress(b"id,text\nyou,a\nme,\xff\nyou,\xfe ME-NAME\nyou,\xfd\n"), table(), "not_utf8"),
        (gzip.compress(b"me,ME-NAME\nyou,x\n"), table(), "missing_column"),
        (LINES, JSONL, "not_json"),
        (gzip.compress(LINES), FORMS["jsonl.gz"][0], "not_json"),
        (zstandard.compress(b"id;text\nyou;\xe9\nme;b;c\nyou;x;y\n"), SEMICOLONS, "ragged_row"),
        (zstandard.compress(b"id;text\nyou;\xe9\nme;b\n" * 20_000)[:-1], SEMICOLONS, "truncated_zstd"),
        (WIDE, FORMS["csv in UTF-16"][0], "ragged_row"),
        (WIDE[:-7] + b"\x00\xd8", FORMS["csv in UTF-16"][0], "wrong_encoding"),
    ],
    ids=[  # the bytes that gzip makes hold the time
        "ragged",
        "truncated gzip",
        "no gzip",
        "no UTF-8",
        "a column too few",
        "JSON Lines",
        "JSON Lines in gzip",
        "ragged in zstd",
        "truncated zstd",
        "ragged in UTF-16",
        "broken UTF-16",
    ],
)
def test_a_refused_file_stays_refused_without_the_person(content: bytes, spec: TableSpec, rule: str) -> None:
    with pytest.raises(StructureError) as before:
        read(content, spec)
    assert before.value.rule == rule
    after, count, _ = erase(content, spec, lambda line: b"ME-NAME" in line)
    assert count
    with pytest.raises(StructureError) as still:
        read(after, spec)
    assert still.value.rule == rule
    assert erase(after, spec, lambda line: b"ME-NAME" in line)[:2] == (after, 0)
    text = plain(after)
    assert b"you" in text
    assert b"me" not in text
    assert b"ME-NAME" not in text


def plain(content: bytes) -> bytes:
    if content.startswith(b"\x1f\x8b"):
        content = zlib.decompressobj(wbits=31).decompress(content)
    elif content.startswith(b"\x28\xb5"):
        content = zstandard.ZstdDecompressor().decompressobj().decompress(content)
    return content.replace(b"\0", b"")


def test_a_refused_parquet_file_loses_the_person() -> None:
    out = io.BytesIO()
    pq.write_table(pa.table({"id": ["me", "you", "you"], "tags": [["a"], ["ME-NAME"], ["b"]]}), out)
    after, count, _ = erase(out.getvalue(), FORMS["parquet"][0], lambda line: b"ME-NAME" in line)
    assert count == 2
    assert pq.read_table(io.BytesIO(after)).to_pylist() == [{"id": "you", "tags": ["b"]}]


def test_nothing_stays_of_parquet_that_nobody_can_read() -> None:
    content = as_parquet([("me", "a"), ("you", "b")])
    assert erase(content[:-9], FORMS["parquet"][0])[:2] == (b"", 1)


def test_nothing_is_lost_of_parquet_when_the_disk_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    pq.write_table(pa.table({"id": ["me", "you"], "text": ["a", "b"]}), out)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(parquet_erasure, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        parquet_erasure.erase_parquet(out, table("reference.parquet"), mine, None, io.BytesIO())
