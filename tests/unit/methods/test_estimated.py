"""Estimates before labels: what probabilities promise, and intervals that hold as often as they say."""

import numpy as np
import pytest

from contrail.config.model_spec import CostSpec
from contrail.methods.decisions import COST
from contrail.methods.estimated import DAYS, LEAST_DAYS, LEVEL, Estimate, Expected, ExpectedSums, Known, estimate
from contrail.methods.metrics import auc, brier, log_loss

RNG = np.random.default_rng(7)


def expected(p: np.ndarray, costs: CostSpec | None = None, flagged: np.ndarray | None = None) -> dict[str, Expected]:
    sums = ExpectedSums("binary", 1, costs)
    order = np.argsort(p, kind="stable")
    sums.add(np.zeros(len(p), np.int64), p[order], None if flagged is None else flagged[order])
    return sums.of_day(0)


@pytest.mark.parametrize("spread", [0.3, 1.5])
def test_labels_that_come_true_as_promised_have_the_expected_quality_and_spread(spread: float) -> None:
    p = 1 / (1 + np.exp(-RNG.normal(-1, spread, 400)))
    p[:40] = p[40:80]  # ties
    found = expected(p)
    draws = [(RNG.random(len(p)) < p).astype(float) for _ in range(1500)]
    metrics = {"label_mean": lambda y, _: float(y.mean()), "log_loss": log_loss, "brier": brier, "auc": auc}
    for name, metric in metrics.items():
        values = np.array([metric(y, p) for y in draws])
        error = values.std() / np.sqrt(len(values))
        assert found[name].value == pytest.approx(values.mean(), abs=4 * error), name
        assert found[name].scale == pytest.approx(values.std(), rel=0.2), name


def test_expected_costs_are_those_of_the_decisions() -> None:
    costs = CostSpec(false_alarm=1, miss=4)
    p = RNG.random(200)
    flagged = (p >= costs.ratio).astype(float)
    draws = [(RNG.random(len(p)) < p).astype(float) for _ in range(2000)]
    values = np.array([np.where(flagged == 1, (1 - y) * 1, y * 4).mean() for y in draws])
    found = expected(p, costs, flagged)[COST]
    assert found.value == pytest.approx(values.mean(), abs=4 * values.std() / np.sqrt(2000))
    assert found.scale == pytest.approx(values.std(), rel=0.1)


def test_batches_change_no_bit() -> None:
    p, days = np.sort(RNG.random(1000)), RNG.integers(0, 3, 1000)
    whole, parts = ExpectedSums("binary", 3), ExpectedSums("binary", 3)
    whole.add(days, p)
    for first in range(0, 1000, 77):
        parts.add(days[first : first + 77], p[first : first + 77])
    assert [whole.of_day(day) for day in range(3)] == [parts.of_day(day) for day in range(3)]


@pytest.mark.parametrize("p", [[], [0.0, 0.0], [1.0], [0.3], [np.nan, 0.2]])
def test_odd_days_have_no_auc_and_no_metric_that_is_not_a_number(p: list[float]) -> None:
    found = expected(np.array(p))
    assert "auc" not in found
    assert all(np.isfinite([one.value, one.scale]).all() for one in found.values())


def test_a_regression_promises_no_error() -> None:
    sums = ExpectedSums("regression", 2)
    sums.add(np.array([0, 0, 1]), np.array([3.0, 4.0, 0.0]))
    assert sums.of_day(0)["rmse"] == Expected(0.0, np.sqrt(12.5))
    assert sums.of_day(0)["label_mean"].value == 3.5
    known = [Known(Expected(0.0, 9.0), 1.0)] * DAYS
    assert estimate("regression", "rmse", sums.of_day(1)["rmse"], known).value is None, "errors of nothing have no unit"


def day(effect: float, rows: int) -> Known:
    p = 0.2
    rate = 1 / (1 + np.exp(-(np.log(p / (1 - p)) + effect)))
    noise = float(np.sqrt(p * (1 - p) / rows))
    return Known(Expected(p, noise), float(RNG.binomial(rows, rate) / rows))


@pytest.mark.parametrize("sd", [0.0, 0.8])
def test_the_interval_holds_as_often_as_it_says_whether_days_have_effects_or_not(sd: float) -> None:
    inside, tries = 0, 2000
    for _ in range(tries):
        rows = RNG.integers(50, 1500, DAYS + 1)
        *known, last = (day(effect, int(n)) for effect, n in zip(RNG.normal(0, sd, DAYS + 1), rows, strict=True))
        found = estimate("binary", "label_mean", last.expected, known)
        assert found.low is not None and found.high is not None
        inside += found.low <= last.found <= found.high
    assert inside / tries == pytest.approx(LEVEL, abs=0.03)


def test_a_model_that_promises_too_little_is_moved_up() -> None:
    known = [Known(Expected(0.2, 0.01), 0.3 + RNG.normal(0, 0.02)) for _ in range(DAYS)]
    found = estimate("binary", "label_mean", Expected(0.2, 0.01), known)
    assert found.value == pytest.approx(0.3, abs=0.02)
    assert found.low is not None and found.low > 0.2


def test_errors_of_a_regression_grow_with_its_predictions() -> None:
    known = [Known(Expected(0.0, scale), 0.2 * scale) for scale in RNG.uniform(10, 1000, DAYS)]
    found = estimate("regression", "rmse", Expected(0.0, 500.0), known)
    assert found.value == pytest.approx(100)


def test_without_enough_days_there_is_no_interval() -> None:
    known = [Known(Expected(0.2, 0.01), 0.2)] * (LEAST_DAYS - 1)
    assert estimate("binary", "auc", Expected(0.7, 0.1), known) == Estimate(0.7, None, None, LEAST_DAYS - 1)
    assert estimate("regression", "rmse", Expected(0.0, 9.0), []) == Estimate(None, None, None, 0)


def test_days_of_one_class_have_no_auc_and_do_not_count() -> None:
    known = [*[Known(Expected(0.7, 0.05), float("nan"))] * 30, *[Known(Expected(0.7, 0.05), 0.7)] * 5]
    assert estimate("binary", "auc", Expected(0.7, 0.05), known).days == 5


def test_an_end_stays_what_the_metric_can_be() -> None:
    known = [Known(Expected(0.05, 0.01), float(value)) for value in RNG.uniform(0, 0.6, DAYS)]
    found = estimate("binary", "label_mean", Expected(0.01, 0.01), known)
    assert found.low == 0.0


def test_a_missing_decision_leaves_no_expected_cost() -> None:
    p, flagged = np.linspace(0.1, 0.9, 9), np.ones(9)
    flagged[4] = np.nan
    found = expected(p, CostSpec(false_alarm=1, miss=4), flagged)
    assert COST not in found and "log_loss" in found
