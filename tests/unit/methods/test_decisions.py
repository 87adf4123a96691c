"""Thresholds from costs: none is cheaper on the rows, and rows in any batches give the same one."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrail.config.model_spec import CostSpec
from contrail.methods.decisions import CostCurve, Deciding

AMOUNTS = st.floats(1e-3, 1e6)
SCORES = st.sampled_from([0.0, 0.05, 0.2, 0.25, 0.5, 0.75, 0.9, 1.0]) | st.floats(0, 1)
ROWS = st.lists(st.tuples(SCORES, st.booleans()), max_size=40)


def cheapest(costs: CostSpec, rows: list[tuple[float, bool]], cuts: list[int] | None = None) -> float:
    rows, curve = sorted(rows), CostCurve(costs)
    for start, end in pairwise([0, *sorted(cuts or []), len(rows)]):
        part = rows[start:end]
        curve.add(np.array([label for _, label in part], float), np.array([score for score, _ in part], float))
    return curve.cheapest()


def total(costs: CostSpec, rows: list[tuple[float, bool]], threshold: float) -> float:
    scores, labels = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], float)
    return float(Deciding(costs, threshold).losses(labels, scores).sum())


@given(AMOUNTS, AMOUNTS, ROWS)
def test_no_other_threshold_costs_less_on_the_rows(false_alarm, miss, rows):
    costs = CostSpec(false_alarm=false_alarm, miss=miss)
    found = cheapest(costs, rows)
    assert 0 <= found <= 1
    others = {0.0, 1.0, costs.ratio, *(score for score, _ in rows), *(np.nextafter(score, 2) for score, _ in rows)}
    least = min((total(costs, rows, other) for other in others if other <= 1), default=0)
    assert total(costs, rows, found) <= least + 1e-9 * (false_alarm + miss) * (len(rows) + 1)


@given(ROWS, st.lists(st.integers(0, 40), max_size=5))
def test_the_batches_of_the_rows_do_not_matter(rows, cuts):
    costs = CostSpec(false_alarm=1, miss=3)
    assert cheapest(costs, rows, [cut for cut in cuts if cut <= len(rows)]) == cheapest(costs, rows)


def test_of_thresholds_that_cost_the_same_the_nearest_to_the_ratio_counts():
    costs = CostSpec(false_alarm=1, miss=3)
    rows = [(0.1, False), (0.2, False), (0.6, True), (0.7, True)]
    assert cheapest(costs, rows) == costs.ratio == 0.25
    assert cheapest(costs, [(0.3, False), (0.6, True)]) == np.nextafter(0.3, 1)
    assert cheapest(costs, [(0.1, True), (0.2, True)]) == 0.1, "every row must be flagged"
    assert cheapest(costs, [(0.0, True), (0.2, True)]) == 0.0, "also one that is certain to be false"
    assert cheapest(costs, [(0.4, False), (0.9, False)]) == np.nextafter(0.9, 1), "none must be flagged"
    assert cheapest(costs, []) == 0.25


def test_calibrated_probabilities_cost_least_near_the_ratio_of_the_costs():
    rng = np.random.default_rng(0)
    p = rng.random(200_000)
    rows = list(zip(p.tolist(), (rng.random(len(p)) < p).tolist(), strict=True))
    assert cheapest(CostSpec(false_alarm=1.8, miss=4), rows) == pytest.approx(1.8 / 5.8, abs=0.05)
