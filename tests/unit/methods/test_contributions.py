import time

import numpy as np
import pytest
import xgboost

from contrail.methods import contributions as methods
from contrail.methods.contributions import contributions

KINDS = ["q", "c", "q", "q", "c"]


def made_rows(count: int = 3000):
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(count, 5)).astype(np.float32)
    matrix[:, 1] = rng.integers(0, 12, count)
    matrix[:, 4] = rng.integers(0, 3, count)
    matrix[rng.random((count, 5)) < 0.15] = np.nan
    known = np.nan_to_num(matrix)
    score = known[:, 0] * known[:, 2] + (known[:, 1] % 3) - known[:, 4] + known[:, 3] ** 2 / 4
    return matrix, (score + rng.normal(size=count) > 1).astype(np.float32)


def trained(rounds: int = 12, **params):
    matrix, labels = made_rows()
    data = xgboost.QuantileDMatrix(matrix, labels, feature_types=KINDS, enable_categorical=True)
    own = {"objective": "binary:logistic", "tree_method": "hist", "nthread": 1, "eta": 0.3, **params}
    return xgboost.train(own, data, rounds), matrix


@pytest.fixture
def no_fallback(monkeypatch):
    """XGBoost may only be asked for the rows that are compared."""
    real = methods._by_xgboost

    def only_a_few(booster, matrix, kinds):
        assert len(matrix) <= methods._CHECKED_ROWS, "fell back to XGBoost"
        return real(booster, matrix, kinds)

    monkeypatch.setattr(methods, "_by_xgboost", only_a_few)
    return real


@pytest.mark.parametrize(
    "params",
    [
        {"max_depth": 1},
        {"max_depth": 3},
        {"max_depth": 5, "min_child_weight": 20},
        {"max_depth": 6, "subsample": 0.7, "colsample_bytree": 0.5},
        {"max_depth": 8, "rounds": 4},
        {"max_depth": 4, "max_cat_to_onehot": 20},
        {"max_depth": 4, "num_parallel_tree": 2},
        {"max_depth": 4, "objective": "reg:squarederror"},
        {"max_depth": 5, "gamma": 1000},
    ],
    ids=str,
)
def test_values_equal_those_of_xgboost(params, no_fallback):
    booster, matrix = trained(**params)
    np.testing.assert_allclose(contributions(booster, matrix, KINDS), no_fallback(booster, matrix, KINDS), atol=2e-5)


def test_they_sum_to_the_raw_score(no_fallback):
    booster, matrix = trained(max_depth=5)
    raw = booster.inplace_predict(matrix, predict_type="margin")
    np.testing.assert_allclose(contributions(booster, matrix, KINDS).sum(axis=1), raw, atol=2e-5)


def test_a_row_has_the_same_values_in_any_company(no_fallback, monkeypatch):
    booster, matrix = trained(max_depth=5)
    whole = contributions(booster, matrix, KINDS)
    monkeypatch.setattr(methods, "_CHUNK_ROWS", 7)
    np.testing.assert_array_equal(contributions(booster, matrix[40:60], KINDS), whole[40:60])


def test_trees_in_batches_give_the_same_values(no_fallback, monkeypatch):
    booster, matrix = trained(max_depth=5)
    whole = contributions(booster, matrix, KINDS)
    monkeypatch.setattr(methods, "_BATCH_BYTES", 1)
    np.testing.assert_allclose(contributions(booster, matrix, KINDS), whole, atol=2e-6)


def test_a_category_beyond_those_of_training_goes_where_xgboost_sends_it(no_fallback):
    booster, matrix = trained(max_depth=4)
    matrix = matrix[:200].copy()
    matrix[:, 1] = np.arange(200) % 40
    np.testing.assert_allclose(contributions(booster, matrix, KINDS), no_fallback(booster, matrix, KINDS), atol=2e-5)


@pytest.mark.parametrize(
    "params",
    [{"booster": "dart", "rate_drop": 0.5}, {"max_depth": 0, "grow_policy": "lossguide", "max_leaves": 80}],
    ids=["dart", "deep"],
)
def test_models_of_another_kind_are_left_to_xgboost(params):
    booster, matrix = trained(**params)
    assert methods._read(booster) is None
    found = contributions(booster, matrix[:50], KINDS)
    np.testing.assert_array_equal(found, methods._by_xgboost(booster, matrix[:50], KINDS))


def test_values_that_differ_from_xgboosts_are_not_used(monkeypatch):
    booster, matrix = trained(max_depth=3)
    wrong = np.full((3000, 6), 9, np.float32)
    monkeypatch.setattr(methods, "_by_tables", lambda *_: wrong)
    np.testing.assert_array_equal(contributions(booster, matrix, KINDS), methods._by_xgboost(booster, matrix, KINDS))


def test_thousands_of_rows_a_second():
    """XGBoost's own need about a second of one core for these rows; a loop over rows would need minutes."""
    booster, matrix = trained(rounds=60, max_depth=5)
    many = np.tile(matrix, (7, 1))
    started = time.process_time()
    contributions(booster, many, KINDS)
    assert time.process_time() - started < 3
