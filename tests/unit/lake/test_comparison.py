"""Rows of the same content, whatever their order, their run, or their floats."""

import math
from dataclasses import replace
from datetime import date

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.lake.shop import DAY1, DAY2, ITEMS, rows

from contrail.config.table_spec import ColumnSpec
from contrail.lake.comparison import same_days, same_rows

WEIGHED = replace(ITEMS, columns={**ITEMS.columns, "weight": ColumnSpec(type="float", required=False)})
_WEIGHTS = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True))


def weighed(weights: list[float | None], day: date = DAY1) -> pa.Table:
    one = rows([day], count=len(weights))
    return one.append_column("weight", pa.array(weights, pa.float64()))


@settings(max_examples=60, deadline=None)
@given(st.lists(_WEIGHTS, min_size=1, max_size=8), st.randoms(use_true_random=False), st.data())
def test_rows_are_the_same_in_any_order_and_differ_when_one_value_does(
    weights: list[float | None], random: object, data: st.DataObject
) -> None:
    table = weighed(weights)
    order = list(range(len(weights)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert same_rows(WEIGHED, table, table.take(order))
    at = data.draw(st.sampled_from(range(len(weights))))
    other = [*weights[:at], 7.25 if weights[at] != 7.25 else None, *weights[at + 1 :]]
    assert not same_rows(WEIGHED, table, weighed(other))


def test_a_missing_number_is_the_same_as_a_missing_number() -> None:
    assert same_rows(WEIGHED, weighed([math.nan, None]), weighed([math.nan, None]))
    assert not same_rows(WEIGHED, weighed([math.nan]), weighed([None]))


def test_days_are_compared_one_by_one_and_two_empty_ones_are_the_same() -> None:
    days = [DAY1, DAY2, date(2024, 1, 3)]
    assert same_days(ITEMS, rows([DAY1, DAY2]), rows([DAY1]), days) == {DAY1, days[2]}


@pytest.mark.parametrize(("receipts", "same"), [((), False), (("colour",), True)])
def test_who_made_a_row_is_no_content(receipts: tuple[str, ...], same: bool) -> None:
    assert same_rows(replace(ITEMS, receipts=receipts), rows([DAY1], "red"), rows([DAY1], "blue")) is same
