from dataclasses import replace

import numpy as np
from tests.judged import model_sums
from tests.unit.methods.test_gates import GATE, made_evidence

from contrail.config.model_spec import CostSpec
from contrail.methods.cost_checks import cost_checks
from contrail.methods.decisions import Deciding
from contrail.methods.gates import DEARER, judge, worth_shadowing

COSTS = CostSpec(false_alarm=1, miss=4, unit="EUR")


def checks_of(own: float, theirs: float) -> list:
    """The checks of challenger and champion with the same predictions, each at a threshold of its own."""
    rows = made_evidence()
    usable = replace(rows, champion=rows.challenger).evidence()

    def sums(predictions: np.ndarray, threshold: float):
        return model_sums("binary", rows.days, rows.labels, predictions, deciding=Deciding(COSTS, threshold))

    evidence = replace(
        usable,
        challenger=sums(rows.challenger, own),
        champion=sums(rows.challenger, theirs),
        constant=sums(rows.constant, COSTS.ratio),
    )
    checks = judge(usable, GATE)
    return [*checks, *cost_checks(evidence, GATE, COSTS, checks)]


def test_only_a_candidate_that_is_surely_dearer_is_refused():
    found = {check.name: check for check in checks_of(own=0.95, theirs=0.2)}
    assert found[DEARER].passed is False
    assert found[DEARER].value == found[DEARER].interval.high < 0
    assert found["cost_beside_constant"].passed is False, "flagging every row would cost less"
    assert "a row costs 1.0845 EUR beside 0.727 EUR" in found["cost_beside_constant"].detail
    same = {check.name: check for check in checks_of(own=0.2, theirs=0.2)}
    assert same[DEARER].passed
    assert same["cost_beside_constant"].passed
    better = {check.name: check for check in checks_of(own=0.2, theirs=0.95)}
    assert better[DEARER].interval.low > 0


def test_a_candidate_that_is_only_dearer_may_be_watched_in_shadow():
    checks = [check for check in checks_of(own=0.95, theirs=0.2) if check.name != "cost_beside_constant"]
    assert worth_shadowing([c.model_copy(update={"passed": c.passed if c.name == DEARER else True}) for c in checks])


def test_without_costs_or_enough_rows_nothing_is_compared():
    evidence = made_evidence().evidence()
    checks = judge(evidence, GATE)
    assert cost_checks(evidence, GATE, None, checks) == []
    few = GATE.model_copy(update={"min_rows": 10**6})
    assert cost_checks(evidence, few, COSTS, judge(evidence, few)) == []
