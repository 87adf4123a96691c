import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.unit.methods.made_days import LABEL, LATER, START, TRAINED, features, measured, one_feature, reference_of

from contrail.config.model_spec import DriftSpec
from contrail.config.spec import PipelineSpec
from contrail.errors import DataError
from contrail.methods import drift_reference
from contrail.methods.days_before import enough_before, pooled
from contrail.methods.drift_effects import Contributions
from contrail.methods.drift_reference import DriftReference, build_reference, exceedances
from contrail.methods.label_drift import build_label_reference


def test_days_without_a_full_history_are_left_out(spec: PipelineSpec, reference: DriftReference) -> None:
    assert (spec.first_partition, spec.features.lookback_days) == (START, 7)
    assert (reference.first_day, reference.days) == (date(2024, 1, 8), TRAINED - 7)
    short = reference_of(features(START, 10), spec)
    assert (short.first_day, short.days) == (START, 10), "too few others"


def test_days_before_are_the_last_fourteen_with_rows_or_four_of_the_weekday() -> None:
    days = [START + timedelta(days=i) for i in range(60) if i not in range(30, 40)]
    counts = np.arange(1.0, len(days) + 1)[:, None]
    number = {day: i + 1.0 for i, day in enumerate(days)}
    for same in (False, True):
        sums, enough = pooled(days, counts, same_weekday=same), enough_before(days, same_weekday=same)
        for day, found, some in zip(days, sums[:, 0], enough, strict=True):
            near = [one for one in days if 0 < (day - one).days <= 28 and not (same and (day - one).days % 7)]
            used = near if same else near[-14:]
            assert found == sum(number[one] for one in used)
            assert some == (len(used) >= 3)


def test_a_short_window_has_all_weekdays_together(spec: PipelineSpec) -> None:
    short = reference_of(features(START, 20), spec)
    assert not any(column.same_weekday for column in short.features.values())
    assert np.isfinite(short.day_threshold)


def test_days_far_apart_are_compared_with_all_others(spec: PipelineSpec) -> None:
    monthly = pa.concat_tables([features(START + timedelta(days=30 * i), 1) for i in range(12)])
    trained = reference_of(monthly, spec)
    later = measured(features(START + timedelta(days=400), 1), trained)
    assert np.isfinite(trained.day_threshold)
    assert np.array_equal(later.values, later.from_window)


def test_the_scales_of_a_day_come_from_other_days(spec: PipelineSpec) -> None:
    """Thirty features with long tails. Judged by scales that had seen them, the window's days would promise too much."""
    rates, drift = [], DriftSpec(false_alarm_rate=0.02)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        days = [START + timedelta(days=i) for i in range(700)]
        values = rng.lognormal(size=(700, 30)) / 10
        window, later = values[:200], values[200:]
        threshold = drift_reference._day_threshold(days[:200], np.stack([window] * 3), drift)
        passed = exceedances(later, *drift_reference._scales(window))
        rates.append((drift_reference._runs(days[200:], passed, drift).max(axis=1) > threshold).mean())
    assert 0.005 < np.mean(rates) < 0.03


def test_integers_and_nulls_are_numbers(spec: PipelineSpec) -> None:
    window = features(START + timedelta(days=7), 60)
    whole = window.set_column(
        window.column_names.index("rate"), "rate", pa.array([*([3] * (len(window) - 1)), None], pa.int64())
    )
    trained = reference_of(whole, spec)
    assert trained.features["rate"].histogram == (0, 0, 0, len(window) - 1, 0, 0, 0, 1)


def test_a_day_of_the_window_is_compared_with_days_before_it_not_with_itself(spec: PipelineSpec) -> None:
    narrow, window = one_feature(spec, "category", [[f"only on day {i}"] * 5 for i in range(10)])
    assert reference_of(window, narrow).features["only"].distance.median == 1


def test_what_only_one_day_has_lies_outside_the_usual_range(spec: PipelineSpec) -> None:
    """So the threshold has seen a day beyond all others, and one such day later is no alarm of its own."""
    days = [[float(i + 10 * j) for j in range(10)] for i in range(20)]
    days[7] = [900.0] * 10
    days[9] = [-900.0] * 10
    narrow, window = one_feature(spec, "number", days)
    histogram = reference_of(window, narrow).features["only"].histogram
    assert histogram[:3] == (0, 10, 0), "more than one range below"
    assert histogram[-4:] == (0, 10, 0, 0), "more than one range above, none missing"


def test_a_window_of_a_few_days_is_refused(spec: PipelineSpec) -> None:
    with pytest.raises(DataError, match="needs 8 days or more; the training window has 7"):
        reference_of(features(START, 7), spec)


GOLDEN = Path(__file__).parent / "golden" / "drift_reference.json"


def test_the_stored_bytes_are_those_of_the_golden_file(spec: PipelineSpec) -> None:
    """They are part of a model version, which names their SHA-256."""
    residuals = {START + timedelta(days=i): (i * 7 % 11 - 5) / 50 for i in range(60)}
    made = reference_of(features(START, 60), spec, build_label_reference(residuals, spec.drift))
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
    with pytest.raises(DataError, match=f"has format {stored}; .* reads format 3.*Train and promote a model"):
        DriftReference.from_json(content)


def test_a_damaged_reference_is_refused_with_what_is_wrong(reference: DriftReference) -> None:
    content = json.dumps({**json.loads(reference.to_json()), "surprise": 1}).encode()
    with pytest.raises(DataError, match=r"(?s)is damaged: .*surprise"):
        DriftReference.from_json(content)


@pytest.mark.parametrize("values", [[0.1, 0.2, 0.3, 0.7], [-0.3, 0.0, 0.1, 1e6], [16777217.0, 16777219.5, 2e9, 3.1e9]])
def test_a_value_has_the_effect_of_its_own_bin_though_models_round_it(spec: PipelineSpec, values: list[float]) -> None:
    narrow, window = one_feature(spec, "number", [values] * 20)
    sample = np.array(values * 5, np.float32)[:, None]
    own = np.arange(4.0) - 1.5
    known = Contributions(("only",), {}, sample, np.tile(own, 5)[:, None])
    usual = build_reference(window, narrow, LABEL, known).features["only"]
    places = usual.places(pa.chunked_array([values]))
    assert np.array(usual.effects)[places] == pytest.approx(own / own.std())
