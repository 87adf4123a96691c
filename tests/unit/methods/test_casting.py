"""Text to types: what the cast accepts, and what a lenient cast would have changed unseen."""

import math
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contrail.config.table_spec import ColumnType
from contrail.methods.casting import cast_sql, misfit_sql
from contrail.partitions import FIRST_DAY, LAST_DAY


@pytest.fixture(scope="module", autouse=True)
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute("SET TimeZone = 'UTC'")
        _CONNECTION[:] = [made]
        yield made
        _CONNECTION.clear()


_CONNECTION: list[duckdb.DuckDBPyConnection] = []


def cast(kind: ColumnType, text: str | None) -> object:
    ((value,),) = (
        _CONNECTION[0].execute(f"SELECT {cast_sql('x', kind)} FROM (SELECT ?::VARCHAR AS x)", [text]).fetchall()
    )
    return value


def why(kind: ColumnType, text: str) -> object:
    ((words,),) = (
        _CONNECTION[0].execute(f"SELECT {misfit_sql('x', kind)} FROM (SELECT ?::VARCHAR AS x)", [text]).fetchall()
    )
    return words


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", " as it is ", " as it is "),
        ("int", "-42", -42),
        ("int", "4.0", 4),  # what pandas writes for an integer column with nulls
        ("float", "1e-3", 0.001),
        ("float", ".5", 0.5),
        ("float", "1e-100", 1e-100),
        ("float", "1E5", 100_000.0),
        ("float", "+1", 1.0),
        ("float", "5e-324", 5e-324),  # the smallest there is
        ("float", "1e-999", 0.0),
        ("float", "1" + "0" * 400 + "e-400", 1.0),
        ("int", "9007199254740993", 9007199254740993),  # no float is equal to it
        ("int", "9223372036854775807.0", 2**63 - 1),
        ("int", "-9223372036854775808", -(2**63)),
        ("int", "+1", 1),
        ("bool", "TRUE", True),
        ("bool", "0", False),
        ("date", "2013-01-31", date(2013, 1, 31)),
        ("timestamp", "2013-01-31T05:15:00Z", datetime(2013, 1, 31, 5, 15, tzinfo=UTC)),
        ("date", "1678-01-01", date(1678, 1, 1)),
        ("date", "2261-12-31", date(2261, 12, 31)),
        ("timestamp", "2013-01-31T24:00:00Z", datetime(2013, 2, 1, tzinfo=UTC)),
        ("timestamp", "2013-01-31 00:15:00.5-05:00", datetime(2013, 1, 31, 5, 15, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_good_text(kind: ColumnType, text: str, value: object) -> None:
    assert cast(kind, text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int", "12.7"),  # DuckDB's own cast rounds it to 13
        ("int", " 5"),
        ("int", "99999999999999999999"),
        ("float", "nan"),
        ("float", "1e999"),
        ("float", "9" * 400),
        ("float", "-inf"),
        ("float", "0x10"),
        ("float", "1_000"),
        ("float", "1,5"),
        ("float", "٣"),
        ("float", "1\0"),
        ("float", "."),
        ("int", "1e5"),
        ("int", "9223372036854775808"),
        ("bool", "yes"),
        ("bool", "t"),
        ("bool", "1.0"),
        ("date", "2013-02-30"),
        ("date", "31/01/2013"),
        ("timestamp", "2013-01-31T05:15:00"),  # whose clock?
        ("timestamp", "2013-01-31T25:15:00Z"),
        ("timestamp", "2013-01-31T24:00:01Z"),
        ("timestamp", "2016-12-31T23:59:60Z"),  # a leap second
        ("timestamp", "2013-01-31T05:15:00+99:99"),
        ("timestamp", "9999-12-31T23:59:59-05:00"),  # in the year 10000, which Python lacks
        ("timestamp", "0000-01-01T00:00:00Z"),
        ("timestamp", "1677-12-31T23:59:59Z"),
        ("date", "0001-01-01"),
        ("date", "9999-12-31"),
        ("date", "2262-01-01"),
        ("int", None),
    ],
)
def test_other_text_is_null(kind: ColumnType, text: str | None) -> None:
    assert cast(kind, text) is None


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("int", "9223372036854775808", "cannot be kept: it is outside -9223372036854775808 to 9223372036854775807"),
        ("int", "12.7", "is not a whole number such as 42"),
        ("float", "9" * 400, "cannot be kept: it is outside -1.8e308 to 1.8e308"),
        ("float", "nan", "is not a number such as 4.2"),
        ("bool", "yes", "is not true or false"),
        ("date", "9999-12-31", "cannot be kept: it is outside the years 1678 to 2261"),
        ("date", "2013-02-30", "is not a date such as 2013-01-31"),
        ("timestamp", "0001-01-01T00:00:00Z", "cannot be kept: it is outside the years 1678 to 2261"),
        ("timestamp", "2016-12-31T23:59:60Z", "is not an instant with its zone such as 2013-01-31T05:15:00Z"),
    ],
)
def test_the_reason_tells_a_wrong_form_from_a_value_that_is_too_large(kind: ColumnType, text: str, words: str) -> None:
    assert (cast(kind, text), why(kind, text)) == (None, words)


NUMBERS = st.one_of(
    st.floats().map(repr),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.from_regex(r"[+-]?([0-9]{1,400}(\.[0-9]{0,20})?|\.[0-9]{1,20})([eE][+-]?[0-9]{1,5})?", fullmatch=True),
    st.text(st.sampled_from("0123456789+-.eE_x, infaN"), max_size=12),
)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@given(NUMBERS)
@example("1.7976931348623158e308")
@example("2.2250738585072011e-308")
@settings(deadline=None)
def test_any_number_is_pythons_own_float_of_its_text(text: str) -> None:
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    assert repr(cast("float", text)) == repr(value if math.isfinite(value) else None)  # repr: -0.0 is not 0.0


@given(st.integers(-(2**70), 2**70), st.sampled_from(["", ".0", ".000"]), st.booleans())
@example(2**63, "", False)
@settings(deadline=None)
def test_any_whole_number_of_64_bits_is_kept_exactly(number: int, zeros: str, plus: bool) -> None:
    text = f"{'+' if plus and number >= 0 else ''}{number}{zeros}"
    assert cast("int", text) == (number if -(2**63) <= number < 2**63 else None)


@given(st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)), st.integers(-15 * 60, 15 * 60))
@settings(deadline=None)
def test_any_instant_within_the_years_is_kept(local: datetime, offset: int) -> None:
    sign, minutes = "-" if offset < 0 else "+", abs(offset)
    text = f"{local.isoformat()}{sign}{minutes // 60:02}:{minutes % 60:02}"
    instant = (local - timedelta(minutes=offset)).replace(tzinfo=UTC)
    assert cast("timestamp", text) == (instant if FIRST_DAY <= instant.date() <= LAST_DAY else None)
    assert cast("date", str(local.date())) == (local.date() if FIRST_DAY <= local.date() <= LAST_DAY else None)


@given(st.text(), st.sampled_from(["int", "float", "bool", "date", "timestamp"]))
@settings(deadline=None)
def test_no_text_stops_the_cast(text: str, kind: ColumnType) -> None:
    assert cast("string", text) == text
    if cast(kind, text) is None:
        assert why(kind, text)
