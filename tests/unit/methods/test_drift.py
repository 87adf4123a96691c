import time
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from tests.unit.methods.made_days import COLUMNS, LABEL, LATER, START, TRAINED, features, measured, one_feature

from contrail.config.model_spec import DriftSpec
from contrail.config.spec import PipelineSpec
from contrail.errors import DataError
from contrail.methods.drift_reference import DriftReference, build_reference
from contrail.methods.drift_verdicts import verdicts


def test_false_alarms_of_days_like_the_reference_are_at_the_set_rate(spec: PipelineSpec) -> None:
    """Six references, a year each of unseen days of the same kind, at 1 %."""
    seldom = spec.model_copy(update={"drift": DriftSpec(false_alarm_rate=0.01)})
    alarms, of_feature = [], []
    for seed in range(6):
        trained = build_reference(features(START, TRAINED, seed), seldom, LABEL)
        found = measured(features(LATER, 365, seed), trained)
        alarms.append(np.mean(found.unusual_days))
        of_feature.append((found.values > found.thresholds).mean())
    assert 0.002 < np.mean(alarms) < 0.02
    assert max(alarms) < 0.05
    assert 0.002 < np.mean(of_feature) < 0.02


def test_the_set_rate_is_what_sets_the_threshold(spec: PipelineSpec) -> None:
    often = spec.model_copy(update={"drift": DriftSpec(false_alarm_rate=0.2)})
    trained = build_reference(features(START, TRAINED), often, LABEL)
    found = measured(features(LATER, 365), trained)
    assert 0.12 < np.mean(found.unusual_days) < 0.28


def shift(rows: dict[str, np.ndarray]) -> None:
    rows["size"] += 1


def lose(rows: dict[str, np.ndarray]) -> None:
    rows["gaps"][:60] = np.nan


def rename(rows: dict[str, np.ndarray]) -> None:
    rows["kind"] = np.where(rows["kind"] == "x", "unseen", rows["kind"])


def vary(rows: dict[str, np.ndarray]) -> None:
    rows["constant"][:40] = 2.0


def leave_the_range(rows: dict[str, np.ndarray]) -> None:
    rows["rate"] += 50


@pytest.mark.parametrize(
    ("change", "feature"),
    [(shift, "size"), (lose, "gaps"), (rename, "kind"), (vary, "constant"), (leave_the_range, "rate")],
)
def test_a_planted_shift_is_raised_and_its_feature_named(
    spec: PipelineSpec,
    reference: DriftReference,
    change: Callable[[dict[str, np.ndarray]], None],
    feature: str,
) -> None:
    before, after = features(LATER, 20), features(LATER + timedelta(days=20), 10, change=change)
    found = measured(pa.concat_tables([before, after]), reference)
    judged = verdicts(list(zip(found.days, found.unusual_days, strict=True)), spec.drift)
    raised = next(i for i, verdict in enumerate(judged) if verdict.verdict == "drift")
    assert 20 <= raised < 20 + spec.drift.raise_days + 2
    past = found.values[20:].mean(axis=0) > found.thresholds
    assert [name for name, flag in zip(found.features, past, strict=True) if flag] == [feature]


def test_a_weekend_is_compared_with_weekends(reference: DriftReference) -> None:
    assert reference.features["size"].by_weekday is not None
    assert reference.features["constant"].by_weekday is None
    saturday = START + timedelta(days=TRAINED + (5 - LATER.weekday()) % 7)
    one = features(saturday, 1)
    as_monday = one.set_column(0, "partition_date", pa.array([saturday + timedelta(days=2)] * len(one), pa.date32()))
    assert measured(one, reference).unusual_days == [False]
    assert measured(as_monday, reference).unusual_days == [True]


def test_days_of_different_size_in_one_call_and_alone_have_the_same_statistics(reference: DriftReference) -> None:
    together = measured(features(LATER, 9), reference)
    alone = [measured(features(LATER + timedelta(days=i), 1), reference) for i in range(9)]
    assert np.array_equal(together.values, np.concatenate([one.values for one in alone]))
    assert together.rows == tuple(one.rows[0] for one in alone)
    assert set(together.rows) == {200, 140}


