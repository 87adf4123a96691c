"""Typed values as text: the contract's casts give the same values back."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrail.adapters.text_forms import as_text, has_text
from contrail.config.table_spec import ColumnType
from contrail.methods.casting import cast_sql

INSTANTS = st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=10, min_value=-(10**9), max_value=10**9)
KINDS: list[tuple[pa.DataType, ColumnType, st.SearchStrategy[Any]]] = [
    (pa.int64(), "int", st.integers(-(2**63), 2**63 - 1)),
    (pa.uint32(), "int", st.integers(0, 2**32 - 1)),
    (pa.float64(), "float", st.floats(allow_nan=False, allow_infinity=False)),
    (pa.float32(), "float", st.floats(width=32, allow_nan=False, allow_infinity=False)),
    (pa.decimal128(38, 10), "float", DECIMALS),
    (pa.decimal128(38, 10), "int", st.integers(-(10**9), 10**9).map(Decimal)),
    (pa.bool_(), "bool", st.booleans()),
    (pa.date32(), "date", st.dates(date(1700, 1, 1), date(2200, 1, 1))),
    (pa.timestamp("us", "UTC"), "timestamp", INSTANTS),
    (pa.timestamp("ns", "America/New_York"), "timestamp", INSTANTS),
    (pa.timestamp("s", "UTC"), "timestamp", INSTANTS.map(lambda at: at.replace(microsecond=0))),
    (pa.string(), "string", st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))),
    (pa.dictionary(pa.int32(), pa.string()), "string", st.sampled_from(["a", "", "ü"])),
]


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect()
    made.execute("SET TimeZone = 'UTC'")
    return made


@pytest.mark.parametrize(("kind", "column", "values"), KINDS, ids=[f"{kind} {column}" for kind, column, _ in KINDS])
@given(data=st.data())
def test_a_value_comes_back_from_its_text(
    connection: duckdb.DuckDBPyConnection, kind: pa.DataType, column: ColumnType, values: Any, data: st.DataObject
) -> None:
    given_values = data.draw(st.lists(st.none() | values, min_size=1, max_size=5))
    landed = pa.table({"v": as_text(pa.array(given_values, kind))})
    found = [value for (value,) in connection.sql(f"SELECT {cast_sql('v', column)} FROM landed").fetchall()]
    assert landed["v"].null_count == given_values.count(None)
    assert [value if value is None else float(value) if column in ("int", "float") else value for value in found] == [
        value if value is None else float(value) if column in ("int", "float") else value for value in given_values
    ]


def test_a_finer_instant_than_a_microsecond_keeps_its_digits() -> None:
    values = pa.array([1_000, 1_001, None], pa.int64()).cast(pa.timestamp("ns")).cast(pa.timestamp("ns", "UTC"))
    assert as_text(values).to_pylist() == ["1970-01-01 00:00:00.000001Z", "1970-01-01 00:00:00.000001001Z", None]


@pytest.mark.parametrize("kind", [pa.list_(pa.int8()), pa.struct([("a", pa.int8())]), pa.binary(), pa.duration("s")])
def test_what_has_no_text_is_said_so(kind: pa.DataType) -> None:
    assert not has_text(kind)
