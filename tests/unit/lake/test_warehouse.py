"""The fingerprint that compares lake and warehouse, and what the views let through."""

import math
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from contrail.config.pipeline import load_pipeline
from contrail.config.table_spec import ColumnSpec, ColumnType
from contrail.lake.datasets import Dataset
from contrail.lake.warehouse import Fingerprint, differences, fingerprint_sql, fingerprints, quoted, views, within
from contrail.partitions import Partitions

DAY = date(2024, 1, 5)
RANGE = Partitions(DAY, date(2024, 1, 7))
ROW: dict[str, Any] = {
    "partition_date": DAY, "rows": 3, "name": "a", "value": 0.25, "good": True,
    "at": datetime(2024, 1, 5, 6, tzinfo=UTC),
}  # fmt: skip
TYPES: dict[str, ColumnType] = {
    "partition_date": "date", "rows": "int", "name": "string", "value": "float", "good": "bool", "at": "timestamp",
}  # fmt: skip
DATASET = Dataset("t", "Test.", {n: ColumnSpec(type=t, required=False) for n, t in TYPES.items()}, ("rows",))


def of(*rows: dict[str, Any]) -> dict[date, Fingerprint]:
    return fingerprints_of(DATASET, pa.Table.from_pylist(list(rows), DATASET.arrow_schema()), RANGE)


def fingerprints_of(dataset: Dataset, rows: pa.Table, partitions: Partitions) -> dict[date, Fingerprint]:
    """Those of rows in memory."""
    with duckdb.connect() as connection:
        connection.register("lake_rows", rows)
        return fingerprints(connection, dataset, "lake_rows", partitions)


def test_the_order_of_rows_does_not_matter() -> None:
    other = ROW | {"rows": 4}
    assert of(ROW, other) == of(other, ROW)
    assert of(ROW, other)[DAY].rows == 2


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("rows", 4), ("rows", None), ("name", "b"), ("name", ""), ("name", None), ("value", 0.250000001),
        ("value", None), ("value", math.nan), ("value", 1e300), ("good", False), ("good", None),
        ("at", datetime(2024, 1, 5, 6, 0, 0, 1, tzinfo=UTC)), ("at", None),
    ],
)  # fmt: skip
def test_every_change_of_a_value_is_seen(column: str, value: Any) -> None:
    assert of(ROW | {column: value}) != of(ROW)


def test_an_empty_text_is_not_null() -> None:
    assert of(ROW | {"name": ""}) != of(ROW | {"name": None})


def test_a_partition_that_was_swapped_for_another_is_seen() -> None:
    moved = ROW | {"partition_date": date(2024, 1, 6)}
    assert differences(of(ROW), of(moved)) == [DAY, date(2024, 1, 6)]


def test_a_partition_without_rows_is_the_same_as_none() -> None:
    assert differences({DAY: Fingerprint(0, 0)}, {}) == []
    assert differences({}, {DAY: Fingerprint(1, 7)}) == [DAY]


def test_two_billion_rows_do_not_overflow() -> None:
    assert (16**8 - 1) * 2**31 < 2**63


def test_days_are_told_as_ranges() -> None:
    assert within([date(2024, 1, 7), DAY, date(2024, 1, 8)]) == (
        "partition_date BETWEEN DATE '2024-01-05' AND DATE '2024-01-05' OR "
        "partition_date BETWEEN DATE '2024-01-07' AND DATE '2024-01-08'"
    )
    assert within([]) == "FALSE"


def test_reserved_words_are_quoted_in_both_dialects() -> None:
    assert quoted("rows") in fingerprint_sql(DATASET, "t", RANGE, "bigquery")
    assert quoted("rows", "duckdb") in fingerprint_sql(DATASET, "t", RANGE, "duckdb")


def test_views_leave_out_what_is_not_for_analysts(toy_home: object) -> None:
    found = {view.dataset.name: view for view in views(load_pipeline("toy").spec)}
    assert list(found) == ["predictions", "predictions_latest", "model_performance", "drift"]
    assert "shadow" not in found["model_performance"].dataset.columns
    assert "WHERE t.shadow IS NOT TRUE" in found["model_performance"].query("`p.d.t`")
    assert "scoring_run" not in found["predictions_latest"].query("`p.d.t`")
    assert replace(found["drift"].dataset, doc="").columns, "documented as the lake's table"
    assert {view.source for view in found.values()} == {"predictions", "performance", "drift"}


def test_views_show_no_person(toy_home: object) -> None:
    spec = load_pipeline("toy").spec
    parcels = spec.tables["parcels"]
    columns = {**parcels.columns, "parcel": parcels.columns["parcel"].model_copy(update={"personal": True})}
    tables = {**spec.tables, "parcels": parcels.model_copy(update={"columns": columns})}
    view = views(spec.model_copy(update={"tables": tables}))[0]
    assert "parcel" not in view.dataset.columns
    assert "CASE WHEN `reason_1` IN ('parcel') THEN NULL ELSE `reason_1_value` END AS `reason_1_value`" in view.query(
        "t"
    )
    assert "CASE" not in views(spec)[0].query("t")
