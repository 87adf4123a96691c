"""Sums over sorted batches give the metrics that all rows at once give."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contrail.methods import metrics
from contrail.methods.block_sums import BlockSums
from contrail.methods.calibration import by_month
from contrail.methods.intervals import day_intervals

FIRST = date(2024, 1, 24)
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


def made_rows(seed: int, task: str, days: int, distinct: int, rows: int) -> Rows:
    """Sorted rows: position of the day, label and prediction. Few distinct predictions make many ties."""
    rng = np.random.default_rng(seed)
    day = np.sort(np.append(np.arange(days), rng.integers(0, days, rows)))
    predictions = rng.integers(1, distinct + 1, len(day)) / (distinct + 1)
    drawn = rng.random(len(day)) < predictions
    labels = drawn.astype(float) if task == "binary" else np.round(rng.normal(predictions), 1)
    order = np.lexsort((labels, day, predictions))
    return day[order], labels[order], predictions[order]


def summed(task: str, rows: Rows, batch: int, constant: float | None = None) -> BlockSums:
    count = int(rows[0].max()) + 1
    sums = BlockSums(
        task,  # type: ignore[arg-type]
        [FIRST + timedelta(days=i) for i in range(count)],
        np.bincount(rows[0]).tolist(),
        constant,
    )
    for start in range(0, len(rows[0]), batch):
        sums.add(*(column[start : start + batch] for column in rows))
    return sums.finish()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    task=st.sampled_from(["binary", "regression"]),
    days=st.integers(1, 12),
    distinct=st.sampled_from([1, 3, 40, 100_000]),
    rows=st.integers(0, 400),
    batch=st.sampled_from([1, 7, 64, 1000]),
)
def test_they_are_those_of_all_rows_at_once(
    seed: int, task: str, days: int, distinct: int, rows: int, batch: int
) -> None:
    made = made_rows(seed, task, days, distinct, rows)
    day, labels, predictions = made
    sums = summed(task, made, batch, constant=0.3)
    dates = np.datetime64(FIRST) + day
    headline = metrics.HEADLINE[task]  # type: ignore[index]
    for position in range(days):
        own = day == position
        expected = metrics.evaluate(task, labels[own], predictions[own])  # type: ignore[arg-type]
        expected |= {
            "label_mean": labels[own].mean(),
            "prediction_mean": predictions[own].mean(),
            f"baseline_{headline}": metrics.METRICS[task][headline](labels[own], np.full(own.sum(), 0.3)),  # type: ignore[index]
        }
        assert sums.of_day(position) == pytest.approx(expected, abs=1e-12, nan_ok=True)
    values, intervals = sums.pooled()
    assert values == pytest.approx(metrics.evaluate(task, labels, predictions), abs=1e-12, nan_ok=True)  # type: ignore[arg-type]
    expected_intervals = day_intervals(task, labels, predictions, dates)  # type: ignore[arg-type]
    assert intervals.keys() == expected_intervals.keys()
    for name, interval in expected_intervals.items():
        assert intervals[name].model_dump() == pytest.approx(interval.model_dump(), abs=1e-12)
    for found, period in zip(sums.periods(), by_month(task, labels, predictions, dates), strict=True):  # type: ignore[arg-type]
        left, right = found.model_dump(exclude={"interval"}), period.model_dump(exclude={"interval"})
        assert {k: v for k, v in left.items() if not isinstance(v, float)} == {
            k: v for k, v in right.items() if not isinstance(v, float)
        }
        assert [v for v in left.values() if isinstance(v, float)] == pytest.approx(
            [v for v in right.values() if isinstance(v, float)], abs=1e-12
        )
        assert (found.interval is None) == (period.interval is None)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), task=st.sampled_from(["binary", "regression"]), batch=st.sampled_from([1, 5, 80]))
def test_a_day_has_the_same_bits_in_any_range_and_any_batches(seed: int, task: str, batch: int) -> None:
    made = made_rows(seed, task, days=6, distinct=20, rows=300)
    together = summed(task, made, 1000, constant=0.3)
    for position in range(6):
        own = made[0] == position
        alone = summed(task, (np.zeros(own.sum(), np.int64), made[1][own], made[2][own]), batch, constant=0.3)
        np.testing.assert_equal(alone.of_day(0), together.of_day(position))


def test_auc_is_exact() -> None:
    made = made_rows(1, "binary", days=9, distinct=50, rows=2000)
    sums = summed("binary", made, 100)
    for position in range(9):
        own = made[0] == position
        assert sums.of_day(position)["auc"] == metrics.auc(made[1][own], made[2][own])


def test_a_regression_has_its_own_metrics() -> None:
    sums = summed("regression", (np.zeros(2, np.int64), np.array([1.0, 2.0]), np.array([2.0, 4.0])), 1, constant=2.0)
    expected = {
        "label_mean": 1.5,
        "prediction_mean": 3.0,
        "rmse": np.sqrt(2.5),
        "mae": 1.5,
        "bias": 1.5,
        "calibration_error": 1.5,
        "baseline_rmse": np.sqrt(0.5),
    }
    assert sums.of_day(0) == pytest.approx(expected)


def test_without_a_constant_there_is_no_baseline() -> None:
    assert "baseline_log_loss" not in summed("binary", made_rows(0, "binary", 1, 5, 20), 8).of_day(0)
