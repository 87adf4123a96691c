import numpy as np
import pytest
from tests.unit.methods.test_gates import made_evidence

from contrail.methods import metrics
from contrail.methods.intervals import FEWEST_DAYS, day_intervals


def test_every_metric_of_a_task_has_its_value_and_an_interval_around_it():
    evidence = made_evidence()
    found = day_intervals("binary", evidence.labels, evidence.challenger, evidence.days)
    values = metrics.evaluate("binary", evidence.labels, evidence.challenger)
    assert {name: interval.estimate for name, interval in found.items()} == pytest.approx(values)
    assert all(interval.low < interval.high for interval in found.values())
    assert found["auc"].low < found["auc"].estimate < found["auc"].high


def test_a_regression_has_intervals_too():
    labels = np.random.default_rng(0).normal(size=2000)
    found = day_intervals("regression", labels, labels * 0.5 + 0.1, np.repeat(np.arange(20), 100))
    values = metrics.evaluate("regression", labels, labels * 0.5 + 0.1)
    assert {name: interval.estimate for name, interval in found.items()} == pytest.approx(values)


def test_the_interval_is_that_of_whole_days_and_the_same_each_time():
    days, rows = 40, 50
    rng = np.random.default_rng(1)
    of_day = np.repeat(rng.uniform(0.1, 0.9, days), rows)
    labels = (rng.random(days * rows) < of_day).astype(float)
    day, half = np.repeat(np.arange(days), rows), np.full(days * rows, 0.5)
    found = day_intervals("binary", labels, half + (labels - 0.5) * 1e-9, day)["calibration_error"]
    assert found == day_intervals("binary", labels, half + (labels - 0.5) * 1e-9, day)["calibration_error"]
    brier = day_intervals("binary", labels, np.full(len(labels), 0.3), day)["brier"]
    by_day = np.square(0.3 - labels).reshape(days, rows).mean(axis=1)
    assert brier.high - brier.low == pytest.approx(2 * 1.96 * by_day.std(ddof=1) / days**0.5, rel=0.25)


def test_too_few_days_have_no_interval():
    few = made_evidence(days=FEWEST_DAYS - 1)
    assert day_intervals("binary", few.labels, few.challenger, few.days) == {}


def test_an_undefined_metric_has_no_interval():
    labels, days = np.zeros(100), np.repeat(np.arange(10), 10)
    found = day_intervals("binary", labels, np.linspace(0.1, 0.9, 100), days)
    assert "auc" not in found
    assert "log_loss" in found
