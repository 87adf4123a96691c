import numpy as np
import pyarrow as pa
import pytest

from contrail.methods.baselines import RateTable, fit_rate_table


@pytest.fixture
def rows():
    return pa.table({"origin": ["A"] * 60 + ["B"] * 60 + [None] * 2, "hour": [6.0] * 122})


@pytest.fixture
def labels():
    return np.array([1.0] * 60 + [0.0] * 62)


def test_a_group_has_its_mean_drawn_a_little_towards_the_overall_one(rows, labels):
    overall = 60 / 122
    found = fit_rate_table([(rows, labels)], ["origin"]).predict(rows)
    assert found[0] == pytest.approx((60 + 20 * overall) / 80)
    assert found[60] == pytest.approx(20 * overall / 80)


def test_a_small_group_proves_little(rows, labels):
    assert fit_rate_table([(rows, labels)], ["origin"]).predict(rows)[-1] == pytest.approx(20 * (60 / 122) / 22)


def test_an_unknown_group_gets_the_overall_mean(rows, labels):
    table = fit_rate_table([(rows, labels)], ["origin", "hour"])
    assert table.predict(pa.table({"origin": ["A"], "hour": [7.0]})).tolist() == [pytest.approx(60 / 122)]


def test_without_features_it_is_the_constant(rows, labels):
    assert set(fit_rate_table([(rows, labels)], ()).predict(rows)) == {60 / 122}


def test_it_survives_json(rows, labels):
    table = fit_rate_table([(rows, labels)], ["origin", "hour"])
    assert RateTable.model_validate_json(table.model_dump_json()).predict(rows).tolist() == table.predict(rows).tolist()


def test_groups_of_two_features_are_not_confused():
    rows = pa.table({"a": ["x", "xy"], "b": ["yz", "z"]})
    assert len(fit_rate_table([(rows, np.array([0.0, 1.0]))], ["a", "b"]).groups) == 2


@pytest.mark.parametrize("size", [1, 7, 60])
def test_any_batches_give_the_same_table(rows, size):
    labels = np.random.default_rng(0).normal(size=122)
    whole = fit_rate_table([(rows, labels)], ["origin", "hour"])
    parts = [(rows.slice(start, size), labels[start : start + size]) for start in range(0, 122, size)]
    found = fit_rate_table(parts, ["origin", "hour"])
    assert list(found.groups) == list(whole.groups)
    assert found.groups == pytest.approx(whole.groups, rel=1e-14)
