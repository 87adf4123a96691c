"""Reading one landed file: its rows and lines when it is good, the exact flaw when it is not."""

import gzip
import tracemalloc

import pytest
from tests.landed import landed_batches, read_landed

from contrail.adapters.landed_columns import Columns
from contrail.config.table_spec import FileLimits
from contrail.errors import StructureError


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
        (b"a,b\n1,2\n3\n", ("a", "b"), "ragged_row", "line 3 has 1 fields, the header 2; nothing for column 'b'"),
        (b"a,b\n1,2\n3,4,5\n", ("a", "b"), "ragged_row", "line 3 has 3 fields"),
        (b'a,b\n1,"2\n3,4\n', ("a", "b"), "broken_quotes", "line 2, column b: a quote is not closed"),
        (b'a,b\n1,"3"5\n', ("a", "b"), "broken_quotes", "line 2, column b: text follows a closing quote"),
        (b'a,b\n1,D" annex\n', ("a", "b"), "broken_quotes", "line 2, column b: a quote stands inside a field"),
        (b"a,b\r1,2\r", ("a", "b"), "line_ends", "line 1, column b: a CR stands alone"),
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


def test_an_optional_column_that_a_file_lacks_is_null() -> None:
    content = gzip.compress(b"a\n1\n2\n")
    assert read_landed(content, ("b", "a"), optional=("b",)).to_pydict() == {
        "b": [None, None],
        "a": ["1", "2"],
        "_line": [2, 3],
    }
    with pytest.raises(StructureError, match="column 'weight' is missing; was it renamed to 'wieght'"):
        read_landed(gzip.compress(b"a,wieght\n1,2\n"), ("a", "weight"), optional=("weight",))


def test_a_header_of_a_million_names_is_refused_in_few_words() -> None:
    header = ",".join(f"c{number}" for number in range(100_000))
    with pytest.raises(StructureError, match="extra_column") as caught:
        read_landed(gzip.compress(f"a,{header}\n".encode()), ("a",))
    assert "'c9' and 99990 more" in caught.value.detail and len(caught.value.detail) < 300


LIMITS = FileLimits(max_text_mb=1, max_row_kb=100)


@pytest.mark.parametrize(
    ("text", "rule", "words"),
    [
        (b"a,b\n" + b"0" * 10_000_000, "row_too_long", "line 2 has more than 100 KB"),
        (b"a,b\n" + b"1,2\n" * 300_000, "too_large", "more than 1 MB of text"),
        (b'a,b\n1,"' + b"2\n" * 60_000 + b'"\n', "row_too_long", "line 2, column b"),
    ],
    ids=["one row", "many rows", "quoted lines"],
)
def test_what_is_larger_than_its_limits_is_refused(text: bytes, rule: str, words: str) -> None:
    with pytest.raises(StructureError, match=words) as caught:
        read_landed(gzip.compress(text), ("a", "b"), limits=LIMITS)
    assert caught.value.rule == rule


def test_a_bomb_is_refused_without_its_text() -> None:
    """A gigabyte of text in one megabyte, of which never more than a few blocks are in memory."""
    member = gzip.compress(b"a,b\n" + b"1,2\n" * (1 << 20), compresslevel=9)
    tracemalloc.start()
    with pytest.raises(StructureError, match="more than 200 times as much text"):
        for _ in landed_batches(member * 256, Columns(("a", "b")), FileLimits()):
            pass
    assert tracemalloc.get_traced_memory()[1] < 160 << 20
    tracemalloc.stop()


def test_every_member_of_a_file_is_read() -> None:
    members = [gzip.compress(part) for part in (b"a,b\n1,", b"", b"2\n3,4\n")]
    assert read_landed(b"".join(members) + bytes(512), ("a", "b")).column("b").to_pylist() == ["2", "4"]
    with pytest.raises(StructureError, match=r"truncated_gzip: .* lines 1 to 3 can be read"):
        read_landed(b"".join(members)[:-9], ("a", "b"))
    with pytest.raises(StructureError, match="damaged_gzip"):
        read_landed(b"".join(members) + b"junk", ("a", "b"))


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


def test_a_column_is_taken_under_an_earlier_name_too() -> None:
    rows = read_landed(gzip.compress(b"b,old\n2,1\n"), ["a", "b"], renamed={"old": "a", "older": "a"})
    assert rows.to_pydict() == {"a": ["1"], "b": ["2"], "_line": [2]}
    with pytest.raises(StructureError, match="column 'a' occurs more than once"):
        read_landed(gzip.compress(b"a,old\n2,1\n"), ["a"], renamed={"old": "a"})


def test_a_column_that_may_have_been_renamed_says_how_to_tell() -> None:
    with pytest.raises(
        StructureError, match=r"renamed to 'weight_kg'\? Then give the column that name, with renamed_from"
    ):
        read_landed(gzip.compress(b"weight_kg\n2\n"), ["weight"])
