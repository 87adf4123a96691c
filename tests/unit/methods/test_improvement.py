import time

import numpy as np
import pytest
from tests.unit.methods.test_gates import GATE, made_evidence

from contrail.config.model_spec import GateSpec
from contrail.methods import metrics
from contrail.methods.improvement import Pair, paired_improvement, pooled
from contrail.methods.intervals import Interval


def improvement_of(rows: tuple[np.ndarray, ...], gate: GateSpec) -> Interval:
    """The improvement on rows with labels, days, and the predictions of both models."""
    labels, days, *models = rows
    known, blocks = np.unique(days, return_inverse=True)
    return paired_improvement(
        Pair(len(known), *(metrics.block_metric(gate.metric, labels, p, blocks) for p in models)), gate
    )


@pytest.mark.parametrize("metric", ["auc", "log_loss", "rmse", "mae"])
def test_an_improvement_is_positive_when_the_challenger_is_better_in_any_metric(metric):
    evidence = made_evidence()
    gate = GATE.model_copy(update={"metric": metric})
    noise = np.clip(evidence.challenger * 0.5 + 0.25 * evidence.champion, 0.01, 0.99)
    worse = noise[::-1]
    found = improvement_of((evidence.labels, evidence.days, evidence.challenger, worse), gate)
    assert found.low > 0
    direct = getattr(metrics, metric)
    sign = 1 if metric == "auc" else -1
    expected = sign * (direct(evidence.labels, evidence.challenger) - direct(evidence.labels, worse))
    assert found.estimate == pytest.approx(expected)


def test_the_interval_is_that_of_days_and_the_same_each_time():
    evidence = made_evidence(days=40, rows=50)
    pair = (evidence.labels, evidence.days, evidence.challenger, evidence.champion)
    found = improvement_of(pair, GATE)
    assert found == improvement_of(pair, GATE)
    losses = metrics.log_losses(evidence.labels, evidence.champion) - metrics.log_losses(
        evidence.labels, evidence.challenger
    )
    by_day = losses.reshape(40, 50).mean(axis=1)
    half = 1.96 * by_day.std(ddof=1) / 40**0.5
    assert found.high - found.low == pytest.approx(2 * half, rel=0.25)


def test_a_day_effect_makes_the_interval_wider_than_independent_rows_would():
    rng = np.random.default_rng(1)
    labels = np.repeat(rng.normal(0, 5, 20), 100) + rng.normal(0, 0.1, 2000)
    day = np.repeat(np.arange(20), 100)
    gate = GATE.model_copy(update={"metric": "rmse"})
    models = (labels.mean() * 0 + labels * 0.5, np.zeros(2000))
    of_days = improvement_of((labels, day, *models), gate)
    of_rows = improvement_of((labels, np.arange(2000), *models), gate)
    assert of_days.high - of_days.low > 2 * (of_rows.high - of_rows.low)


@pytest.mark.parametrize("metric", ["log_loss", "auc"])
def test_a_thousand_resamples_of_a_month_take_well_under_two_seconds(metric):
    evidence = made_evidence(days=28, rows=965)
    gate = GATE.model_copy(update={"metric": metric, "bootstrap_samples": 1000})
    started = time.monotonic()
    improvement_of((evidence.labels, evidence.days, evidence.challenger, evidence.champion), gate)
    assert time.monotonic() - started < 2


def test_days_are_pooled_as_their_rows_would_be():
    rng = np.random.default_rng(1)
    labels, predictions = rng.normal(size=30), rng.normal(size=30)
    parts = [slice(0, 10), slice(10, 30)]
    for name, metric in (("rmse", metrics.rmse), ("mae", metrics.mae)):
        values = [metric(labels[part], predictions[part]) for part in parts]
        assert pooled(name, values, [10, 20]) == pytest.approx(metric(labels, predictions))
