"""Drift of the label: whether labels differ from the model's predictions more than usual.

A day's residual is its mean label minus its mean prediction. The mean residual of a few days in a row is compared with the
residuals of the training window. There each day is predicted by a model that has not seen it, because a model fits its own
rows too well. In ``flight_delay`` residuals of days spread by 0.085 in the sample, and by 0.13 out of it. Each residual is
first clipped to the usual range, so no single strange day can raise drift.

These are pure functions over numbers: no lake, no models. Drift of features is in ``contrail.methods.drift``.
"""

from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from contrail.config.model_spec import DriftSpec
from contrail.errors import DataError
from contrail.frozen import Frozen

LABEL = "label"
STATISTIC = "mean_residual"

Floats = npt.NDArray[np.float64]
Days = npt.NDArray[np.datetime64]

# One day in twenty lies beyond this range on either side. A residual out there counts as the end of the range.
_USUAL_RANGE = (0.05, 0.95)
_PARTS = 3


class LabelReference(Frozen):
    """The usual residuals of the training window, learned from ``days`` days.

    A day's residual usually lies from ``low`` to ``high``. The mean over ``run_days`` days among the last ``of_days`` is
    usually ``centre``, give or take ``threshold``. All amounts are in label units.
    """

    run_days: int
    of_days: int
    low: float
    high: float
    centre: float
    threshold: float
    days: int


def parts_of(days: Days) -> npt.NDArray[np.int64]:
    """Return the number of each row's part. A model of the other parts then predicts each part.

    The parts are consecutive days. Three parts are as good as ten on ``flight_delay`` (residuals spread by 0.127 and 0.125).
    They cost two fits instead of nine.
    """
    known, codes = np.unique(days, return_inverse=True)
    return np.asarray(codes * _PARTS // len(known), dtype=np.int64)


class ResidualSums:
    """The labels of days minus their predictions, added up row by row: the same rows give the same bits in any batches.

    ``rows`` and ``sums`` have an entry for each day that had rows.
    """

    def __init__(self) -> None:
        self.rows: dict[date, int] = {}
        self.sums: dict[date, float] = {}

    def add(self, days: Days, labels: Floats, predictions: Floats) -> None:
        """Add rows. Their order may change the last digit of a sum."""
        known, codes = np.unique(days.astype("datetime64[D]"), return_inverse=True)
        dates = known.astype(object).tolist()
        # What is already there comes first, as if the rows of all batches were added in one go.
        before = np.array([self.sums.get(day, 0.0) for day in dates])
        sums = np.bincount(np.append(np.arange(len(dates)), codes), np.append(before, labels - predictions))
        for day, rows, total in zip(dates, np.bincount(codes).tolist(), sums.tolist(), strict=True):
            self.rows[day] = self.rows.get(day, 0) + rows
            self.sums[day] = total

    def means(self) -> dict[date, float]:
        """Return each day's mean label minus its mean prediction."""
        return {day: self.sums[day] / rows for day, rows in self.rows.items()}


def day_residuals(days: Days, labels: Floats, predictions: Floats) -> dict[date, float]:
    """Compute mean label minus mean prediction of each day. The order of its rows may change the last digit."""
    found = ResidualSums()
    found.add(days, labels, predictions)
    return found.means()


def build_label_reference(residuals: Mapping[date, float], drift: DriftSpec) -> LabelReference:
    """Build the reference of usual residuals, to store with the model's drift reference.

    Args:
        residuals: Residuals of the training window's days, from predictions by models that had not seen the day.
        drift: Gives ``raise_days``, the days of a run, and ``label_false_alarm_rate``, the share of runs above the threshold.

    Raises:
        DataError: if there are too few days to learn a threshold.
    """
    values = np.array([residuals[day] for day in sorted(residuals)])
    least = drift.raise_days + 4
    if len(values) < least:
        raise DataError(
            f"drift of the label needs {least} labelled days or more; the training window has {len(values)}. "
            "Train on a longer range of partitions."
        )
    low, high = np.quantile(values, _USUAL_RANGE)
    held = np.clip(values, low, high)
    centre = held.mean()
    runs = np.lib.stride_tricks.sliding_window_view(held, drift.raise_days).mean(axis=1)
    return LabelReference(
        run_days=drift.raise_days,
        of_days=drift.of_days,
        low=float(low),
        high=float(high),
        centre=float(centre),
        threshold=float(np.quantile(np.abs(runs - centre), 1 - drift.label_false_alarm_rate, method="weibull")),
        days=len(values),
    )


def label_statistic(residuals: Mapping[date, float], day: date, reference: LabelReference) -> float | None:
    """Measure how far the days up to ``day`` are from the usual, in label units.

    Only the last ``run_days`` labelled days among the ``of_days`` up to ``day`` count. A value above
    ``reference.threshold`` means drift.

    Returns:
        The distance. None: ``day`` itself, or too many of the days before it, have no labels.
    """
    known = [d for d in (day - timedelta(days=back) for back in range(reference.of_days)) if d in residuals]
    last = known[: reference.run_days]
    if day not in residuals or len(last) < reference.run_days:
        return None
    held = np.clip([residuals[d] for d in last], reference.low, reference.high)
    return abs(float(held.mean()) - float(reference.centre))
