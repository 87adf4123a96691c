"""What a model loses without a feature: on rows in which the feature tells nothing, and when trees grow without it.

Losses are summed by day, so an interval comes from resampling whole days, as in ``intervals``. Growing trees does not
belong here.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from contrail.methods.encoded_rows import Matrix
from contrail.methods.intervals import CONFIDENCE, SAMPLES, Interval, day_weights, interval_of
from contrail.methods.metrics import HEADLINE, ROW_LOSSES, Task, resampled_mean

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Predict = Callable[[Matrix], Floats]


class Judged:
    """Labelled rows by which losses are compared: log loss (binary) or RMSE (regression).

    Args:
        task: Decides which loss.
        labels: Shape (n,).
        blocks: Shape (n,), the number of each row's day, 0 to days - 1. Each day has rows.
    """

    def __init__(self, task: Task, labels: Floats, blocks: Codes) -> None:
        self.metric = HEADLINE[task]
        self._labels, self._blocks = labels, blocks
        self.rows = np.bincount(blocks).astype(np.float64)

    def sums(self, predictions: Floats) -> Floats:
        """Sum the loss of each row by day, shape (days,)."""
        losses = ROW_LOSSES[self.metric](self._labels, predictions)
        return np.bincount(self._blocks, losses, len(self.rows)).astype(np.float64)

    def loss(self, sums: Floats) -> float:
        """The loss of all rows, from the sums of days."""
        return float(resampled_mean(self.metric, sums, self.rows)(np.ones((1, len(self.rows))))[0])

    def added(self, usual: Floats, other: Floats, noise: float = 0.0) -> Interval:
        """Compute how much larger a loss is than the usual one, with an interval over days, paired.

        Args:
            usual: Sums of the usual loss by day.
            other: Sums of the other loss by day.
            noise: Standard deviation of the difference that is due to chance in the growing of trees. It widens the
                interval.
        """
        if np.allclose(usual, other, rtol=1e-12, atol=0):
            other = usual  # a feature that no tree uses adds nothing, not a rounding error
        weights = day_weights(len(self.rows), SAMPLES)
        values = resampled_mean(self.metric, other, self.rows)(weights)
        values = values - resampled_mean(self.metric, usual, self.rows)(weights)
        values[1:] += np.random.default_rng(0).normal(0.0, noise, SAMPLES) if noise else 0.0
        return interval_of(values, CONFIDENCE)


def permuted_sums(
    judged: Judged, predict: Predict, matrix: Matrix, columns: Sequence[int], repeats: int, seed: int
) -> Floats:
    """Sum losses by day while columns tell nothing: their values are shuffled among all rows, together.

    Args:
        judged: The rows' labels and days.
        predict: The model.
        matrix: Encoded rows, shape (n, features). It is as it was afterwards.
        columns: Positions of the columns.
        repeats: The sums are the mean of so many shuffles.
        seed: Chooses the shuffles. The same seed shuffles every column alike.
    """
    draw, kept, own = np.random.default_rng(seed), matrix[:, columns].copy(), list(columns)
    total = np.zeros(len(judged.rows))
    try:
        for _ in range(repeats):
            matrix[:, own] = kept[draw.permutation(len(matrix))]
            total += judged.sums(predict(matrix))
    finally:
        matrix[:, own] = kept
    return total / repeats


def pooled_spread(differences: Sequence[Sequence[float]]) -> float:
    """The standard deviation between seeds, pooled over groups that each have a mean of their own; 0 without two seeds."""
    freedom = sum(len(own) - 1 for own in differences)
    squares = sum(float(np.square(np.array(own) - np.mean(own)).sum()) for own in differences)
    return float(np.sqrt(squares / freedom)) if freedom > 0 else 0.0
