"""The improvement of one model over another on the same rows, with an interval.

The interval comes from a paired bootstrap over whole days, as in ``contrail.methods.intervals``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contrail.config.model_spec import GateSpec
from contrail.methods.intervals import Interval, day_weights, interval_of
from contrail.methods.metrics import HIGHER_IS_BETTER, Resampled


@dataclass(frozen=True)
class Pair:
    """A metric of two models on the same rows of ``days`` days: its values on resamples of the days."""

    days: int
    challenger: Resampled
    other: Resampled


def paired_gains(pair: Pair, gate: GateSpec) -> npt.NDArray[np.float64]:
    """Compute the challenger's improvement on resamples of the days, drawn for both models together.

    The seed is fixed, so the same rows always give the same numbers.

    Returns:
        Shape (samples + 1,): that of the days as they were comes first.
    """
    weights = day_weights(pair.days, gate.bootstrap_samples)
    sign = 1.0 if gate.metric in HIGHER_IS_BETTER else -1.0
    found: npt.NDArray[np.float64] = sign * (pair.challenger(weights) - pair.other(weights))
    return found


def paired_improvement(pair: Pair, gate: GateSpec) -> Interval:
    """Compute the challenger's improvement with its interval, as ``paired_gains`` resamples it."""
    return interval_of(paired_gains(pair, gate), gate.confidence)


def pooled(metric: str, values: Sequence[float], rows: Sequence[int]) -> float:
    """Pool the values of days into that of all rows. For AUC it is the mean of the days, weighted by rows."""
    if metric == "rmse":
        return float(np.sqrt(np.average(np.square(values), weights=rows)))
    return float(np.average(values, weights=rows))
