"""The dialect of landed files, held against a parser that goes from one character to the next."""

import csv
import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.landed import read_landed

from contrail.adapters import csv_dialect
from contrail.adapters.csv_dialect import Fault, find_records
from contrail.errors import StructureError

Rows = list[tuple[int, list[str]]]

FIELDS = st.text(st.sampled_from('x" ,\n\r\0é'), max_size=6)
GOOD_ROW = st.lists(FIELDS, min_size=2, max_size=2)
PIECES = st.sampled_from(['"', '""', ",", "\n", "\r\n", "\r", "\0", "é", "x", "1,2\n", '"x",', ',"y"\n', '3,"\n"\r\n'])
ANY_TEXT = st.lists(PIECES, max_size=12).map("".join)


def by_the_book(text: str) -> Rows | str:
    """Each record with its line, or the rule that the text breaks first."""
    rows: Rows = []
    at, line = 0, 1
    while at < len(text):
        if text[at] == "\n" or text.startswith("\r\n", at):
            at, line = at + 1 + (text[at] == "\r"), line + 1
            continue
        begin, fields = line, list[str]()
        while True:
            value, at = _field(text, at)
            if at < 0:
                return "broken_quotes"
            fields.append(value)
            line += value.count("\n")
            if text[at : at + 1] != ",":
                break
            at += 1
        if text.startswith("\r", at):
            at += 1
            if not text.startswith("\n", at):
                return "line_ends"
        rows.append((begin, fields))
        at, line = at + 1, line + 1
    return rows


def _field(text: str, at: int) -> tuple[str, int]:
    """The field that begins here, and where it ends; -1 when its quotes are broken."""
    quoted, value = text.startswith('"', at), ""
    at += quoted
    while quoted:
        if at >= len(text):
            return "", -1
        if text.startswith('""', at):
            value, at = value + '"', at + 2
        elif text[at] == '"':
            at += 1
            return (value, at) if text[at : at + 1] in ("", ",", "\r", "\n") else ("", -1)
        else:
            value, at = value + text[at], at + 1
    while at < len(text) and text[at] not in ",\r\n":
        if text[at] == '"':
            return "", -1
        value, at = value + text[at], at + 1
    return value, at


def read(text: str, columns: tuple[str, ...]) -> Rows | str:
    """What ``read_landed`` makes of a text below its header."""
    content = gzip.compress(f"{','.join(columns)}\n{text}".encode(), compresslevel=1)
    try:
        rows = read_landed(content, columns).to_pylist()
    except StructureError as error:
        return error.rule
    return [(row["_line"], [row[name] or "" for name in columns]) for row in rows]


def expected(text: str, columns: tuple[str, ...]) -> Rows | str:
    rows = by_the_book(text)
    if isinstance(rows, str):
        return rows
    if any(len(fields) != len(columns) for _, fields in rows):
        return "ragged_row"
    return [(line + 1, fields) for line, fields in rows]


def written(rows: list[list[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return text.getvalue()


@given(ANY_TEXT, st.sampled_from([("a", "b"), ("a",)]), st.sampled_from([1, 2, 5, 1 << 22]))
def test_any_text_is_read_or_refused_by_the_book(text: str, columns: tuple[str, ...], chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_dialect, "_CHUNK", chunk)
        assert read(text, columns) == expected(text, columns)


@given(st.lists(GOOD_ROW, min_size=1, max_size=5), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_a_csv_writer_writes_is_read_back(rows: list[list[str]], end: str, quoted: bool) -> None:
    text = io.StringIO(newline="")
    # Python's writer leaves a lone CR bare before 3.13.
    minimal = csv.QUOTE_ALL if quoted or any("\r" in field for row in rows for field in row) else csv.QUOTE_MINIMAL
    csv.writer(text, quoting=minimal, lineterminator=end).writerows(rows)
    found = read(text.getvalue(), ("a", "b"))
    assert [fields for _, fields in found if not isinstance(found, str)] == rows


@given(ANY_TEXT, GOOD_ROW)
def test_an_unrelated_row_never_decides(text: str, other: list[str]) -> None:
    alone = read(text, ("a", "b"))
    together = read(f"{written([other])}{text}", ("a", "b"))
    if isinstance(alone, str):
        assert together == alone
    else:
        later = written([other]).count("\n")
        assert together == [(2, other), *((line + later, fields) for line, fields in alone)]


@pytest.mark.parametrize("chunk", [1, 3, 1 << 22])
@pytest.mark.parametrize(
    ("text", "rule", "line", "field"),
    [
        (b'a,b\n1,"3"5\n', "broken_quotes", 2, 1),
        (b'a,b\n1,D" annex\n', "broken_quotes", 2, 1),
        (b'a,b\n1,2\n\n"D" annex,2\n', "broken_quotes", 4, 0),
        (b'a,b\n"1,x",2\n3,"4\n5,6\n', "broken_quotes", 3, 1),
        (b"a,b\r1,2\r3,4\r", "line_ends", 1, 1),
        (b"a,b\r\n1,2\r\r\n", "line_ends", 2, 1),
        (b'a,b\n1,"2\n3",x\r,4\n', "line_ends", 2, 2),
        (b"a,b\n1,2\n12345,7890\n", "row_too_long", 3, 1),
        (b'a,b\n1,"2\n3\n4\n5"\n', "row_too_long", 2, 1),
    ],
)
def test_a_fault_has_its_line_and_field(
    monkeypatch: pytest.MonkeyPatch, text: bytes, rule: str, line: int, field: int, chunk: int
) -> None:
    monkeypatch.setattr(csv_dialect, "_CHUNK", chunk)
    found = find_records(text, longest=9)
    assert isinstance(found, Fault)
    assert (found.rule, found.line, found.field) == (rule, line, field)
