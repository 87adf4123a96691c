"""What a feature's distribution does to predictions: the contributions of its values to a sample of predictions.

A feature may move far and matter to no prediction. So drift also measures how far its contributions move. The unit is the
standard deviation of the predictions, in the trees' own scale, so features and pipelines compare.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contrail.methods.histograms import Bins, Floats, NumberBins, shares_of


@dataclass(frozen=True)
class Contributions:
    """Contributions of features to the predictions of sampled rows.

    ``matrix`` is the encoded sample, shape (rows, features). ``parts`` has each value's contribution, in the same shape.
    ``names`` are the features in order, and ``categories`` the texts that the codes of a category stand for.
    """

    names: Sequence[str]
    categories: Mapping[str, Sequence[str]]
    matrix: npt.NDArray[np.float32]
    parts: Floats

    def effects(self, name: str, bins: Bins) -> tuple[float, ...]:
        """Return the mean contribution of each bin's values, in standard deviations of the predictions.

        Trees treat a number beyond all sampled ones like the nearest. What they make of another value that the sample lacks,
        as a new category or a first missing value, nobody knows. It counts as the known bin that is furthest from the mean,
        so it is not called harmless.
        """
        at = self.names.index(name)
        parts = self.parts[:, at] / self._spread if self._spread else np.zeros(len(self.parts))
        codes = _rounded(bins).places(self._column(name, at))
        rows = np.bincount(codes, minlength=bins.size)
        means = np.bincount(codes, parts, bins.size) / np.maximum(rows, 1)
        known = np.flatnonzero(rows)
        furthest = means[known[np.abs(means[known] - parts.mean()).argmax()]]
        found = np.where(rows > 0, means, furthest)
        numbers = known[known < bins.size - 1]
        if isinstance(bins, NumberBins) and len(numbers):
            every = np.arange(bins.size - 1)
            nearest = numbers[np.abs(every[:, None] - numbers).argmin(axis=1)]
            found[every] = means[nearest]
        return tuple(found.tolist())

    @cached_property
    def _spread(self) -> float:
        """The standard deviation of the predictions."""
        return float(self.parts.sum(axis=1).std())

    def _column(self, name: str, at: int) -> pa.ChunkedArray:
        values = self.matrix[:, at]
        if name not in self.categories:
            return pa.chunked_array([pa.array(values.astype(np.float64), from_pandas=True)])
        texts = np.array([*self.categories[name], None], dtype=object)
        codes = np.where(np.isfinite(values), values, len(texts) - 1).astype(np.int64)
        return pa.chunked_array([pa.array(texts[codes], pa.string())])


def _rounded(bins: Bins) -> Bins:
    """The bins of values that were rounded as the sample's were. A value at an edge stays in its bin."""
    if not isinstance(bins, NumberBins):
        return bins
    return bins.model_copy(update={"edges": tuple(map(float, np.array(bins.edges, np.float32)))})


def effect_distances(effects: Floats, counts: Floats, others: Floats) -> Floats:
    """Measure how far the contributions of rows move between two arrays of counts (earth mover's distance).

    Args:
        effects: The contribution of each bin, shape (bins,).
        counts: Rows in each bin, shape (days, bins).
        others: Rows to compare with, in the same shape.
    """
    order = np.argsort(effects, kind="stable")
    # In the order of rows: in another the last digits would depend on the number of days in the call.
    moved = np.ascontiguousarray((shares_of(counts) - shares_of(others))[:, order])
    ahead = np.cumsum(moved, axis=1)[:, :-1]
    found: Floats = (np.abs(ahead) * np.diff(effects[order])).sum(axis=1)
    return found
