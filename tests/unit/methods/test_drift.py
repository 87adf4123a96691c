import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from tests.unit.methods.made_days import (
    COLUMNS,
    LABEL,
    LATER,
    START,
    TRAINED,
    contributions,
    features,
    measured,
    one_feature,
    reference_of,
)

from contrail.config.model_spec import DriftSpec
from contrail.config.spec import PipelineSpec
from contrail.errors import DataError
from contrail.methods.drift import DayStatistics
from contrail.methods.drift_reference import DriftReference, build_reference
from contrail.methods.drift_verdicts import verdicts


def raised(found: DayStatistics, drift: DriftSpec) -> list[bool]:
    """Whether drift is on, day by day."""
    judged = verdicts(list(zip(found.days, found.unusual_features, strict=True)), drift)
    return [verdict.verdict == "drift" for verdict in judged]


def alarms_a_quarter(spec: PipelineSpec, rate: float) -> float:
    """How often drift begins in three times a year of unseen days that are like the reference's."""
    often = spec.model_copy(update={"drift": DriftSpec(false_alarm_rate=rate)})
    begins = 0
    for seed in range(3):
        on = raised(
            measured(features(LATER, 365, seed), reference_of(features(START, TRAINED, seed), often)), often.drift
        )
        begins += sum(now and not before for before, now in pairwise([False, *on]))
    return begins / (3 * 365 / 91)


def test_days_like_the_reference_raise_drift_about_once_a_quarter(spec: PipelineSpec) -> None:
    assert 0.2 < alarms_a_quarter(spec, DriftSpec().false_alarm_rate) < 1.5


def test_the_set_rate_is_what_sets_the_threshold(spec: PipelineSpec) -> None:
    assert alarms_a_quarter(spec, 0.002) < alarms_a_quarter(spec, 0.2)


def shift(rows: dict[str, np.ndarray]) -> None:
    rows["size"] += 1


def lose(rows: dict[str, np.ndarray]) -> None:
    rows["gaps"][:60] = np.nan


def rename(rows: dict[str, np.ndarray]) -> None:
    rows["kind"] = np.where(rows["kind"] == "x", "unseen", rows["kind"])


def leave_the_range(rows: dict[str, np.ndarray]) -> None:
    rows["rate"] += 50


@pytest.mark.parametrize(
    ("change", "feature"),
    [(shift, "size"), (lose, "gaps"), (rename, "kind"), (leave_the_range, "rate")],
)
def test_a_planted_shift_is_raised_and_its_feature_named(
    spec: PipelineSpec,
    reference: DriftReference,
    change: Callable[[dict[str, np.ndarray]], None],
    feature: str,
) -> None:
    before, after = features(LATER, 40), features(LATER + timedelta(days=40), 5, change=change)
    found = measured(pa.concat_tables([before, after]), reference)
    on = raised(found, spec.drift)
    assert not any(on[28:40])
    assert any(on[40:43])
    stands_out = found.exceedances[40:43].mean(axis=0)
    assert found.features[int(stands_out.argmax())] == feature
    assert feature in found.unusual_features[42]


def test_a_slow_trend_is_no_drift_though_it_leaves_the_window(spec: PipelineSpec, reference: DriftReference) -> None:
    def warmer(day: int) -> Callable[[dict[str, np.ndarray]], None]:
        def change(rows: dict[str, np.ndarray]) -> None:
            rows["size"] += day / 320

        return change

    days = pa.concat_tables([features(LATER + timedelta(days=i), 1, change=warmer(i)) for i in range(160)])
    found, size = measured(days, reference), list(COLUMNS).index("size")
    judged = verdicts(
        [(day, own & {"size"}) for day, own in zip(found.days, found.unusual_features, strict=True)], spec.drift
    )
    assert {verdict.verdict for verdict in judged} <= {"ok", "watch"}
    first, last = (np.median(found.from_window[days, size]) for days in (slice(28, 35), slice(-7, None)))
    assert last > 1.5 * first, "it moved by half a standard deviation"


def test_what_moves_no_prediction_is_not_unusual(spec: PipelineSpec) -> None:
    window = features(START, TRAINED)
    every = contributions(window, spec)
    parts = every.parts.copy()
    parts[:, list(COLUMNS).index("size")] = 0
    blind = build_reference(window, spec, LABEL, replace(every, parts=parts))
    before, after = features(LATER, 40), features(LATER + timedelta(days=40), 5, change=shift)
    found, size = measured(pa.concat_tables([before, after]), blind), list(COLUMNS).index("size")
    assert found.values[40:43, size].min() > found.thresholds[size]
    assert "size" not in frozenset().union(*found.unusual_features[40:])


