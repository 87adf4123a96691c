"""Confidence intervals over days: every metric of predictions with the range in which it would lie on other days.

The rows of a day are not independent: its flights share the weather. So whole days are resampled. Resampling single rows
would make every interval far too narrow. The seed is fixed, so the same rows always give the same interval.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from contrail.frozen import Frozen
from contrail.methods.metrics import METRICS, Floats, Resampled, Task, block_metric

Days = npt.NDArray[np.datetime64]

# With fewer days, a bootstrap over days proves nothing.
FEWEST_DAYS = 5
CONFIDENCE, SAMPLES = 0.95, 1000


class Interval(Frozen):
    """A number with its confidence interval. The number of an improvement is positive when it is better."""

    estimate: float
    low: float
    high: float
    confidence: float


def day_weights(days: int, samples: int) -> npt.NDArray[np.float64]:
    """Draw resamples of days: how often each day counts, shape (samples + 1, days). The first has each day once."""
    draws = np.random.default_rng(0).multinomial(days, np.full(days, 1 / days), samples)
    return np.vstack([np.ones(days), draws]).astype(np.float64)


def interval_of(values: npt.NDArray[np.float64], confidence: float) -> Interval:
    """Make an interval of a number's values on the resamples of ``day_weights``. Undefined values are left out."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(values[1:], [tail, 1 - tail])
    return Interval(estimate=float(values[0]), low=float(low), high=float(high), confidence=confidence)


def day_intervals(
    task: Task, labels: Floats, predictions: Floats, days: Days, only: Iterable[str] = ()
) -> dict[str, Interval]:
    """Compute every metric of a task with its interval over days.

    Args:
        task: Decides which metrics.
        labels: Shape (n,).
        predictions: Shape (n,).
        days: Shape (n,), the partition of each row.
        only: Names of metrics; by default all.

    Returns:
        The metrics that are defined. There are none with fewer than five days.
    """
    known, blocks = np.unique(days, return_inverse=True)
    names = only or METRICS[task]
    return resampled_intervals(len(known), {n: block_metric(n, labels, predictions, blocks) for n in names})


def resampled_intervals(days: int, metrics: Mapping[str, Resampled]) -> dict[str, Interval]:
    """Compute the interval of each metric that is defined. There are none with fewer than five days."""
    if days < FEWEST_DAYS:
        return {}
    weights = day_weights(days, SAMPLES)
    found = {name: metric(weights) for name, metric in metrics.items()}
    return {name: interval_of(values, CONFIDENCE) for name, values in found.items() if np.isfinite(values[0])}
