"""The same rows in every format and dialect are the same landed rows; what is wrong is named with its place."""

import csv
import errno
import gzip
import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from contrail.adapters import csv_dialect
from contrail.adapters.landed_files import LandedFile
from contrail.adapters.landed_rows import digest_of, read_rows, rows_of
from contrail.config.table_spec import TableSpec
from contrail.errors import StructureError

COLUMNS = {
    "name": {"type": "string"},
    "size": {"type": "float", "required": False, "renamed_from": ["grösse"]},
    "n": {"type": "int", "required": False},
}
LIMITS = {"max_row_kb": 4}
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": lambda text: text,
    ".gz": lambda text: gzip.compress(text, mtime=0),
    ".zst": lambda text: zstandard.compress(text),
}
Row = tuple[str | None, float | None, int | None]


def table(files: str, **landed: Any) -> TableSpec:
    return TableSpec.model_validate(
        {
            "key": ["name"],
            "known_at": "n",
            "columns": COLUMNS,
            "file_limits": LIMITS,
            "landed": {"files": files, **landed},
        }
    )


def read(content: bytes, spec: TableSpec) -> list[dict[str, Any]]:
    file = LandedFile(UPath("x"), "x", UPath("."), spec.file_limits, len(content), "", {"sha256": "0"}, content)
    return [row for batch in read_rows(file, spec) for row in batch.to_pylist()]


def refusal(content: bytes, spec: TableSpec) -> StructureError:
    with pytest.raises(StructureError) as caught:
        read(content, spec)
    return caught.value


def as_csv(rows: list[Row], delimiter: str, quote: str, decimal: str, encoding: str) -> bytes:
    text = io.StringIO(newline="")
    quoting = (
        {"quoting": csv.QUOTE_ALL, "quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE, "quotechar": None}
    )
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n", **quoting)  # type: ignore[arg-type]
    writer.writerow(COLUMNS)
    for name, size, n in rows:
        number = "" if size is None else repr(size).replace(".", decimal)
        writer.writerow([name, number, "" if n is None else n])
    return text.getvalue().encode(encoding)


def as_jsonl(rows: list[Row]) -> bytes:
    return "".join(f"{json.dumps(dict(zip(COLUMNS, row, strict=True)))}\n" for row in rows).encode()


def as_parquet(rows: list[Row], **options: Any) -> bytes:
    types = (pa.string(), pa.float64(), pa.int64())
    columns = zip(*rows, strict=True)
    file = io.BytesIO()
    made = {name: pa.array(own, kind) for name, own, kind in zip(COLUMNS, columns, types, strict=True)}
    pq.write_table(pa.table(made), file, **options)
    return file.getvalue()


# Encodable as Latin-1, and without what a file without quotes cannot hold.
NAMES = st.text(st.sampled_from("ab é.'x"), min_size=1, max_size=6)
ROWS = st.lists(
    st.tuples(NAMES, st.none() | st.floats(allow_nan=False, allow_infinity=False), st.none() | st.integers(-9, 10**15)),
    min_size=1,
    max_size=8,
)
DIALECTS = st.tuples(
    st.sampled_from(",;|\t"),
    st.sampled_from(['"', "'", ""]),
    st.sampled_from(".,"),
    st.sampled_from(["utf-8", "latin-1", "utf-16"]),
).filter(lambda dialect: dialect[0] != dialect[2])


def values(rows: list[dict[str, Any]]) -> list[Row]:
    return [
        (row["name"], None if row["size"] is None else float(row["size"]), None if row["n"] is None else int(row["n"]))
        for row in rows
    ]


@settings(deadline=None)  # it opens DuckDB
@given(ROWS, DIALECTS, st.sampled_from(sorted(PACKED)), st.sampled_from([8, 1 << 22]))
def test_every_format_gives_the_same_rows(rows: list[Row], dialect: tuple[str, ...], packed: str, block: int) -> None:
    delimiter, quote, decimal, encoding = dialect
    form = {"delimiter": delimiter, "quote": quote, "decimal": decimal, "encoding": encoding}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_dialect, "_BLOCK", block)
        of_csv = read(PACKED[packed](as_csv(rows, *dialect)), table(f"{{date}}.csv{packed}", **form))
        of_jsonl = read(PACKED[packed](as_jsonl(rows)), table(f"{{date}}.jsonl{packed}"))
    of_parquet = read(as_parquet(rows, row_group_size=3), table("{date}.parquet"))
    assert values(of_csv) == values(of_jsonl) == values(of_parquet) == rows
    assert [row["_line"] for row in of_csv] == list(range(2, len(rows) + 2))
    assert [row["_line"] for row in of_jsonl] == [row["_line"] for row in of_parquet] == list(range(1, len(rows) + 1))


