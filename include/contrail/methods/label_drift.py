"""Drift of the label: do labels differ more from what the model expects than was usual?

A day's residual is its mean label minus the mean of its predictions. The mean residual of a few days in a row is
compared with that of the training window's days, each predicted by a model that had not seen it: of its own rows a
model knows more than it ever will of others (``flight_delay``: days' residuals spread by 0.085 in the sample, by 0.13
out of it). Each day is first held to the usual range, so that one strange day, however strange, cannot pass alone.

Pure functions over numbers: no lake, no models. Drift of features is in ``contrail.methods.drift``.
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

# A day beyond what one in twenty passes on either side counts as that day.
_USUAL_RANGE = (0.05, 0.95)
_PARTS = 3


class LabelReference(Frozen):
    """What residuals are usual: a day's from ``low`` to ``high``.

    The mean of ``run_days`` days among the last ``of_days`` is ``centre``, give or take ``threshold``. Learned from
    ``days`` days; all amounts are in label units.
    """

    run_days: int
    of_days: int
    low: float
    high: float
    centre: float
    threshold: float
    days: int


def parts_of(days: Days) -> npt.NDArray[np.int64]:
    """Which of a few consecutive parts each row's day lies in, to predict each part by a model of the others.

    Three are as good as ten on ``flight_delay`` (residuals spread by 0.127 and 0.125) at two fits' cost, not nine's.
    """
    known, codes = np.unique(days, return_inverse=True)
    return np.asarray(codes * _PARTS // len(known), dtype=np.int64)


def day_residuals(days: Days, labels: Floats, predictions: Floats) -> dict[date, float]:
    """Mean label minus mean prediction of each day that has rows; the order of a day's rows may move the last digit."""
    known, codes = np.unique(days.astype("datetime64[D]"), return_inverse=True)
    means = np.bincount(codes, labels - predictions) / np.bincount(codes)
    return dict(zip(known.astype(object).tolist(), means.tolist(), strict=True))


def build_label_reference(residuals: Mapping[date, float], drift: DriftSpec) -> LabelReference:
    """What residuals are usual, to be stored with the model's drift reference.

    Args:
        residuals: By day of the training window, from predictions that had not seen the day.
        drift: ``raise_days`` in a row are looked at together; ``label_false_alarm_rate`` of such runs pass the threshold.

    Raises:
        DataError: if there are fewer days than a threshold could be learned from.
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
    """How far the days up to ``day`` are from the usual, in label units; drift when above ``reference.threshold``.

    The last ``run_days`` days with labels among the ``of_days`` up to ``day`` count; nothing else is looked at.

    Returns:
        None when ``day`` itself or too many of the days before it have no labels.
    """
    known = [d for d in (day - timedelta(days=back) for back in range(reference.of_days)) if d in residuals]
    last = known[: reference.run_days]
    if day not in residuals or len(last) < reference.run_days:
        return None
    held = np.clip([residuals[d] for d in last], reference.low, reference.high)
    return abs(float(held.mean()) - float(reference.centre))
