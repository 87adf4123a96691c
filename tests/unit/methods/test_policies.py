from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contrail.config.model_spec import GateSpec
from contrail.methods.checks import passed
from contrail.methods.policies import Gains, champion_checks, weighing

GATE = GateSpec()
POLICIES: tuple[Mapping[str, Any], ...] = (
    {"policy": "superior"},
    {"policy": "not_worse"},
    {"policy": "not_worse", "min_improvement": -0.003},
    {"policy": "expected"},
)
SKILL = 0.06  # what flight_delay improves on the training mean by, in nats


def resampled(estimate: float, error: float, skill: float = SKILL) -> Gains:
    """Gains whose resamples spread around the estimate by a standard error."""
    return Gains(np.append(estimate, np.random.default_rng(0).normal(estimate, error, 1000)), skill)


def wins(gains: Gains, **changes: Any) -> bool:
    return passed(champion_checks(gains, GATE.model_copy(update=changes)))


def test_a_fresher_model_that_is_a_little_better_in_expectation_wins_by_default():
    fresher = resampled(0.001, 0.004)
    assert GATE.policy == "expected"
    assert wins(fresher)
    assert not wins(fresher, policy="superior"), "97.5 % confidence would take twelve times the days"


def test_a_model_that_is_worse_in_expectation_does_not_win_by_default():
    worse = resampled(-0.001, 0.004)
    assert not wins(worse)
    assert not wins(worse, max_regret_share=0.99), "no bound on regret makes it better"


def test_a_model_that_is_better_in_expectation_does_not_win_where_much_is_to_be_regretted():
    gamble = resampled(0.001, 0.02)
    checks = {check.name: check for check in champion_checks(gamble, GATE)}
    assert checks["beats_champion"].passed
    regret = checks["regret_beside_champion"]
    assert (regret.passed, regret.bound) == (False, pytest.approx(0.05 * SKILL))
    # The mean of the negative part of a normal variable, by the textbook's formula.
    assert regret.value == pytest.approx(0.02 * 0.399 - 0.001 / 2, rel=0.1)
    assert wins(gamble, max_regret_share=0.2)


def test_a_margin_is_a_share_of_the_skill_or_a_number_in_units_of_the_metric():
    lower_end = resampled(0.0, 0.002)
    assert wins(lower_end, policy="not_worse")
    assert not wins(lower_end, policy="not_worse", margin_share=0.05)
    assert wins(lower_end, policy="not_worse", min_improvement=-0.005)
    assert not wins(lower_end, policy="not_worse", min_improvement=-0.003)


def test_a_model_without_skill_gets_no_margin_and_no_regret():
    useless = resampled(0.001, 0.004, skill=-0.01)
    assert [check.bound for check in champion_checks(useless, GATE)] == [0.0, 0.0]
    assert not wins(useless)
    assert not wins(resampled(-0.001, 0.0001, skill=-0.01), policy="not_worse")


@pytest.mark.parametrize("changes", POLICIES, ids=str)
def test_the_same_predictions_win_under_every_policy(changes):
    assert wins(Gains(np.zeros(101), SKILL), **changes)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(POLICIES),
    st.lists(st.floats(-0.05, 0.05), min_size=101, max_size=101),
    st.lists(st.floats(0, 0.02), min_size=101, max_size=101),
    st.floats(-0.05, 0.1),
)
def test_a_better_challenger_never_loses_a_pass(changes, values, more, skill):
    """It gains more over the champion on every resample, and improves more on the training mean."""
    gains = Gains(np.array(values), skill)
    better = Gains(gains.values + np.array(more), skill + more[0])
    assert wins(better, **changes) or not wins(gains, **changes)


@settings(max_examples=50, deadline=None)
@given(st.floats(-0.05, 0.05), st.floats(0.0001, 0.05), st.floats(0.01, 0.1), st.floats(10, 1e4))
def test_the_unit_of_the_metric_does_not_matter(estimate, error, skill, unit):
    gains = resampled(estimate, error, skill)
    scaled = Gains(gains.values * unit, skill * unit)
    for changes in POLICIES[:2] + POLICIES[3:]:
        assert wins(gains, **changes) == wins(scaled, **changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"policy": "expected"},
            "Policy expected: it weighs an expected gain of 0.001 in log loss (at least 0) against an expected regret of "
            "0.00117 (at most 0.003), and agrees.",
        ),
        (
            {"policy": "superior"},
            "Policy superior: it weighs the lower end of the gain in log loss, -0.00662 at 95% confidence (estimate 0.001), "
            "against 0, and refuses.",
        ),
        (
            {"policy": "not_worse"},
            "Policy not_worse: it weighs the lower end of the gain in log loss, -0.00662 at 95% confidence (estimate 0.001), "
            "against -0.006, and refuses.",
        ),
    ],
)
def test_one_sentence_says_what_was_weighed(changes, sentence):
    gate = GATE.model_copy(update=changes)
    assert weighing(champion_checks(resampled(0.001, 0.004), gate), gate) == sentence


def test_a_loss_is_called_a_loss():
    said = weighing(champion_checks(resampled(-0.0113, 0.001), GATE), GATE)
    assert "it weighs an expected loss of 0.0113 in log loss (where a gain of 0 is asked for) against" in said


def test_small_numbers_have_no_exponent():
    assert "an expected regret of 0.0000117 (at most 0.003)" in weighing(
        champion_checks(resampled(1e-5, 4e-5), GATE), GATE
    )


def test_a_refusal_for_its_regret_is_said():
    assert weighing(champion_checks(resampled(0.001, 0.02), GATE), GATE).endswith(", and refuses.")
