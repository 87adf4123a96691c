from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest

from contrail.config.model_spec import DriftSpec
from contrail.errors import DataError
from contrail.methods.label_drift import (
    LabelReference,
    ResidualSums,
    build_label_reference,
    day_residuals,
    label_statistic,
    parts_of,
)

START = date(2024, 1, 1)
DRIFT = DriftSpec()
SPREAD = 0.1
TRAINED = 240
Residuals = dict[date, float]


def stationary(days: int, seed: int, first: date = START) -> Residuals:
    values = np.random.default_rng(seed).normal(scale=SPREAD, size=days)
    return {first + timedelta(days=i): float(value) for i, value in enumerate(values)}


def raised(residuals: Residuals, reference: LabelReference) -> list[bool]:
    values = [label_statistic(residuals, day, reference) for day in sorted(residuals)]
    return [value is not None and value > reference.threshold for value in values]


@pytest.fixture(scope="module")
def reference() -> LabelReference:
    return build_label_reference(stationary(TRAINED, 0), DRIFT)


def test_false_alarms_on_stationary_days_are_less_than_one_a_quarter() -> None:
    """Twenty windows, ten quarters after each; an alarm is a day with drift after one without."""
    begins, days = 0, 0
    for seed in range(20):
        trained = build_label_reference(stationary(TRAINED, seed), DRIFT)
        found = raised(stationary(920, 1000 + seed), trained)
        begins += sum(now and not before for before, now in pairwise(found))
        days += sum(found)
    assert begins / 200 < 1
    assert 0.004 < days / (20 * 920) < 0.02, "the set rate is 0.01 of the days"


def test_the_set_rate_is_what_sets_the_threshold() -> None:
    often = build_label_reference(stationary(TRAINED, 0), DriftSpec(label_false_alarm_rate=0.2))
    assert 0.12 < np.mean(raised(stationary(920, 1), often)) < 0.28


@pytest.mark.parametrize("sign", [1, -1])
def test_a_shift_of_a_few_spreads_is_raised_within_three_days(reference: LabelReference, sign: int) -> None:
    in_time = {1: 0, 3: 0, 5: 0}
    for size in in_time:
        for seed in range(100):
            days = stationary(13, 100 + seed)
            shifted = {day: r + sign * size * SPREAD * (i >= 10) for i, (day, r) in enumerate(days.items())}
            in_time[size] += any(raised(shifted, reference)[10:])
    assert in_time[1] < 50
    assert in_time[3] > 80
    assert in_time[5] == 100


def test_one_strange_day_alone_is_not_drift_however_strange(reference: LabelReference) -> None:
    quiet = dict.fromkeys(stationary(9, 0), reference.centre)
    for size in (0.5, 1e9, -1e9):
        assert not any(raised(quiet | {START + timedelta(days=4): size}, reference))
    strange = {START + timedelta(days=i): 0.5 for i in (3, 4, 5)}
    assert raised(quiet | strange, reference).index(True) in (4, 5)


def test_a_day_depends_on_the_few_days_before_it_only(reference: LabelReference) -> None:
    days = stationary(60, 7)
    for day in list(days)[10:]:
        near = {d: r for d, r in days.items() if day - timedelta(days=DRIFT.of_days - 1) <= d <= day}
        assert label_statistic(near, day, reference) == label_statistic(days, day, reference) is not None


@pytest.mark.parametrize(
    ("missing", "measured"),
    [((), True), ((1,), True), ((1, 2), True), ((1, 2, 3), False), ((0,), False), ((5, 6), True)],
)
def test_days_without_labels_are_passed_over_up_to_a_limit(
    reference: LabelReference, missing: tuple[int, ...], measured: bool
) -> None:
    day = START + timedelta(days=8)
    days = {d: r for d, r in stationary(9, 3).items() if (day - d).days not in missing}
    assert (label_statistic(days, day, reference) is not None) is measured


def test_the_statistic_is_the_distance_of_the_held_mean_from_the_usual() -> None:
    made = LabelReference(run_days=3, of_days=5, low=-1.0, high=2.0, centre=0.5, threshold=1.0, days=9)
    days = {START + timedelta(days=i): value for i, value in enumerate([9.0, 0.0, -7.0, 4.0])}
    assert label_statistic(days, START + timedelta(days=3), made) == pytest.approx(abs((0 - 1 + 2) / 3 - 0.5))
    assert label_statistic(days, START + timedelta(days=2), made) == pytest.approx(abs((2 + 0 - 1) / 3 - 0.5))


def test_the_unit_of_the_label_does_not_matter(reference: LabelReference) -> None:
    """Rides an hour or a share of late flights: a regression is measured as a binary task is."""
    in_thousands = build_label_reference({d: 1000 * r for d, r in stationary(TRAINED, 0).items()}, DRIFT)
    days = stationary(300, 5)
    assert raised({d: 1000 * r for d, r in days.items()}, in_thousands) == raised(days, reference)


def test_the_reference_is_plain_json(reference: LabelReference) -> None:
    assert LabelReference.model_validate_json(reference.model_dump_json()) == reference
    assert reference.days == TRAINED
    assert reference.low < reference.centre < reference.high


def test_a_window_of_a_few_labelled_days_is_refused() -> None:
    build_label_reference(stationary(7, 0), DRIFT)
    with pytest.raises(DataError, match="needs 7 labelled days or more; the training window has 6"):
        build_label_reference(stationary(6, 0), DRIFT)


def test_residuals_are_means_by_day() -> None:
    days = np.array(["2024-01-02", "2024-01-01", "2024-01-02"], dtype="datetime64[D]")
    found = day_residuals(days, np.array([1.0, 0.0, 0.0]), np.array([0.25, 0.5, 0.25]))
    assert found == {date(2024, 1, 1): -0.5, date(2024, 1, 2): 0.25}


def test_parts_are_of_whole_consecutive_days() -> None:
    days = np.repeat(np.arange("2024-01-01", "2024-01-08", dtype="datetime64[D]"), 3)
    assert parts_of(days).tolist() == [0] * 9 + [1] * 6 + [2] * 6
    assert parts_of(days[::-1]).tolist() == [2] * 6 + [1] * 6 + [0] * 9


def test_sums_of_residuals_have_the_same_bits_in_any_batches() -> None:
    rng = np.random.default_rng(0)
    days = np.repeat(np.array(["2024-01-01", "2024-01-02", "2024-01-03"], "datetime64[D]"), 100)
    labels, predictions = rng.integers(0, 2, 300).astype(float), rng.random(300)
    whole = ResidualSums()
    whole.add(days, labels, predictions)
    parts = ResidualSums()
    for start in range(0, 300, 7):
        own = slice(start, start + 7)
        parts.add(days[own], labels[own], predictions[own])
    assert (parts.rows, parts.sums) == (whole.rows, whole.sums)
    assert set(parts.rows.values()) == {100}