def test_small_blocks_change_no_line_and_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = table("{date}.csv", delimiter=";")
    good = 'name;size;n\n"a\nb";1;2\n\n"c";3;4\n'
    monkeypatch.setattr(csv_dialect, "_BLOCK", 8)
    monkeypatch.setattr(type(spec.file_limits), "max_row_kb", 1, raising=False)
    assert [(row["name"], row["_line"]) for row in read(good.encode(), spec)] == [("a\nb", 2), ("c", 5)]
    assert "line 6 has 2 fields" in refusal(f"{good}x;1\n".encode(), spec).detail
    assert "line 6, column size: text follows" in refusal(f'{good}x;"1"2;3\n'.encode(), spec).detail


def test_null_and_an_empty_text_stay_apart_where_the_format_tells_them() -> None:
    rows: list[Row] = [("", None, 1), (None, 2.5, None)]
    for content, spec in ((as_jsonl(rows), table("{date}.jsonl")), (as_parquet(rows), table("{date}.parquet"))):
        assert [row["name"] for row in read(content, spec)] == ["", None]


def test_a_point_in_a_file_with_decimal_commas_is_no_decimal_mark() -> None:
    spec = table("{date}.csv", delimiter=";", decimal=",")
    rows = read(b"name;size;n\n1.5;1.500;1\n1,5;1,5;2\n", spec)
    # Texts stay as they are. The contract sets 1,500 aside: it is no number.
    assert [(row["name"], row["size"]) for row in rows] == [("1.5", "1,500"), ("1,5", "1.5")]


@pytest.mark.parametrize(
    ("line", "rule", "words"),
    [
        ("nope", "not_json", "line 2 is no JSON object of its own: 'nope'"),
        ("[1]", "not_json", "line 2"),
        ('{"name": "x"} {"name": "y"}', "not_json", "line 2"),
        ('{"name": "\\ud800"}', "not_json", "line 2"),
        ('{"name": "x", "colour": 1}', "extra_column", "line 2: column 'colour' is not in the spec"),
        ('{"name": "x", "siez": 1}', "missing_column", "was it renamed to 'siez'?"),
        ('{"name": "x", "SIZE": 1}', "missing_column", "was it renamed to 'SIZE'?"),
        ('{"name": "x", "name": "y"}', "repeated_column", "line 2: column 'name' occurs more than once"),
        ('{"name": "x", "size": 1, "grösse": 2}', "repeated_column", "'size'"),
        ('{"name": ["x"]}', "nested_value", "line 2, column name: a list or an object"),
        ('{"name": "x", "n": {"a": 1}}', "nested_value", "line 2, column n"),
        ('{"name": "' + "x" * 5000 + '"}', "row_too_long", "line 2 has more than 4"),
    ],
)
def test_a_wrong_line_of_json_is_named(line: str, rule: str, words: str) -> None:
    found = refusal(f'{{"name": "good"}}\n{line}\n{{"name": "x"}}\n'.encode(), table("{date}.jsonl"))
    assert found.rule == rule and words in found.detail


def test_json_keeps_numbers_and_takes_earlier_names() -> None:
    text = '\ufeff{"name": 12345678901234567890123, "grösse": 1e999}\r\n  \n{"n": NaN, "name": "null"}\n'
    first, second = read(text.encode(), table("{date}.jsonl"))
    assert first == {"name": "12345678901234567890123", "size": "1e999", "n": None, "_line": 1}
    assert second == {"name": "null", "size": None, "n": "NaN", "_line": 3}


def test_a_required_column_that_no_line_has_is_missing() -> None:
    assert refusal(b'{"n": 1}\n{"n": 2}\n', table("{date}.jsonl")).detail == "in all lines: column 'name' is missing"
    assert refusal(b'{"name": "\xe9"}\n', table("{date}.jsonl")).rule == "not_utf8"


