"""The publisher's audit: nothing wrong becomes visible, and what was visible stays."""

import math
from datetime import date

import pyarrow as pa
import pytest
from upath import UPath

from contrail.config.table_spec import ColumnSpec
from contrail.errors import AuditError
from contrail.lake import audit
from contrail.lake.datasets import Dataset
from contrail.lake.selection import Selection

DAY, OTHER = date(2024, 1, 1), date(2024, 1, 2)
ITEMS = Dataset(
    "items",
    "",
    {
        "partition_date": ColumnSpec(type="date"),
        "id": ColumnSpec(type="int"),
        "note": ColumnSpec(type="string", required=False),
    },
    ("id",),
)


def staged(ids: list[int | None], day: date = DAY) -> pa.Table:
    count = len(ids)
    return pa.table({"note": [None] * count, "id": ids, "partition_date": pa.array([day] * count, pa.date32())})


def test_good_rows_come_back_in_the_order_of_the_dataset() -> None:
    checked = audit.check(ITEMS, staged([1, 2]), Selection.of([DAY]))
    assert checked.column_names == ["partition_date", "id", "note"]
    assert checked.schema.field("note").type == pa.string()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (staged([1, 1]), r"1 keys occur more than once, for example \{'partition_date': datetime.date\(2024, 1, 1\)"),
        (staged([1, None]), r"items\.id: 1 of 2 rows are null"),
        (staged([1], OTHER), r"partitions \[datetime\.date\(2024, 1, 2\)\], which this run does not replace"),
        (staged([1]).drop_columns(["note"]), r"Missing: \['note'\]"),
        (staged([1]).append_column("x", pa.array([1])), r"Not expected: \['x'\]"),
        (staged([1]).set_column(1, "id", pa.array(["one"])), "staged types differ"),
    ],
)
def test_bad_rows_are_refused_with_the_reason(rows: pa.Table, message: str) -> None:
    with pytest.raises(AuditError, match=message):
        audit.check(ITEMS, rows, Selection.of([DAY]))


def test_a_partitioned_table_needs_its_partitions_named() -> None:
    with pytest.raises(AuditError, match="name the partitions"):
        audit.check(ITEMS, staged([1]), Selection.of(None))


def test_rows_outside_the_scope_are_refused() -> None:
    rows = staged([1]).set_column(0, "note", pa.array(["b"]))
    with pytest.raises(AuditError, match="outside the scope 'a'"):
        audit.check(ITEMS, rows, Selection.of([DAY], {"note": "a"}))


def test_a_job_that_wrote_nothing_is_refused(tmp_path: object) -> None:
    with pytest.raises(AuditError, match="wrote nothing"):
        audit.check(ITEMS, UPath(str(tmp_path)), Selection.of([DAY]))


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_an_infinite_number_is_refused_with_its_column_day_and_key(value: float) -> None:
    rates = Dataset("rates", "", {**ITEMS.columns, "rate": ColumnSpec(type="float", required=False)}, ("id",))
    rows = staged([1, 2, 3]).append_column("rate", pa.array([0.5, value, None]))
    message = rf"rates\.rate: 1 of 3 rows are infinite, the first is {value} at partition_date 2024-01-01, id 2"
    with pytest.raises(AuditError, match=message):
        audit.check(rates, rows, Selection.of([DAY]))
    rows = rows.set_column(3, "rate", pa.array([0.5, math.nan, None]))
    assert audit.check(rates, rows, Selection.of([DAY])).num_rows == 3, "what NaN means is the model's matter"
