"""Text to types: what the cast accepts, and what a lenient cast would have changed unseen."""

from datetime import UTC, date, datetime

import duckdb
import pyarrow as pa
import pytest

from contrail.config.table_spec import ColumnType
from contrail.methods.casting import cast_sql


def cast(kind: ColumnType, text: str | None) -> object:
    rows = pa.table({"x": pa.array([text], pa.string())})
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("rows", rows)
        ((value,),) = connection.execute(f"SELECT {cast_sql('x', kind)} FROM rows").fetchall()
    return value


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", " as it is ", " as it is "),
        ("int", "-42", -42),
        ("int", "4.0", 4),  # what pandas writes for an integer column with nulls
        ("float", "1e-3", 0.001),
        ("float", ".5", 0.5),
        ("bool", "TRUE", True),
        ("bool", "0", False),
        ("date", "2013-01-31", date(2013, 1, 31)),
        ("timestamp", "2013-01-31T05:15:00Z", datetime(2013, 1, 31, 5, 15, tzinfo=UTC)),
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
        ("float", "1,5"),
        ("bool", "yes"),
        ("date", "2013-02-30"),
        ("date", "31/01/2013"),
        ("timestamp", "2013-01-31T05:15:00"),  # whose clock?
        ("timestamp", "2013-01-31T25:15:00Z"),
        ("int", None),
    ],
)
def test_other_text_is_null(kind: ColumnType, text: str | None) -> None:
    assert cast(kind, text) is None
