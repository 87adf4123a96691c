"""Calibration by period: whether predictions mean what they say in each stretch of days, not only in all together.

Errors of different periods cancel when they are pooled. In ``flight_delay`` the error of October to December was a
quarter of December's. Also here: how far a model tells rows apart, the measure of how much error it may have.
"""

from collections.abc import Iterable, Sequence
from datetime import date

import numpy as np
import numpy.typing as npt

from contrail.frozen import Frozen
from contrail.methods.intervals import Days, Interval, day_intervals
from contrail.methods.metrics import Floats, Task, calibration_error, calibration_table


class Period(Frozen):
    """The calibration of a stretch of days. ``interval`` is that of the calibration error; few days have none."""

    start: date
    end: date
    days: int
    rows: int
    label_mean: float
    prediction_mean: float
    calibration_error: float
    interval: Interval | None = None


def by_month(task: Task, labels: Floats, predictions: Floats, days: Days) -> tuple[Period, ...]:
    """Measure the calibration of each calendar month."""
    known = np.unique(days)
    months = known.astype("datetime64[M]")
    return _periods(task, labels, predictions, days, [known[months == month] for month in np.unique(months)])


def by_stretch(task: Task, labels: Floats, predictions: Floats, days: Days, length: int) -> tuple[Period, ...]:
    """Measure the calibration of stretches of about ``length`` days with rows, all as long as each other or a day less."""
    known = np.unique(days)
    numbers = stretches(len(known), length)
    return _periods(task, labels, predictions, days, [known[numbers == number] for number in np.unique(numbers)])


def stretches(days: int, length: int) -> npt.NDArray[np.int64]:
    """Return the number of each day's stretch: stretches of about ``length`` days, all as long as each other or a day less."""
    parts = np.array_split(np.arange(days), max(1, round(days / length)))
    return np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def worst(periods: Sequence[Period]) -> Period | None:
    """Return the period with the largest calibration error; None without periods."""
    return max(periods, key=lambda period: period.calibration_error, default=None)


def spread(labels: Floats, predictions: Floats) -> float:
    """Measure how far the ten bins of predictions tell rows apart: the mean distance of a bin's label from the mean.

    In label units. A constant tells nothing apart: 0, whatever its labels are.
    """
    _, found, rows = calibration_table(np.asarray(labels, np.float64), predictions).T
    return spread_of(found * rows, rows)


def spread_of(labels: Floats, rows: Floats | npt.NDArray[np.int64]) -> float:
    """Measure ``spread`` from each bin's sum of labels and number of rows. Fewer rows than bins leave some bins empty."""
    some = rows > 0
    found = labels[some] / rows[some]
    return float(np.average(np.abs(found - np.average(found, weights=rows[some])), weights=rows[some]))


def _periods(task: Task, labels: Floats, predictions: Floats, days: Days, parts: Iterable[Days]) -> tuple[Period, ...]:
    found = []
    for part in parts:
        rows = (days >= part[0]) & (days <= part[-1])
        own = (labels[rows], predictions[rows])
        found.append(
            Period(
                start=part[0].astype("datetime64[D]").item(),
                end=part[-1].astype("datetime64[D]").item(),
                days=len(part),
                rows=int(rows.sum()),
                label_mean=float(own[0].mean()),
                prediction_mean=float(own[1].mean()),
                calibration_error=calibration_error(*own),
                interval=day_intervals(task, *own, days[rows], only=("calibration_error",)).get("calibration_error"),
            )
        )
    return tuple(found)
