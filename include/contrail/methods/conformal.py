"""Conformal intervals of a regression: a range around each prediction in which a stated share of labels lies.

The errors come from rows that the trees had not seen. Each is divided by the usual error at its prediction's level, so the
range is narrow where errors are small. Nothing is assumed of how labels are spread. These are pure functions over numbers.
"""

import math

import numpy as np

from contrail.frozen import Frozen
from contrail.methods.ties import Floats

# More bins follow chance; with fewer rows in each, too.
_BINS, _FEWEST_IN_BIN = 10, 50
# The usual error of a bin is at least this share of that of all rows, so that no range vanishes by chance.
_LEAST_SHARE = 0.01


class IntervalRule(Frozen):
    """How wide the intervals of a model are. It stays with the model.

    Args:
        share: Of labels that shall lie within, as 0.9.
        rows: Those whose errors were seen.
        at: Predictions, rising, with the ``usual`` absolute error at each. Between them it is a line, beyond them flat.
        factor: Multiple of the usual error that reaches the share, by the conformal quantile.
        least: No label is smaller, where all were at least 0; None elsewhere.
    """

    share: float
    rows: int
    at: tuple[float, ...]
    usual: tuple[float, ...]
    factor: float
    least: float | None

    def around(self, predictions: Floats) -> tuple[Floats, Floats]:
        """Return lower and upper ends, shape (rows,) each. The prediction lies between them."""
        width = self.factor * np.interp(predictions, self.at, self.usual)
        lower, upper = predictions - width, predictions + width
        if self.least is not None:
            lower = np.minimum(np.maximum(lower, self.least), predictions)
        return lower, upper


def interval_rule(share: float, labels: Floats, predictions: Floats) -> IntervalRule:
    """Learn the intervals from rows that the trees had not seen.

    Args:
        share: Of labels that shall lie within.
        labels: Shape (n,).
        predictions: Shape (n,).
    """
    errors = np.abs(labels - predictions)
    order = np.argsort(predictions, kind="stable")
    parts = np.array_split(order, max(1, min(_BINS, len(order) // _FEWEST_IN_BIN)))
    least = max(_LEAST_SHARE * float(errors.mean()), np.finfo(np.float64).tiny)
    at = np.array([predictions[part].mean() for part in parts])
    usual = np.maximum([errors[part].mean() for part in parts], least)
    ratios = np.sort(errors / np.interp(predictions, at, usual))
    rank = min(len(ratios), math.ceil((len(ratios) + 1) * share))
    return IntervalRule(
        share=share,
        rows=len(labels),
        at=tuple(at.tolist()),
        usual=tuple(usual.tolist()),
        factor=float(ratios[rank - 1]),
        least=0.0 if labels.min() >= 0 else None,
    )
