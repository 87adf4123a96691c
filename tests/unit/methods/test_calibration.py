from datetime import date

import numpy as np
import pytest
from tests.unit.methods.test_gates import made_evidence

from contrail.methods.calibration import by_month, by_stretch, spread, worst

DAYS = np.repeat(np.arange(np.datetime64("2024-01-22"), np.datetime64("2024-03-04")), 100)


def test_months_are_measured_apart_and_the_worst_is_named():
    rng = np.random.default_rng(0)
    predictions = rng.uniform(0.1, 0.4, len(DAYS))
    february = (np.datetime64("2024-02-01") <= DAYS) & (np.datetime64("2024-03-01") > DAYS)
    labels = (rng.random(len(DAYS)) < predictions + 0.2 * february).astype(float)
    months = by_month("binary", labels, predictions, DAYS)
    assert [(m.start, m.end, m.days) for m in months] == [
        (date(2024, 1, 22), date(2024, 1, 31), 10),
        (date(2024, 2, 1), date(2024, 2, 29), 29),
        (date(2024, 3, 1), date(2024, 3, 3), 3),
    ]
    bad = worst(months)
    assert bad is months[1]
    assert bad.calibration_error == pytest.approx(0.2, abs=0.02)
    assert bad.label_mean - bad.prediction_mean == pytest.approx(0.2, abs=0.02)
    assert bad.interval.low > 0.15
    assert months[2].interval is None, "three days prove nothing"
    assert sum(month.rows for month in months) == len(DAYS)


@pytest.mark.parametrize(
    ("length", "lengths"), [(14, [14, 14, 14]), (21, [21, 21]), (30, [42]), (100, [42]), (1, [1] * 42)]
)
def test_stretches_are_about_as_long_as_asked(length, lengths):
    found = by_stretch("binary", np.zeros(len(DAYS)), np.full(len(DAYS), 0.1), DAYS, length)
    assert [stretch.days for stretch in found] == lengths


def test_without_rows_there_is_no_period():
    none = np.empty(0)
    assert worst(by_month("binary", none, none, none.astype("datetime64[D]"))) is None
    assert by_stretch("binary", none, none, none.astype("datetime64[D]"), 7) == ()


def test_a_constant_tells_nothing_apart_and_a_better_model_more():
    evidence = made_evidence()
    constant, half, whole = (
        spread(evidence.labels, p) for p in (evidence.constant, evidence.rate_table, evidence.challenger)
    )
    assert constant == pytest.approx(0, abs=1e-12)
    assert half == pytest.approx(whole), "the same order tells rows apart as far"
    shuffled = np.random.default_rng(0).permutation(evidence.challenger)
    assert spread(evidence.labels, shuffled) < whole / 4
