"""Two models on the same days of the same folds: the difference of a metric, with an interval over days.

Every model's metric is computed on the same resamples of days. So the difference of two models is that of their values,
resample by resample, and neither needs the other's predictions.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from contrail.methods.folds import Fold
from contrail.methods.intervals import SAMPLES, Interval, day_weights, interval_of
from contrail.methods.metrics import HIGHER_IS_BETTER, Floats, block_metric
from contrail.methods.splits import within

Resamples = npt.NDArray[np.float64]


class FoldDays:
    """The resamples of the test days of all folds. A day counts as often in each model's metric."""

    def __init__(self, metric: str, folds: Sequence[Fold]) -> None:
        self.metric = metric
        self._days = np.concatenate([np.array([*fold.test], "datetime64[D]") for fold in folds])
        self._weights = day_weights(len(self._days), SAMPLES)

    def values(self, fold: Fold, days: npt.NDArray[np.datetime64], labels: Floats, predictions: Floats) -> Resamples:
        """The metric of a fold on all of its days, and then on each resample. Shape (samples + 1,).

        Args:
            fold: The fold.
            days: The day of each row, shape (n,).
            labels: Shape (n,).
            predictions: Shape (n,).
        """
        own = self._days[within(self._days, fold.test)]
        known, blocks = np.unique(days.astype("datetime64[D]"), return_inverse=True)
        weights = self._weights[:, np.searchsorted(self._days, known)]
        assert set(known) <= set(own)
        with np.errstate(divide="ignore", invalid="ignore"):  # a resample may have no day of the fold
            return block_metric(self.metric, labels, predictions, blocks)(weights)


def mean_of(folds: Sequence[Resamples]) -> Resamples:
    """The metric of a model: the mean over its folds, of each resample."""
    return np.mean(np.stack(folds), axis=0)


def gain(metric: str, one: Sequence[Resamples], other: Sequence[Resamples], confidence: float) -> Interval:
    """How much better the first model is than the other, on the folds that both have. Positive is better."""
    both = min(len(one), len(other))
    difference = mean_of(one[:both]) - mean_of(other[:both])
    return interval_of(difference if metric in HIGHER_IS_BETTER else -difference, confidence)
