import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.unit.methods.made_days import LABEL, LATER, START, TRAINED, features, measured, one_feature

from contrail.config.spec import PipelineSpec
from contrail.errors import DataError
from contrail.methods import drift_reference
from contrail.methods.drift_reference import DriftReference, build_reference, exceedances
from contrail.methods.label_drift import build_label_reference


def test_days_without_a_full_history_are_left_out(spec: PipelineSpec, reference: DriftReference) -> None:
    assert (spec.first_partition, spec.features.lookback_days) == (START, 7)
    assert (reference.first_day, reference.days) == (date(2024, 1, 8), TRAINED - 7)
    short = build_reference(features(START, 10), spec, LABEL)
    assert (short.first_day, short.days) == (START, 10), "too few others"


def test_weekdays_are_not_told_apart_when_the_window_lacks_one(spec: PipelineSpec) -> None:
    """A threshold learned from other weekdays would say nothing about the one that is missing."""
    window = features(START + timedelta(days=7), 120)
    weekday = np.array([day.weekday() for day in window.column("partition_date").to_pylist()])
    without_fridays = build_reference(window.filter(pa.array(weekday != 4)), spec, LABEL)
    assert {column.by_weekday for column in without_fridays.features.values()} == {None}
    friday = START + timedelta(days=130)
    assert friday.weekday() == 4
    assert measured(features(friday, 1), without_fridays).unusual_days == [False]


def test_the_threshold_of_a_day_holds_for_days_that_it_was_not_learned_from() -> None:
    """Thirty features with long tails; judged by their own thresholds the window's days would promise too much."""
    rates = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        window, later = rng.lognormal(size=(200, 30)) / 10, rng.lognormal(size=(500, 30)) / 10
        exceeded = exceedances(later, *drift_reference._usual(window, 0.01))
        rates.append((exceeded.max(axis=1) > drift_reference._day_threshold(window, 0.01)).mean())
    assert 0.003 < np.mean(rates) < 0.014


def test_integers_and_nulls_are_numbers(spec: PipelineSpec) -> None:
    window = features(START + timedelta(days=7), 60)
    whole = window.set_column(
        window.column_names.index("rate"), "rate", pa.array([*([3] * (len(window) - 1)), None], pa.int64())
    )
    trained = build_reference(whole, spec, LABEL)
    assert trained.features["rate"].histogram == (0, 0, 0, len(window) - 1, 0, 0, 0, 1)


def test_a_day_of_the_window_is_compared_with_the_others_not_with_itself(spec: PipelineSpec) -> None:
    narrow, window = one_feature(spec, "category", [[f"only on day {i}"] * 5 for i in range(10)])
    assert build_reference(window, narrow, LABEL).features["only"].threshold == 1


def test_what_only_one_day_has_lies_outside_the_usual_range(spec: PipelineSpec) -> None:
    """So the threshold has seen a day beyond all others, and one such day later is no alarm of its own."""
    days = [[float(i + 10 * j) for j in range(10)] for i in range(20)]
    days[7] = [900.0] * 10
    days[9] = [-900.0] * 10
    narrow, window = one_feature(spec, "number", days)
    histogram = build_reference(window, narrow, LABEL).features["only"].histogram
    assert histogram[:3] == (0, 10, 0), "more than one range below"
    assert histogram[-4:] == (0, 10, 0, 0), "more than one range above, none missing"


def test_a_window_of_a_few_days_is_refused(spec: PipelineSpec) -> None:
    with pytest.raises(DataError, match="needs 8 days or more; the training window has 7"):
        build_reference(features(START, 7), spec, LABEL)


GOLDEN = Path(__file__).parent / "golden" / "drift_reference.json"


def test_the_stored_bytes_are_those_of_the_golden_file(spec: PipelineSpec) -> None:
    """They are part of a model version, which names their SHA-256."""
    residuals = {START + timedelta(days=i): (i * 7 % 11 - 5) / 50 for i in range(60)}
    made = build_reference(features(START, 60), spec, build_label_reference(residuals, spec.drift))
    assert made.to_json() == GOLDEN.read_bytes()


def test_a_reference_comes_back_as_it_was_stored(reference: DriftReference) -> None:
    for stored in (GOLDEN.read_bytes(), reference.to_json()):
        assert DriftReference.from_json(stored).to_json() == stored
    copied, days = DriftReference.from_json(reference.to_json()), features(LATER, 3)
    assert copied == reference
    assert sorted(copied.features) == list(copied.features)
    names = measured(days, reference).features
    order = [names.index(name) for name in copied.features]
    assert np.array_equal(measured(days, copied).values, measured(days, reference).values[:, order])


@pytest.mark.parametrize("stored", [1, None])
def test_a_reference_of_another_format_is_refused(reference: DriftReference, stored: int | None) -> None:
    content = json.dumps({**json.loads(reference.to_json()), "format": stored}).encode()
    with pytest.raises(DataError, match=f"has format {stored}; .* reads format 2.*Train and promote a model"):
        DriftReference.from_json(content)


def test_a_damaged_reference_is_refused_with_what_is_wrong(reference: DriftReference) -> None:
    content = json.dumps({**json.loads(reference.to_json()), "surprise": 1}).encode()
    with pytest.raises(DataError, match=r"(?s)is damaged: .*surprise"):
        DriftReference.from_json(content)
