import numpy as np
import pytest
from sklearn import metrics as reference

from contrail.methods import metrics


@pytest.fixture
def rows():
    rng = np.random.default_rng(1)
    p = np.round(rng.beta(2, 6, 3000), 2)  # rounded: many ties
    y = (rng.random(3000) < p).astype(float)
    return y, p


def test_binary_metrics_equal_scikit_learns(rows):
    y, p = rows
    found = metrics.evaluate("binary", y, p)
    assert found["auc"] == pytest.approx(reference.roc_auc_score(y, p), abs=1e-12)
    assert found["log_loss"] == pytest.approx(reference.log_loss(y, np.clip(p, 1e-15, 1)), abs=1e-9)
    assert found["brier"] == pytest.approx(reference.brier_score_loss(y, p), abs=1e-12)


def test_regression_metrics_on_three_rows():
    found = metrics.evaluate("regression", np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 5.0]))
    assert found["rmse"] == pytest.approx((5 / 3) ** 0.5)
    assert found["mae"] == pytest.approx(1.0)
    assert found["bias"] == pytest.approx(1.0)


def test_a_certain_and_wrong_prediction_costs_much_but_not_infinity():
    assert 30 < metrics.log_loss(np.array([1.0]), np.array([0.0])) < 40


def test_auc_is_undefined_with_one_class_and_all_metrics_without_rows():
    assert np.isnan(metrics.auc(np.ones(3), np.array([0.1, 0.2, 0.3])))
    assert all(np.isnan(value) for value in metrics.evaluate("binary", np.empty(0), np.empty(0)).values())


def test_calibration_error_is_the_mean_distance_over_equal_count_bins():
    y = np.array([0.0, 0.0, 1.0, 1.0])
    p = np.array([0.1, 0.3, 0.6, 0.8])
    assert metrics.calibration_error(y, p, bins=2) == pytest.approx((0.2 + 0.3) / 2)
    table = metrics.calibration_table(y, p, bins=2)
    assert table.tolist() == [[pytest.approx(0.2), 0.0, 2.0], [pytest.approx(0.7), 1.0, 2.0]]


def test_a_bin_with_more_rows_weighs_more():
    y, p = np.array([0.0, 0.0, 1.0]), np.array([0.3, 0.3, 0.4])
    assert metrics.calibration_error(y, p, bins=2) == pytest.approx((2 * 0.3 + 0.6) / 3)


def test_calibration_bins_have_equal_counts_whatever_the_predictions(rows):
    assert set(metrics.calibration_table(*rows)[:, 2]) == {300.0}


def test_calibration_does_not_depend_on_the_order_of_rows_with_the_same_prediction():
    labels = (np.arange(1000) < 300).astype(float)  # as they come by time: a bad stretch first
    one, two = np.full(1000, 0.25), np.where(np.arange(1000) % 3, 0.2, 0.4)
    assert metrics.calibration_error(labels, one) == pytest.approx(0.05)
    shuffled = np.random.default_rng(0).permutation(1000)
    found = metrics.calibration_error(labels, two)
    assert found == pytest.approx(metrics.calibration_error(labels[shuffled], two[shuffled]))
    apart = [abs(p - labels[two == p].mean()) * (two == p).mean() for p in (0.2, 0.4)]
    assert found == pytest.approx(sum(apart), abs=0.01)


def test_groups_come_largest_first_and_small_ones_are_left_out():
    y = np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    p = np.array([0.1, 0.9, 0.2, 0.3, 0.6, 0.5])
    groups = np.array(["a", "b", "b", "b", None, None], object)
    found = metrics.by_group("binary", y, p, groups, min_rows=2)
    assert list(found) == ["b", "(missing)"]
    assert found["b"]["rows"] == 3
    assert found["b"]["auc"] == 1.0
    assert found["b"]["label_mean"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("metric", ["auc", "log_loss", "brier", "rmse", "mae", "bias"])
def test_a_resample_of_blocks_equals_the_metric_of_its_rows(rows, metric):
    y, p = rows
    blocks = np.arange(3000) % 7
    weights = np.array([[1, 1, 1, 1, 1, 1, 1], [2, 0, 1, 0, 3, 1, 0]], float)
    repeated = np.concatenate([np.flatnonzero(blocks == block) for block in (0, 0, 2, 4, 4, 4, 5)])
    direct = getattr(metrics, metric)
    found = metrics.block_metric(metric, y, p, blocks)(weights)
    assert found == pytest.approx([direct(y, p), direct(y[repeated], p[repeated])], abs=1e-12)


def test_calibration_of_blocks_is_that_of_all_rows_in_the_bins_of_all_rows(rows):
    y, p = rows  # with ties, some of them across the boundaries of bins
    blocks = np.arange(3000) % 7
    of = metrics.block_metric("calibration_error", y, p, blocks)
    assert of(np.ones((1, 7))) == pytest.approx([metrics.calibration_error(y, p)], abs=1e-12)
    assert of(np.full((1, 7), 3.0)) == pytest.approx([metrics.calibration_error(y, p)], abs=1e-12)
    constant = np.full(3000, 0.25)
    alone = metrics.block_metric("calibration_error", y, constant, blocks)(np.eye(7))
    assert alone == pytest.approx([abs(0.25 - y[blocks == block].mean()) for block in range(7)])


def test_a_floor_has_the_direction_of_its_metric():
    assert metrics.worse_than("auc", 0.59, 0.6)
    assert not metrics.worse_than("auc", 0.6, 0.6)
    assert metrics.worse_than("log_loss", 0.61, 0.6)
    assert not metrics.worse_than("rmse", 5.0, 6.0)


def test_undefined_values_are_not_kept():
    assert metrics.finite({"a": 1, "b": float("nan"), "c": float("inf")}) == {"a": 1.0}
