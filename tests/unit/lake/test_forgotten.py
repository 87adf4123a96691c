"""Marks know a row as it landed, typed, published and quarantined; the publisher refuses rows that have one."""

import json
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from tests.unit.lake.shop import DAY1, DAY2, ITEMS, provenance, rows

from contrail.config.settings import settings
from contrail.errors import DamagedError, InputsChangedError
from contrail.lake import forgotten
from contrail.lake.forgotten import Columns, Marks
from contrail.lake.lake import Lake
from contrail.lake.parquet import with_earlier

KEY = Columns.of({"day": "date", "number": "int"})


def marks_of(columns: Columns, *values: str) -> Marks:
    with duckdb.connect() as connection:
        listed = ", ".join(f"'{value}' AS {name}" for value, name in zip(values, columns.names, strict=True))
        return forgotten.of_rows(Marks("key"), connection, f"SELECT {listed}", columns)


def found(marks: Marks, rows: pa.Table, schema: pa.Schema | None = None) -> list[bool]:
    mask = marks.mask(rows, schema)
    return [False] * len(rows) if mask is None else mask.to_pylist()


def test_a_row_is_known_in_each_form() -> None:
    marks = marks_of(KEY, "2024-01-02", "7")
    landed = pa.table({"number": ["7", "07", "7.0", "8", None], "day": ["2024-01-02"] * 5})
    assert found(marks, landed) == [True, True, True, False, False]
    typed = pa.table(
        {"number": pa.array([7, 8]), "day": pa.array([date(2024, 1, 2)] * 2, pa.date32()), "other": [1, 2]}
    )
    assert found(marks, typed) == [True, False]
    kept = [json.dumps({"day": "2024-01-02", "number": text}) for text in ("7", "x")]
    quarantined = pa.table({"table_name": ["a", "a"], "rule": ["r", "r"], "row": kept})
    assert found(marks, quarantined) == [True, False]
    assert marks.without(typed)["other"].to_pylist() == [2]


def test_a_table_without_the_columns_has_none() -> None:
    assert marks_of(KEY, "2024-01-02", "7").condition(pa.schema([("number", pa.int64())])) is None


def test_a_column_is_known_by_its_earlier_name() -> None:
    schema = pa.schema([with_earlier(pa.field("no", pa.int64()), ["number"]), pa.field("day", pa.date32())])
    renamed = pa.table({"no": pa.array([7]), "day": pa.array([date(2024, 1, 2)], pa.date32())})
    assert found(marks_of(KEY, "2024-01-02", "7"), renamed, schema) == [True]


def test_a_mark_has_no_value_and_needs_its_key() -> None:
    marks = marks_of(KEY, "2024-01-02", "7")
    other = Marks("another key", marks.digests)
    assert found(other, pa.table({"number": ["7"], "day": ["2024-01-02"]})) == [False]
    assert "2024-01-02" not in str(list(forgotten.rows_of(marks, "request", DAY1)))


@pytest.fixture
def lake(home: Path) -> Lake:
    """A shop in which the item 1 is of a forgotten person."""
    made = Lake(settings(), "shop")
    marks = marks_of(Columns.of({"id": "int"}), "1")
    forgotten.keep_key(made, marks)
    dataset = forgotten.marks(None)  # type: ignore[arg-type]
    table = pa.Table.from_pylist(list(forgotten.rows_of(marks, "request", DAY1)), dataset.arrow_schema())
    made.publish(dataset, table, [DAY1], provenance(), {"request": "request"})
    return made


def test_rows_of_a_forgotten_person_are_not_published(lake: Lake) -> None:
    with pytest.raises(InputsChangedError, match=r"items: 2 of 6 rows are of a person who was forgotten"):
        lake.publish(ITEMS, rows([DAY1, DAY2]), [DAY1, DAY2], provenance())
    assert not lake.partitions("items")
    lake.publish(ITEMS, rows([DAY1], count=1), [DAY1], provenance())
    assert lake.partitions("items")[DAY1].rows == 1


def test_without_the_key_nothing_goes_on(lake: Lake) -> None:
    (Path(settings().landing_uri) / ".forgotten" / "shop.key").unlink()
    with pytest.raises(DamagedError, match=r"shop\.key is missing"):
        lake.publish(ITEMS, rows([DAY1], count=1), [DAY1], provenance())


def test_rows_to_ask_about_are_gone_with_the_question() -> None:
    with forgotten.asking() as connection:
        connection.register("given", pa.table({"customer": ["44"]}))
        assert connection.execute("SELECT customer, current_setting('TimeZone') FROM given").fetchall() == [
            ("44", "UTC")
        ]
    with forgotten.asking() as connection, pytest.raises(duckdb.CatalogException, match="given does not exist"):
        connection.execute("FROM given")
