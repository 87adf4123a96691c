"""A stranger's file is read as it was meant: encoding, dialect, and the form of each column."""

import gzip
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings, strategies
from tests import strangers

from contrail.adapters.sample_files import Sample, SampleColumn, copy_as_utf8, header_of, read
from contrail.errors import DataError

Read = Callable[..., Sample]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute("SET TimeZone = 'UTC'")
        opened.execute("SET VARIABLE zone = 'Europe/Berlin'")
        yield opened


@pytest.fixture
def sample(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> Read:
    def found(content: bytes, name: str = "a.csv") -> Sample:
        path = tmp_path / name
        path.write_bytes(content)
        copy, _ = copy_as_utf8(path, Path(mkdtemp(prefix="copies", dir=tmp_path)))
        header = header_of(connection, copy, path)
        return read(connection, "own", [copy], header, [f"c{n}" for n in range(len(header.names))])

    return found


def column(sample: Read, *values: str) -> SampleColumn:
    """A column of these values, beside another."""
    lines = "".join(f'"{value}";1\n' for value in values)
    return sample(f"own;other\n{lines}".encode()).columns[0]


@pytest.mark.parametrize(
    ("values", "kind", "least"),
    [
        (("1", "-2", "+3"), "int", -2),
        (("1.0", "2.00"), "int", 1),
        (("1.5", "2", ".5", "1e3"), "float", 0.5),
        (("1,5", "1.234,50", "2"), "float", 1.5),
        (("1,234.5", "3"), "float", 3.0),
        (("007", "008"), "string", "007"),
        (("0", "10"), "int", 0),
        (("true", "False"), "bool", False),
        (("yes", "no"), "string", "no"),
        (("2024-02-03",), "date", date(2024, 2, 3)),
        (("2024-02-03 00:00:00", "2024-02-04 00:00:00"), "date", date(2024, 2, 3)),
        (("03.02.2024", "4.2.2024"), "date", date(2024, 2, 3)),
        (("2/13/2024",), "date", date(2024, 2, 13)),
        (("5-Jan-09",), "date", date(2009, 1, 5)),
        (("2024-01-01T05:15:00+02:00",), "timestamp", datetime(2024, 1, 1, 3, 15, tzinfo=UTC)),
        (("2024-01-01 05:15",), "timestamp", datetime(2024, 1, 1, 4, 15, tzinfo=UTC)),
        (("01.07.2024 05:15",), "timestamp", datetime(2024, 7, 1, 3, 15, tzinfo=UTC)),
        (("a", "1"), "string", "1"),
        (("31.02.2024", "32.01.2024"), "string", "31.02.2024"),
    ],
)
def test_a_column_has_the_type_of_its_values(sample: Read, values: tuple[str, ...], kind: str, least: object) -> None:
    found = column(sample, *values)
    assert (found.type, found.least, found.empty) == (kind, least, 0)


def test_an_ambiguous_date_is_told(sample: Read) -> None:
    assert column(sample, "01/02/2024", "03/04/2024").doubt == "mm/dd/yyyy"
    assert column(sample, "01/02/2024", "13/04/2024").doubt == ""


def test_a_word_for_no_value_is_null_in_numbers_and_stays_in_texts(sample: Read) -> None:
    assert (column(sample, "1", "NA", "-").type, column(sample, "1", "NA", "-").empty) == ("int", 2)
    assert column(sample, "DE", "NA", "FR").values == ("DE", "FR", "NA")


def test_a_value_of_another_form_stays_as_text_for_the_quarantine(
    sample: Read, connection: duckdb.DuckDBPyConnection
) -> None:
    found = column(sample, *(str(number) for number in range(100)), "twelve")
    assert (found.type, found.empty) == ("int", 1)
    assert connection.sql(f"SELECT {found.sql} FROM (SELECT 'twelve' AS own)").fetchall() == [("twelve",)]


def test_where_one_number_has_a_decimal_comma_a_point_parts_thousands(sample: Read) -> None:
    found = sample(b"a;b\n1,5;1.234\n2,5;2.000\n")
    assert [(one.type, one.most) for one in found.columns] == [("float", 2.5), ("int", 2000)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_encoding_gives_the_same_rows(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection, encoding: str, packed: bool
) -> None:
    path = strangers.umsatz(tmp_path, 5, encoding)
    if packed:
        path, plain = path.with_name(f"{path.name}.gz"), path
        path.write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "copies").mkdir()
    copy, told = copy_as_utf8(path, tmp_path / "copies")
    header = header_of(connection, copy, path)
    found = read(connection, "own", [copy], header, [f"c{n}" for n in range(len(header.names))])
    assert told == encoding.removesuffix("-sig")
    assert copy.read_bytes().startswith(b"Datum;"), "no mark stands before the first name"
    assert header.names == ("Datum", "Filial Nr", "order", "Umsatz €", "select", "2nd value")
    assert [one.type for one in found.columns] == ["date", "string", "string", "float", "string", "int"]
    assert found.rows == 20


def test_parquet_is_read_like_text(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    path = tmp_path / "a.parquet"
    rows = "SELECT DATE '2024-01-01' AS d, TIMESTAMPTZ '2024-01-01 05:00:00+02' AS t, 1.5 AS f, 2 AS i, true AS b, '007' AS s"
    connection.sql(rows).write_parquet(str(path))
    header = header_of(connection, path, path)
    found = read(connection, "own", [path], header, header.names)
    assert [one.type for one in found.columns] == ["date", "timestamp", "float", "int", "bool", "string"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"2024-01-01,5\n2024-01-02,6\n", "first line"),
        ("a.csv", b"1,2\n3,4\n", "first line"),
        ("a.csv", b"a,b\n", "no rows"),
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"\n \r\n", "the file is empty"),
        ("a.jsonl", b'{"a": 1}', "write JSON as Parquet first"),
        ("a.xlsx", b"PK", "a sample is CSV or Parquet"),
        ("a.parquet", b"PAR0", "cannot be read as parquet"),
        ("a.csv.gz", b"no gzip", "no whole gzip"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_strangers_own_path(
    sample: Read, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    with pytest.raises(DataError, match=words) as refused:
        sample(content, name)
    assert name in str(refused.value)
    assert "copies" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv: there is no such file"):
        copy_as_utf8(tmp_path / "gone.csv", tmp_path)


cents = strategies.integers(-(10**9), 10**9).map(lambda number: Decimal(number) / 100)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    numbers=strategies.lists(cents.filter(lambda number: number % 1 != 0), min_size=3, max_size=8),
    delimiter=strategies.sampled_from(";\t|"),
    grouped=strategies.booleans(),
)
def test_numbers_with_a_decimal_comma_are_read_to_the_last_digit(
    numbers: list[Decimal], delimiter: str, grouped: bool
) -> None:
    texts = [f"{number:,.2f}" if grouped else f"{number:.2f}" for number in numbers]
    lines = [f"k{n}{delimiter}{text.translate(str.maketrans(',.', '.,'))}" for n, text in enumerate(texts)]
    with TemporaryDirectory() as folder, duckdb.connect() as connection:
        path = Path(folder, "a.csv")
        path.write_text("\n".join([f"name{delimiter}value", *lines, ""]))
        found = read(connection, "own", [path], header_of(connection, path, path), ["name", "value"])
        values = connection.sql("SELECT value FROM sample_own ORDER BY name").fetchall()
    assert found.columns[1].type == "float"
    assert [value for (value,) in values] == [float(number) for number in numbers]
