"""Sums over rows that come in batches, sorted by prediction: of each block of rows, and of its ties.

A block is a day or a group of a feature. What follows from the sums belongs to ``block_sums`` and ``group_sums``.
"""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np

from contrail.methods.metrics import METRICS, ROW_LOSSES, Task
from contrail.methods.ties import Codes, Floats, Ties, added


class RowSums:
    """The sums over the rows of each block. No more than a batch of rows is in memory.

    Args:
        task: Decides which metrics.
        rows: The rows of each block.
    """

    def __init__(self, task: Task, rows: Sequence[int]) -> None:
        self.task, self.rows = task, np.array(rows, np.float64)
        self._names = [name for name in METRICS[task] if name in ROW_LOSSES]
        self._sums = {name: np.zeros(len(rows)) for name in ("label", "prediction", *self._names)}
        self._open = Ties.none()

    def add(self, blocks: Codes, labels: Floats, predictions: Floats) -> None:
        """Add rows, sorted by prediction, then block, then label, and after all rows that were added before.

        Args:
            blocks: Shape (n,), the number of each row's block.
            labels: Shape (n,).
            predictions: Shape (n,).
        """
        if not len(labels):
            return
        values = {"label": labels, "prediction": predictions, **self._losses(labels, predictions)}
        for name, own in values.items():
            self._sums[name] = added(self._sums[name], blocks, own)
        self._open = self._open.followed_by(predictions, blocks, labels)
        # The next batch may have more rows with the last prediction.
        self._close(int(np.searchsorted(self._open.predictions, predictions[-1])))

    def finish(self) -> Self:
        """Say that there are no more rows."""
        self._close(len(self._open.blocks))
        return self

    def _losses(self, labels: Floats, predictions: Floats) -> Mapping[str, Floats]:
        return {name: ROW_LOSSES[name](labels, predictions) for name in self._names}

    def _close(self, entries: int) -> None:
        """Count the first entries, to which no row can be added any more."""
        ties, self._open = self._open.part(slice(0, entries)), self._open.part(slice(entries, None))
        if entries:
            self._count(ties)

    def _count(self, ties: Ties) -> None:
        """Count whole ties."""
        raise NotImplementedError
