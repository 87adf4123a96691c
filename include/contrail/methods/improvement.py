"""The improvement of one model over another on the same rows, with an interval.

The interval comes from a paired bootstrap over whole days. Rows of a day are not independent: its flights share the weather.
Resampling single rows would make every interval far too narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contrail.config.model_spec import GateSpec
from contrail.frozen import Frozen
from contrail.methods.metrics import HIGHER_IS_BETTER, Floats, block_metric


class Interval(Frozen):
    """An improvement with its confidence interval. Positive means better, for every metric."""

    estimate: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class Pair:
    """The predictions of two models on the same rows. Each row has its label and its partition."""

    labels: Floats
    days: npt.NDArray[np.datetime64]
    challenger: Floats
    other: Floats


def paired_improvement(pair: Pair, gate: GateSpec) -> Interval:
    """Compute the challenger's improvement. Its interval comes from resampling days for both models together.

    The seed is fixed, so the same rows always give the same interval.
    """
    _, blocks = np.unique(pair.days, return_inverse=True)
    count = int(blocks.max()) + 1
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), gate.bootstrap_samples)
    weights = np.vstack([np.ones(count), draws]).astype(np.float64)
    sign = 1.0 if gate.metric in HIGHER_IS_BETTER else -1.0
    of_challenger, of_other = (
        block_metric(gate.metric, pair.labels, p, blocks)(weights) for p in (pair.challenger, pair.other)
    )
    gains = sign * (of_challenger - of_other)
    tail = (1 - gate.confidence) / 2
    low, high = np.nanquantile(gains[1:], [tail, 1 - tail])
    return Interval(estimate=float(gains[0]), low=float(low), high=float(high), confidence=gate.confidence)


def pooled(metric: str, values: Sequence[float], rows: Sequence[int]) -> float:
    """Pool the values of days into that of all rows. For AUC it is the mean of the days, weighted by rows."""
    if metric == "rmse":
        return float(np.sqrt(np.average(np.square(values), weights=rows)))
    return float(np.average(values, weights=rows))