def test_a_weekend_is_compared_with_weekends(reference: DriftReference) -> None:
    assert reference.features["size"].same_weekday
    assert not reference.features["rate"].same_weekday
    size = list(COLUMNS).index("size")
    saturday = LATER + timedelta(days=28 + (5 - LATER.weekday()) % 7)
    before, one = features(LATER, (saturday - LATER).days), features(saturday, 1)
    as_monday = one.set_column(0, "partition_date", pa.array([saturday + timedelta(days=2)] * len(one), pa.date32()))
    assert not measured(pa.concat_tables([before, one]), reference).unusual[-1, size]
    sunday = features(saturday + timedelta(days=1), 1)
    assert measured(pa.concat_tables([before, one, sunday, as_monday]), reference).unusual[-1, size]


def test_days_in_one_call_and_alone_have_the_same_statistics(reference: DriftReference) -> None:
    """A day needs the four weeks before it, and nothing else."""
    rows = features(LATER, 37)
    days = rows["partition_date"].to_numpy()
    together = measured(rows, reference)
    for i in range(28, 37):
        last = np.datetime64(LATER + timedelta(days=i))
        window = rows.filter(pa.array((days <= last) & (days >= last - 28)))
        alone = measured(window, reference, {LATER + timedelta(days=i)})
        for name in ("values", "effects", "from_window", "exceedances"):
            assert np.array_equal(getattr(together, name)[i : i + 1], getattr(alone, name))
        assert alone.rows == (together.rows[i],)
    assert set(together.rows) == {200, 140}


def test_a_feature_that_was_empty_moves_no_prediction_when_it_is_filled(spec: PipelineSpec) -> None:
    def empty(rows: dict[str, np.ndarray]) -> None:
        rows["rate"] = np.full(len(rows["rate"]), np.nan)

    trained = reference_of(features(START, 60, change=empty), spec)
    rate = list(COLUMNS).index("rate")
    assert measured(features(LATER, 1, change=empty), trained).values[0, rate] == 0
    filled = measured(features(LATER, 1), trained)
    assert filled.values[0, rate] == 1
    assert filled.effects[0, rate] == 0, "no tree could ask for it"


def test_a_category_may_be_a_whole_number(spec: PipelineSpec) -> None:
    narrow, window = one_feature(spec, "category", [[1, 2, 3]] * 10)
    _, later = one_feature(spec, "category", [[1, 2, 3], [3, 3, 3], [7, 7, 7]])
    values = measured(later, reference_of(window, narrow)).values
    assert values[:, 0] == pytest.approx([0, 2 / 3, 1])


def test_days_with_the_same_shares_are_never_unusual(spec: PipelineSpec) -> None:
    narrow, window = one_feature(spec, "category", [list("abcdefg") * 3 * (i + 1) for i in range(20)])
    trained = reference_of(window, narrow)
    _, later = one_feature(spec, "category", [list("abcdefg") * (97 - i) for i in range(20)])
    found = measured(later, trained)
    assert not found.unusual.any()
    assert found.values.max() == trained.features["only"].distance.median == 0


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
    values = measured(days.cast(window.schema), reference_of(window, narrow)).values
    assert values[:, 0] == pytest.approx([0, distance, distance / 5])


def test_the_distance_is_the_way_that_rows_are_moved_in_ranks(spec: PipelineSpec) -> None:
    """Ten equally frequent values: each is a bin, a tenth of the ranks from the next."""
    narrow, window = one_feature(spec, "number", [[float(i) for i in range(10)]] * 10)
    _, days = one_feature(spec, "number", [[0.0] * 10, [4.0, 5.0] * 5, [min(i + 1.0, 9.0) for i in range(10)]])
    values = measured(days, reference_of(window, narrow)).values
    assert values[:, 0] == pytest.approx([0.45, 0.2, 0.09])


def test_features_without_a_column_of_the_reference_are_refused(reference: DriftReference) -> None:
    with pytest.raises(DataError, match=r"lack the columns \['rain'\]"):
        measured(features(LATER, 1).drop_columns(["rain"]), reference)


def test_no_rows_have_no_days(reference: DriftReference) -> None:
    found = measured(features(LATER, 1).slice(0, 0), reference)
    assert found.days == ()
    assert found.unusual_features == []


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
