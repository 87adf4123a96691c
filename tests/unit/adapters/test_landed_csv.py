"""Reading one landed file: its rows and lines when it is good, the exact flaw when it is not."""

import gzip

import pytest

from contrail.adapters.landed_csv import StructureError, read_landed


def read(text: bytes, columns: tuple[str, ...] = ("a", "b")) -> dict[str, list[object]]:
    return read_landed(gzip.compress(text), columns).to_pydict()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a,b\n1,2\n3,\n", {"a": ["1", "3"], "b": ["2", None], "_line": [2, 3]}),
        (b"b,a\n1,2\n", {"a": ["2"], "b": ["1"], "_line": [2]}),
        (b"a,b\r\n1,2\r\n", {"a": ["1"], "b": ["2"], "_line": [2]}),
        (b"\xef\xbb\xbfa,b\n1,2", {"a": ["1"], "b": ["2"], "_line": [2]}),
        (b'a,b\n"1,5",""\n', {"a": ["1,5"], "b": [None], "_line": [2]}),
        (b'a,b\n1,"x\ny"\n\n3,4\n\n', {"a": ["1", "3"], "b": ["x\ny", "4"], "_line": [2, 5]}),
    ],
    ids=["null", "column order", "CRLF", "BOM", "quotes", "line breaks in quotes, empty lines"],
)
def test_rows_and_lines(text: bytes, expected: dict[str, list[object]]) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    ("text", "columns", "rule", "words"),
    [
        (b"", ("a", "b"), "empty_file", "not even a header"),
        (b"a,b\n", ("a", "b"), "no_rows", "a header and no rows"),
        (b"a,b\n1,2\n3\n", ("a", "b"), "ragged_row", "line 3 has 1 fields, the header 2; nothing for column 'b'"),
        (b"a,b\n1,2\n3,4,5\n", ("a", "b"), "ragged_row", "line 3 has 3 fields"),
        (b'a,b\n1,"2\n3,4\n', ("a", "b"), "broken_quotes", "line 2"),
        (b"a,b\n1,2\n3,caf\xe9\n", ("a", "b"), "not_utf8", "line 3, column b: byte 0xe9"),
        (b"a\n1\n", ("a", "b"), "missing_column", "line 1: column 'b' is missing"),
        (b"a,dep_dely\n1,2\n", ("a", "dep_delay"), "missing_column", "was it renamed to 'dep_dely'?"),
        (b"a,b,c\n1,2,3\n", ("a", "b"), "extra_column", "line 1: column 'c'"),
        (b"a,b,b\n1,2,3\n", ("a", "b"), "repeated_column", "'b'"),
    ],
)
def test_a_flaw_is_named_with_its_line_and_column(text: bytes, columns: tuple[str, ...], rule: str, words: str) -> None:
    with pytest.raises(StructureError) as caught:
        read(text, columns)
    assert caught.value.rule == rule
    assert words in caught.value.detail


def test_a_truncated_file_tells_how_far_it_can_be_read() -> None:
    content = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (i * i, i) for i in range(1000)))
    with pytest.raises(StructureError, match=r"truncated_gzip: .*lines 1 to \d+ can be read"):
        read_landed(content[: len(content) // 2], ("a", "b"))


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "empty_file"),
        (b"a,b\n1,2\n", "not_gzip"),
        # A fixed time: the bytes name the test, and every worker must name it alike.
        (gzip.compress(b"a,b\n1,2\n", mtime=0)[:-6] + b"damage", "damaged_gzip"),
    ],
)
def test_what_is_no_gzip_is_said_so(content: bytes, rule: str) -> None:
    with pytest.raises(StructureError) as caught:
        read_landed(content, ("a", "b"))
    assert caught.value.rule == rule
