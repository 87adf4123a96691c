"""The publisher's audit: nothing wrong becomes visible, what was visible stays, and no file of what was refused."""

import math
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.lake.shop import provenance
from upath import UPath

from contrail.config.table_spec import ColumnSpec
from contrail.errors import AuditError
from contrail.lake import ordering
from contrail.lake.datasets import Dataset
from contrail.lake.lake import Lake
from contrail.lake.staged import Staged

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
RATES = Dataset("rates", "", {**ITEMS.columns, "rate": ColumnSpec(type="float", required=False)}, ("id",))
Form = Callable[[pa.Table], Staged]


@pytest.fixture(params=["table", "stream", "folder", "large"])
def form(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Form:
    """The ways to hand rows over; ``large`` are those that do not fit into memory."""

    def folder(rows: pa.Table) -> UPath:
        (tmp_path / "staged").mkdir()
        for number in range(rows.num_rows):
            pq.write_table(rows.slice(number, 1), tmp_path / "staged" / f"{number}.parquet")
        return UPath(tmp_path / "staged")

    if request.param == "large":
        monkeypatch.setattr(ordering, "_QUICK_BYTES", -1)
    forms: dict[str, Form] = {
        "stream": lambda rows: pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches(max_chunksize=1)),
        "folder": folder,
    }
    return forms.get(request.param, lambda rows: rows)


def staged(ids: list[int | None], day: date = DAY) -> pa.Table:
    count = len(ids)
    return pa.table({"note": [None] * count, "id": ids, "partition_date": pa.array([day] * count, pa.date32())})


def test_good_rows_come_back_in_the_order_of_the_dataset_and_of_the_key(lake: Lake, form: Form) -> None:
    lake.publish(ITEMS, form(staged([2, 3, 1])), [DAY], provenance())
    found = lake.scan("items")
    assert found.column_names == ["partition_date", "id", "note"]
    assert found.schema.field("note").type == pa.string()
    assert found["id"].to_pylist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            staged([1, 3, 1, 2, 3, 3]),
            r"items: 2 keys occur more than once, for example "
            r"\{'partition_date': datetime.date\(2024, 1, 1\), 'id': 1\}. Nothing was published",
        ),
        (staged([1, None, 2, None]), r"items\.id: 2 of 4 rows are null"),
        (staged([1], OTHER), r"partitions \[datetime\.date\(2024, 1, 2\)\], which this run does not replace"),
        (staged([1]).drop_columns(["note"]), r"Missing: \['note'\]"),
        (staged([1]).append_column("x", pa.array([1])), r"Not expected: \['x'\]"),
        (staged([1]).set_column(1, "id", pa.array(["one"])), "staged types differ"),
        (staged([1, 2]).set_column(1, "id", pa.array([1.0, 1.5])), "staged types differ.*1.500000 was truncated"),
    ],
)
def test_bad_rows_are_refused_with_the_reason(lake: Lake, home: Path, form: Form, rows: pa.Table, message: str) -> None:
    with pytest.raises(AuditError, match=message):
        lake.publish(ITEMS, form(rows), [DAY], provenance())
    assert lake.partitions("items") == {}
    assert list((home / "lake").rglob("*.parquet")) == []


def test_a_partitioned_table_needs_its_partitions_named(lake: Lake) -> None:
    with pytest.raises(AuditError, match="name the partitions"):
        lake.publish(ITEMS, staged([1]), None, provenance())


def test_rows_outside_the_scope_are_refused(lake: Lake) -> None:
    by_note = Dataset("items", "", ITEMS.columns, ITEMS.key, ("partition_date", "note"))
    rows = staged([1]).set_column(0, "note", pa.array(["b"]))
    with pytest.raises(AuditError, match=r"items\.note: staged \['b'\] outside the scope 'a'"):
        lake.publish(by_note, rows, [DAY], provenance(), {"note": "a"})


def test_a_job_that_wrote_nothing_is_refused(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="wrote nothing"):
        lake.publish(ITEMS, UPath(tmp_path), [DAY], provenance())


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_an_infinite_number_is_refused_with_its_column_day_and_key(lake: Lake, form: Form, value: float) -> None:
    rows = staged([3, 2, 1]).append_column("rate", pa.array([math.nan, value, None]))
    message = rf"rates\.rate: 1 of 3 rows are infinite, the first is {value} at partition_date 2024-01-01, id 2"
    with pytest.raises(AuditError, match=message):
        lake.publish(RATES, form(rows), [DAY], provenance())


def test_a_key_that_is_personal_is_hidden_in_what_is_told(lake: Lake) -> None:
    own = {**RATES.columns, "id": ColumnSpec(type="int", personal=True)}
    for ids, rates in (([4711, 4711], [0.5, 0.5]), ([4711, 4712], [math.inf, 0.5])):
        rows = staged(list(ids)).append_column("rate", pa.array(rates))
        with pytest.raises(AuditError) as refused:
            lake.publish(Dataset("rates", "", own, ("id",)), rows, [DAY], provenance())
        assert "•••" in str(refused.value)
        assert "4711" not in str(refused.value)


@pytest.mark.parametrize("others", [[0.5, None], [math.nan, math.nan], [None, None]])
def test_what_nan_means_is_the_models_matter(lake: Lake, others: list[float | None]) -> None:
    rows = staged([1, 2, 3]).append_column("rate", pa.array([math.nan, *others], pa.float64()))
    lake.publish(RATES, rows, [DAY], provenance())
    assert lake.scan("rates").num_rows == 3


def test_a_null_in_the_key_is_a_value_like_others(lake: Lake) -> None:
    """The governor's decisions have trainings only where there was one."""
    optional = Dataset("items", "", ITEMS.columns, ("id", "note"))
    lake.publish(optional, staged([1, 2]), [DAY], provenance())
    with pytest.raises(AuditError, match=r"1 keys occur more than once.*'note': None"):
        lake.publish(optional, staged([1, 1]), [DAY], provenance())
    assert lake.scan("items").num_rows == 2