def parquet_of(columns: dict[str, pa.Array]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


GOOD = as_parquet([("a", 1.0, 2), ("b", 2.0, 3)])
NOT_TEXT = pa.Array.from_buffers(
    pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff")]
)


@pytest.mark.parametrize(
    ("content", "rule", "words"),
    [
        (b"", "empty_file", "0 bytes"),
        (b"name,size\n", "not_parquet", "begins with 'name,size"),
        (GOOD[:-9], "truncated_parquet", "ends without its footer"),
        (GOOD[:4] + b"x" * (len(GOOD) - 8) + GOOD[-4:], "damaged_parquet", "cannot be read"),
        (parquet_of({"size": pa.array([1.0])}), "missing_column", "its schema: column 'name' is missing"),
        (parquet_of({"name": pa.array(["a"]), "x": pa.array([1])}), "extra_column", "column 'x'"),
        (parquet_of({"name": pa.array([["a"]])}), "wrong_type", "column 'name' holds list<"),
        (parquet_of({"name": pa.array([b"a"])}), "wrong_type", "column 'name' holds binary"),
        (parquet_of({"name": NOT_TEXT}), "not_utf8", "row 2, column name"),
        (parquet_of({"name": pa.array(["a", "b" * 5000])}), "row_too_long", "row 2, column name"),
    ],
)
def test_a_wrong_parquet_file_is_named(content: bytes, rule: str, words: str) -> None:
    found = refusal(content, table("{date}.parquet"))
    assert found.rule == rule and words in found.detail


def footer_of(content: bytes) -> int:
    """Where the footer begins."""
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little")


def test_a_flipped_bit_of_a_page_with_a_checksum_is_found() -> None:
    """Without the checksum the file would give 97 for 65."""
    spec = table("{date}.parquet")
    good = as_parquet([("A" * 9, 1.0, 65)] * 5, write_page_checksum=True, use_dictionary=False, compression="none")
    at = good.rindex(b"A" * 9, 0, footer_of(good))  # the page's header has the text before, among its statistics
    assert len(read(good, spec)) == 5
    found = refusal(good[:at] + b"a" + good[at + 1 :], spec)
    assert found.rule == "damaged_parquet" and "CRC" in found.detail


@pytest.mark.parametrize("told", [b"\xc6\x01", b"\xca\x01"], ids=["99 rows", "101 rows"])
def test_a_footer_with_another_number_of_rows_is_refused(told: bytes) -> None:
    """Arrow gives what the smallest of the footer's numbers says, and drops the other rows without a word."""
    spec = table("{date}.parquet")
    good = as_parquet([("a", 1.0, 2)] * 100, use_dictionary=False)
    begin, rows = footer_of(good), b"\xc8\x01"  # 100, as Thrift writes it; first of the file, last of its row group
    assert len(read(good, spec)) == 100
    for at in (good.index(rows, begin), good.rindex(rows)):
        assert refusal(good[:at] + told + good[at + 2 :], spec).rule == "damaged_parquet"


def test_a_parquet_bomb_is_refused_without_its_text() -> None:
    """Three gigabytes of text in a few kilobytes, of which only small parts are written out."""
    names = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), pa.array(["x" * 3000]))
    before = pa.total_allocated_bytes()
    content = parquet_of({"name": names})
    spec, most = table("{date}.parquet"), 0
    file = LandedFile(UPath("x"), "x", UPath("."), spec.file_limits, len(content), "", {}, content)
    with pytest.raises(StructureError, match="200 times as much text"):
        for _ in read_rows(file, spec):
            most = max(most, pa.total_allocated_bytes() - before)
    assert most < 128 << 20


@pytest.mark.parametrize(
    ("content", "files", "rule"),
    [
        (PACKED[".zst"](b"name\nx\n")[:-3], "{date}.csv.zst", "truncated_zstd"),
        (PACKED[".zst"](b"name\nx\n") + b"junk", "{date}.csv.zst", "damaged_zstd"),
        (b"name\nx\n", "{date}.csv.zst", "not_zstd"),
        (b"name\nx\n", "{date}.csv.gz", "not_gzip"),
        (b"", "{date}.jsonl", "empty_file"),
        (b"name\n\x81\n", "{date}.csv", "wrong_encoding"),
        (b"name\nx'y\n", "{date}.csv", "broken_quotes"),
    ],
)
def test_what_is_not_as_the_spec_says_is_named(content: bytes, files: str, rule: str) -> None:
    form = {"encoding": "cp1252", "quote": "'"} if files.endswith(".csv") else {}
    assert refusal(content, table(files, **form)).rule == rule


def test_another_form_is_another_delivery() -> None:
    """The same bytes read in another encoding are other rows: ingest must not take them for known."""
    usual, other = table("{date}.csv"), table("{date}.csv", encoding="latin-1")
    assert digest_of(["abc"], usual) == "abc" != digest_of(["abc"], other)
    assert digest_of(["abc", "abc"], usual) != digest_of(["abc"], usual)


class _Failing(io.BytesIO):
    """A file that the disk does not give from one read on."""

    left = 0

    def read(self, size: int | None = -1) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(size)


@pytest.mark.parametrize(
    ("content", "file"),
    [(GOOD, "{date}.parquet"), (PACKED[".zst"](b"name,size,n\n" + b"a,1,2\n" * 9), "{date}.csv.zst")],
    ids=["parquet", "zst"],
)
def test_a_disk_that_fails_is_no_fault_of_the_file(content: bytes, file: str) -> None:
    failures = 0
    for reads in range(50):
        failing = _Failing(content)
        failing.left = reads
        try:
            list(rows_of(failing, len(content), table(file)))
        except OSError as error:
            assert error.errno == errno.EIO
            failures += 1
    assert 2 <= failures < 50
