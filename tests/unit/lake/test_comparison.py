"""Rows of the same content, whatever their order, their run, or their floats."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from tests.unit.lake.shop import DAY1, DAY2, DAY3, ITEMS, provenance, rows

from contrail.config.settings import settings
from contrail.config.table_spec import ColumnSpec
from contrail.lake import comparison, data_files, ordering, readers, writing
from contrail.lake.datasets import Dataset
from contrail.lake.lake import Lake
from contrail.lake.selection import Selection

WEIGHED = replace(ITEMS, columns={**ITEMS.columns, "weight": ColumnSpec(type="float", required=False)})
_WEIGHTS = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True))


def weighed(weights: Sequence[float | None], day: date = DAY1) -> pa.Table:
    one = rows([day], count=len(weights))
    return one.append_column("weight", pa.array(weights, pa.float64()))


def same_rows(dataset: Dataset, old: pa.Table, new: pa.Table, batch: int = 2) -> bool:
    sides = [lambda columns, side=side: side.select(columns).to_batches(batch).__iter__() for side in (old, new)]
    return comparison.same_rows(settings(), dataset, dataset.staged_schema(), *sides)


@pytest.mark.parametrize("quick", [2**20, -1])
@budget(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_WEIGHTS, min_size=1, max_size=8), st.randoms(use_true_random=False), st.data())
def test_rows_are_the_same_in_any_order_and_differ_when_one_value_does(
    home: Path, quick: int, weights: list[float | None], random: object, data: st.DataObject
) -> None:
    table = weighed(weights)
    order = list(range(len(weights)))
    random.shuffle(order)  # type: ignore[attr-defined]
    at = data.draw(st.sampled_from(range(len(weights))))
    other = [*weights[:at], 7.25 if weights[at] != 7.25 else None, *weights[at + 1 :]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "_QUICK_BYTES", quick)
        assert same_rows(WEIGHED, table.take(order), table, data.draw(st.integers(1, 3)))
        assert not same_rows(WEIGHED, table.take(order), weighed(other))


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ([math.nan, None], [math.nan, None], True),
        ([math.nan], [None], False),
        ([0.0], [-0.0], False),
        ([1.0], [1.0, 1.0], False),
        ([], [], True),
    ],
)
def test_a_float_is_the_same_when_its_bits_are(home: Path, old: list[float], new: list[float], same: bool) -> None:
    assert same_rows(WEIGHED, weighed(old), weighed(new)) is same


def test_days_are_compared_one_by_one_and_two_empty_ones_are_the_same(lake: Lake, tmp_path: Path) -> None:
    days = [DAY1, DAY2, DAY3]
    lake.publish(ITEMS, rows([DAY1, DAY2]), days, provenance())
    table = lake.table("items")
    old = data_files.listed(table, Selection.of(days))
    new = [one.file for one in writing.write(table, rows([DAY1]).to_batches(), ITEMS.partition_by, tmp_path)]
    assert comparison.same_days(settings(), ITEMS, readers.schema_of(table), old, new, days) == {DAY1, DAY3}


def test_files_of_the_same_bytes_are_not_read(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.publish(ITEMS, rows([DAY1, DAY2]), [DAY1, DAY2], provenance())
    table = lake.table("items")
    old = data_files.listed(table, Selection.of([DAY1, DAY2]))
    new = [one.file for one in writing.write(table, rows([DAY1, DAY2]).to_batches(), ITEMS.partition_by, tmp_path)]
    other = rows([DAY2], count=rows([DAY2]).num_rows)
    other = other.set_column(other.schema.get_field_index("id"), "id", pa.array(range(900, 900 + len(other))))
    changed = [one.file for one in writing.write(table, other.to_batches(), ITEMS.partition_by, tmp_path)]

    def read(*_: object) -> None:
        raise AssertionError("a file was read")

    monkeypatch.setattr(comparison, "read_batches", read)
    schema = readers.schema_of(table)
    assert comparison.same_days(settings(), ITEMS, schema, old, new, [DAY1, DAY2]) == {DAY1, DAY2}
    with pytest.raises(AssertionError, match="a file was read"):
        comparison.same_days(settings(), ITEMS, schema, old, changed, [DAY2])
    with monkeypatch.context() as elsewhere, pytest.raises(AssertionError, match="a file was read"):
        elsewhere.setattr(comparison, "is_local", lambda _: False)  # nobody has looked whether it is still there
        comparison.same_days(settings(), ITEMS, schema, old, new, [DAY1])


def test_a_day_may_have_several_files_on_either_side(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.publish(ITEMS, rows([DAY1], count=10), [DAY1], provenance())
    monkeypatch.setattr(writing, "FILE_BYTES", 1)
    monkeypatch.setattr(writing, "_GROUP_ROWS", 3)
    monkeypatch.setattr(ordering, "_BATCH_ROWS", 3)
    before = lake.files("items")
    lake.publish(ITEMS, rows([DAY1], count=10), [DAY1], replace(provenance(), inputs={}))
    assert lake.files("items") == before
    lake.publish(ITEMS, rows([DAY1], "blue", count=10), [DAY1], provenance())
    after = lake.files("items")
    assert len(after) == 4
    monkeypatch.undo()
    lake.publish(ITEMS, rows([DAY1], "blue", count=10), [DAY1], replace(provenance(), inputs={}))
    assert lake.files("items") == after


@pytest.mark.parametrize(("receipts", "same"), [((), False), (("colour",), True)])
def test_who_made_a_row_is_no_content(home: Path, receipts: tuple[str, ...], same: bool) -> None:
    assert same_rows(replace(ITEMS, receipts=receipts), rows([DAY1], "red"), rows([DAY1], "blue")) is same