def test_an_empty_feature_is_usual_as_long_as_it_stays_empty(spec: PipelineSpec) -> None:
    def empty(rows: dict[str, np.ndarray]) -> None:
        rows["rate"] = np.full(len(rows["rate"]), np.nan)

    trained = build_reference(features(START, 60, change=empty), spec, LABEL)
    rate = list(COLUMNS).index("rate")
    assert measured(features(LATER, 1, change=empty), trained).values[0, rate] == 0
    assert measured(features(LATER, 1), trained).unusual_days == [True]


def test_a_category_may_be_a_whole_number(spec: PipelineSpec) -> None:
    narrow, window = one_feature(spec, "category", [[1, 2, 3]] * 10)
    _, later = one_feature(spec, "category", [[1, 2, 3], [3, 3, 3], [7, 7, 7]])
    values = measured(later, build_reference(window, narrow, LABEL)).values
    assert values[:, 0] == pytest.approx([0, 2 / 3, 1])


def test_days_with_the_same_shares_are_never_unusual(spec: PipelineSpec) -> None:
    narrow, window = one_feature(spec, "category", [list("abcdefg") * 3 * (i + 1) for i in range(20)])
    trained = build_reference(window, narrow, LABEL)
    _, later = one_feature(spec, "category", [list("abcdefg") * (97 - i) for i in range(20)])
    assert trained.day_threshold == 0
    found = measured(later, trained)
    assert not any(found.unusual_days)
    assert found.values.max() == trained.features["only"].threshold == 0


@pytest.mark.parametrize(
    ("kind", "seen", "later", "distance"),
    [
        ("category", "a", "b", 1.0),
        ("category", "a", None, 1.0),
        ("number", 100.0, None, 1.0),
        ("number", 100.0, 105.0, 0.6),
        ("number", 100.0, 80.0, 1.0),
        ("number", 100.0, 1000.0, 1.5),
    ],
)
def test_values_unlike_any_of_the_window_are_the_further_the_more_they_differ(
    spec: PipelineSpec, kind: str, seen: object, later: object, distance: float
) -> None:
    narrow, window = one_feature(spec, kind, [[seen] * 5] * 10)
    _, days = one_feature(spec, kind, [[seen] * 5, [later] * 5, [seen, seen, seen, seen, later]])
    values = measured(days.cast(window.schema), build_reference(window, narrow, LABEL)).values
    assert values[:, 0] == pytest.approx([0, distance, distance / 5])


def test_the_distance_is_the_way_that_rows_are_moved_in_ranks(spec: PipelineSpec) -> None:
    """Ten equally frequent values: each is a bin, a tenth of the ranks from the next."""
    narrow, window = one_feature(spec, "number", [[float(i) for i in range(10)]] * 10)
    _, days = one_feature(spec, "number", [[0.0] * 10, [4.0, 5.0] * 5, [min(i + 1.0, 9.0) for i in range(10)]])
    values = measured(days, build_reference(window, narrow, LABEL)).values
    assert values[:, 0] == pytest.approx([0.45, 0.2, 0.09])


def test_features_without_a_column_of_the_reference_are_refused(reference: DriftReference) -> None:
    with pytest.raises(DataError, match=r"lack the columns \['rain'\]"):
        measured(features(LATER, 1).drop_columns(["rain"]), reference)


def test_no_rows_have_no_days(reference: DriftReference) -> None:
    found = measured(features(LATER, 1).slice(0, 0), reference)
    assert found.days == ()
    assert found.unusual_days == []


def test_a_year_costs_seconds_at_most(reference: DriftReference) -> None:
    """A loop over days and features in Python would take many; 0.1 s was measured for these six features."""
    rng = np.random.default_rng(0)
    year = np.repeat(np.arange("2024-01-01", "2024-12-31", dtype="datetime64[D]"), 900)
    numbers = {name: rng.normal(size=len(year)) for name in COLUMNS if name != "kind"}
    table = pa.table({"partition_date": year, **numbers, "kind": rng.choice(list("wxyz"), len(year))})
    started = time.perf_counter()
    found = measured(table, reference)
    assert len(found.days) == 365
    assert time.perf_counter() - started < 2
