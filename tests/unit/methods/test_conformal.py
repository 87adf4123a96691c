"""Intervals hold the share of labels that they promise, where errors are large and where they are small."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from contrail.methods.conformal import IntervalRule, interval_rule

LABELS = arrays(np.float64, st.integers(1, 120), elements=st.floats(-1e6, 1e6))


def noisy(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels whose noise grows with their level, and the best predictions of them. The noise has a heavy tail."""
    rng = np.random.default_rng(seed)
    level = rng.uniform(10, 500, rows)
    return level + 0.2 * level * rng.standard_t(5, rows), level


def inside(rule: IntervalRule, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    lower, upper = rule.around(predictions)
    return (lower <= labels) & (labels <= upper)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.9, 0.99])
def test_the_promised_share_of_new_labels_lies_within_at_every_level(share):
    rule = interval_rule(share, *noisy(20_000, 0))
    labels, predictions = noisy(20_000, 1)
    found = inside(rule, labels, predictions)
    assert found.mean() == pytest.approx(share, abs=0.01)
    for low, high in ((10, 100), (100, 300), (300, 500)):
        assert found[(predictions >= low) & (predictions < high)].mean() == pytest.approx(share, abs=0.06)


def test_small_predictions_have_narrower_intervals():
    rule = interval_rule(0.9, *noisy(20_000, 0))
    lower, upper = rule.around(np.array([40.0, 400.0]))
    assert np.diff(upper - lower) > 5 * (upper - lower)[0]


@given(LABELS, st.floats(0.5, 0.99))
def test_at_least_the_share_of_the_rows_themselves_lies_within(labels, share):
    predictions = np.round(labels / 3)
    rule = interval_rule(share, labels, predictions)
    lower, upper = rule.around(predictions)
    assert (lower <= predictions).all()
    assert (predictions <= upper).all()
    slack = 1e-9 * (1 + np.abs(labels))
    held = (lower - slack <= labels) & (labels <= upper + slack)
    assert held.sum() >= min(len(labels), np.ceil(share * (len(labels) + 1))) - 1e-9
    assert IntervalRule.model_validate_json(rule.model_dump_json()) == rule


def test_what_is_never_negative_has_no_negative_end():
    labels, predictions = noisy(5_000, 0)
    assert interval_rule(0.99, np.maximum(labels, 0), predictions).around(np.array([12.0]))[0] == [0]
    assert interval_rule(0.99, labels - 100, predictions).around(np.array([12.0]))[0] < 0
    exact = interval_rule(0.9, predictions, predictions)
    assert np.concatenate(exact.around(predictions)) == pytest.approx(np.tile(predictions, 2))
