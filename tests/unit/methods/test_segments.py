import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrail.methods.intervals import day_intervals
from contrail.methods.metrics import by_group
from contrail.methods.segments import FEWEST_ROWS, MISSING, Group, Measured, group_names, grouped, quality_by_group

DAYS = np.repeat(np.arange("2024-01-01", "2024-01-11", dtype="datetime64[D]"), 40)


def made(seed: int = 0):
    rng = np.random.default_rng(seed)
    predictions = rng.random(len(DAYS))
    labels = (rng.random(len(DAYS)) < predictions).astype(float)
    return labels, predictions, rng.choice(["A", "B"], len(DAYS), p=[0.7, 0.3]).astype(object)


def test_each_group_has_the_metrics_of_its_own_rows_with_their_intervals():
    labels, predictions, names = made()
    found = quality_by_group("binary", labels, predictions, DAYS, "depot", names)
    assert [group.name for group in found.groups] == ["A", "B"]
    expected = by_group("binary", labels, predictions, names)
    own = names == "B"
    interval = day_intervals("binary", labels[own], predictions[own], DAYS[own], only=("auc",))["auc"]
    group = found.groups[1]
    assert group.rows == expected["B"]["rows"] == own.sum()
    assert {name: one.value for name, one in group.measures.items()} == {
        name: value for name, value in expected["B"].items() if name != "rows"
    }
    assert (group.measures["auc"].low, group.measures["auc"].high) == (interval.low, interval.high)


def test_small_groups_and_those_beyond_thirty_are_counted_not_shown():
    names = np.repeat([f"g{at:02d}" for at in range(40)], FEWEST_ROWS).astype(object)
    names[0] = "alone"
    found = grouped("x", names, lambda name, rows: Group(name=name, rows=int(rows.sum()), measures={}))
    assert len(found.groups) == 30
    assert "g00" not in {group.name for group in found.groups}, "it has one row too few"
    assert (found.left_out, found.left_out_rows) == (11, 10 * FEWEST_ROWS)


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=200))
def test_every_number_falls_into_one_of_few_groups_and_groups_do_not_overlap(values):
    names = group_names(pa.chunked_array([pa.array(values, pa.float64())]))
    assert len(names) == len(values)
    assert all((name is None) == (value is None) for name, value in zip(names, values, strict=True))
    known = [(value, name) for value, name in zip(values, names, strict=True) if value is not None]
    assert len({name for _, name in known}) <= 10
    ordered = [name for _, name in sorted(known, key=lambda one: one[0])]
    runs = [name for at, name in enumerate(ordered) if at == 0 or ordered[at - 1] != name]
    assert len(runs) == len(set(runs))


def test_quarters_are_named_by_their_ends_and_few_values_by_themselves():
    ages = pa.chunked_array([pa.array([*range(20, 60), None], pa.int64())])
    assert list(dict.fromkeys(group_names(ages))) == [
        "up to 29.75",
        "over 29.75 to 39.5",
        "over 39.5 to 49.25",
        "over 49.25",
        None,
    ]
    assert list(group_names(pa.chunked_array([pa.array([1, 0, None])]))) == ["1", "0", None]
    assert list(group_names(pa.chunked_array([pa.array([True, None])]))) == [True, None]


def test_rows_without_a_value_are_a_group():
    names = np.array(["A", None] * FEWEST_ROWS, object)
    found = grouped("x", names, lambda name, rows: Group(name=name, rows=int(rows.sum()), measures={}))
    assert {group.name for group in found.groups} == {"A", MISSING}


@pytest.mark.parametrize(
    ("low", "high", "sure"), [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.2, False), (None, None, False)]
)
def test_a_difference_is_sure_when_its_interval_leaves_out_zero(low, high, sure):
    assert Measured(value=0.1, low=low, high=high).sure is sure
