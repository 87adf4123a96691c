"""Drift of predictions and of reasons: against the days before, of the same version, and learned from days alone."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from contrail.config.model_spec import DriftSpec
from contrail.methods.drift_verdicts import verdicts
from contrail.methods.prediction_drift import QUANTILES, REASONS, SCORES, PredictedDay, moved, reach_days

FIRST = date(2024, 1, 1)
DRIFT = DriftSpec(raise_days=3, of_days=5, clear_days=1)


def days(seed: int, count: int = 160) -> dict[date, PredictedDay]:
    rng = np.random.default_rng(seed)
    found = {}
    for at in range(count):
        scores = 1 / (1 + np.exp(-rng.normal(-1 + rng.normal(0, 0.2), 0.7, 300)))
        reasons = dict(zip("abcde", rng.gamma(20, [5, 4, 3, 2, 1]).tolist(), strict=True))
        found[FIRST + timedelta(days=at)] = PredictedDay(
            "1", 300, tuple(np.quantile(scores, QUANTILES).tolist()), reasons
        )
    return found


def drifting(of: Mapping[date, PredictedDay], name: str) -> list[date]:
    unusual = [(day, {name} if one.unusual else set[str]()) for day, one in moved(of, name, DRIFT).items()]
    return [one.day for one in verdicts(unusual, DRIFT) if one.verdict == "drift"]


@pytest.mark.parametrize("name", [SCORES, REASONS])
def test_ordinary_days_seldom_drift(name: str) -> None:
    begins = 0
    for seed in range(10):
        found = drifting(days(seed), name)
        begins += sum(day - timedelta(days=1) not in found for day in found)
    assert begins / 10 <= 1, "of 160 days, some 110 are judged"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (SCORES, lambda one: replace(one, quantiles=tuple(min(1.0, q + 0.4) for q in one.quantiles))),
        (REASONS, lambda one: replace(one, reasons={**one.reasons, "a": 0.0, "new": 300.0})),
    ],
)
def test_a_large_change_is_raised_within_three_days(name: str, change) -> None:  # type: ignore[no-untyped-def]
    for seed in range(5):
        usual = days(seed)
        start = FIRST + timedelta(days=120)
        planted = {day: change(one) if day >= start else one for day, one in usual.items()}
        assert start + timedelta(days=2) in drifting(planted, name)
        other = REASONS if name == SCORES else SCORES
        assert moved(planted, other, DRIFT) == moved(usual, other, DRIFT)


def test_another_version_is_no_drift_and_is_judged_by_what_is_known() -> None:
    start = FIRST + timedelta(days=120)
    found = {
        day: one if day < start else replace(one, version="2", quantiles=tuple(q / 2 for q in one.quantiles))
        for day, one in days(1).items()
    }
    measured = moved(found, SCORES, DRIFT)
    assert start not in measured, "a version's first days have nothing to be compared with"
    assert start + timedelta(days=10) in measured
    assert not [day for day in drifting(found, SCORES) if day >= start]


def test_a_day_needs_days_before_it() -> None:
    assert moved({}, SCORES, DRIFT) == {}
    assert moved(days(0, 30), SCORES, DRIFT) == {}


@pytest.mark.parametrize("name", [SCORES, REASONS])
def test_what_lies_further_back_changes_no_bit(name: str) -> None:
    every = days(3)
    last = max(every)
    near = {day: one for day, one in every.items() if day >= last - timedelta(days=reach_days(DRIFT))}
    assert len(near) < len(every)
    recent = {day for day in near if day > last - timedelta(days=DRIFT.of_days)}
    whole, part = moved(every, name, DRIFT), moved(near, name, DRIFT)
    assert {day: whole[day] for day in recent} == {day: part[day] for day in recent}


def test_predictions_without_reasons_have_no_drift_of_reasons() -> None:
    found = {day: replace(one, reasons={}) for day, one in days(0).items()}
    assert moved(found, REASONS, DRIFT) == {}
    assert moved(found, SCORES, DRIFT)
