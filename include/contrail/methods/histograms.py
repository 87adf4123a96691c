"""Bins over a window's values, the histograms of days in them, and how far two histograms lie apart.

What distance is unusual does not belong here.
"""

import math
from datetime import date
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contrail.frozen import Frozen

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

_PARTITION = "partition_date"
_MAX_CATEGORIES = 200
# Values outside the usual range lie in three bins on either side: just outside, and more than one and ten ranges away.
# They are moved by so much more than the window's whole width of 1. So a new unit is not taken for one more record: a
# feature times ten was found in 61 % of the features of flight_delay, in 21 % without a measure of how far outside.
_RANGES_AWAY = (1, 10)
_OUTSIDE = (0.1, 0.5, 1.0)


class NumberBins(Frozen):
    """Bins of a number by their right ends, and how far each bin lies from the next; the last bin is of missing values.

    ``gaps`` is in ranks: the window's own values span 0 to 1. No ``edges``: the window has no value.
    """

    kind: Literal["number"] = "number"
    edges: tuple[float, ...]
    gaps: tuple[float, ...]

    def histograms(self, column: pa.ChunkedArray, codes: Codes, days: int) -> Floats:
        """Counts, shape (days, bins); ``codes`` has each row's day."""
        numbers, missing = _numbers(column), len(self.edges) + 1
        binned = np.where(np.isnan(numbers), missing, np.searchsorted(self.edges, numbers, side="left"))
        return _counts(binned, missing + 1, codes, days)

    def distances(self, counts: Floats, others: Floats) -> Floats:
        """How far the rows of one array of counts are from those of another, 0 for the same distribution.

        The mean way, in ranks of the window, that rows must be moved (earth mover's distance), and the difference of
        the missing shares, as if a missing value were 1 away.
        """
        others = np.broadcast_to(others, counts.shape)
        missing = np.abs(_shares(counts)[:, -1] - _shares(others)[:, -1])
        known, known_others = counts[:, :-1], others[:, :-1]
        ahead = np.abs(np.cumsum(_shares(known) - _shares(known_others), axis=1))[:, :-1]
        # Not a matrix product: its last digits depend on how many days are asked for together.
        moved = (ahead * np.array(self.gaps)).sum(axis=1)
        comparable = (known.sum(axis=1) > 0) & (known_others.sum(axis=1) > 0)
        return missing + np.where(comparable, moved, 0)


class CategoryBins(Frozen):
    """A bin for each category, the most frequent first; the last two are of unknown and of missing values."""

    kind: Literal["category"] = "category"
    values: tuple[str, ...]
    gaps: tuple[()] = ()  # categories have no order; the stored reference names the key all the same

    def histograms(self, column: pa.ChunkedArray, codes: Codes, days: int) -> Floats:
        """Counts, shape (days, bins); ``codes`` has each row's day."""
        unknown = len(self.values)
        found = pc.index_in(pc.cast(column, pa.string()), value_set=pa.array(self.values, pa.string()))
        binned = np.where(column.is_null().to_numpy(), unknown + 1, found.fill_null(unknown).to_numpy())
        return _counts(binned, unknown + 2, codes, days)

    def distances(self, counts: Floats, others: Floats) -> Floats:
        """The share of rows to be moved from one array's rows to the other's, 0 for the same distribution."""
        return np.abs(_shares(counts) - _shares(np.broadcast_to(others, counts.shape))).sum(axis=1) / 2


Bins = NumberBins | CategoryBins


def days_of(features: pa.Table) -> tuple[list[date], Codes]:
    """The days that have rows, in order, and the position of each row's day among them."""
    days, codes = np.unique(features.column(_PARTITION).to_numpy(), return_inverse=True)
    return days.astype("datetime64[D]").astype(object).tolist(), codes


def bins_of(column: pa.ChunkedArray, kind: Literal["number", "category"], most: int, codes: Codes) -> Bins:
    """Bins for a window's values: ``most`` of about equal counts inside the usual range of a number."""
    if kind == "category":
        counts = pc.cast(column, pa.string()).drop_null().value_counts()
        ranked = sorted(counts.to_pylist(), key=lambda entry: (-entry["counts"], entry["values"]))
        return CategoryBins(values=tuple(entry["values"] for entry in ranked[:_MAX_CATEGORIES]))
    numbers = _numbers(column)
    known = ~np.isnan(numbers)
    bins = NumberBins(edges=_edges(numbers[known], most, codes[known]), gaps=())
    if not bins.edges:
        return bins
    return bins.model_copy(update={"gaps": _gaps(bins.histograms(column, np.zeros_like(codes), 1))})


def _edges(numbers: Floats, bins: int, codes: Codes) -> tuple[float, ...]:
    """Right ends of bins of about equal counts, with three bins below the usual range and three above it.

    The range leaves out what only one day has, below and above: so a day that goes beyond all others is as strange
    among the reference's own days as it would be later, and the threshold has seen one.
    """
    if not len(numbers):
        return ()
    first, last = _usual_range(numbers, codes)
    usual = np.sort(numbers[(numbers >= first) & (numbers <= last)])
    changes = np.flatnonzero(np.diff(usual)) + 1
    if len(changes) < bins:
        inner = usual[np.append(0, changes)]
    else:
        inner = usual[np.ceil(np.arange(1, bins + 1) / bins * len(usual)).astype(int) - 1]
    low, high = float(usual[0]), float(usual[-1])
    width = max(high - low, abs(high) / 10, 1e-9)
    below = [low - far * width for far in reversed(_RANGES_AWAY)]
    above = [high + far * width for far in _RANGES_AWAY]
    return tuple(float(edge) for edge in np.unique([*below, np.nextafter(low, -np.inf), *inner, *above]))


def _usual_range(numbers: Floats, codes: Codes) -> tuple[float, float]:
    """From the second lowest of the days' minima to the second highest of their maxima."""
    lowest, highest = np.full(codes.max() + 1, np.inf), np.full(codes.max() + 1, -np.inf)
    np.minimum.at(lowest, codes, numbers)
    np.maximum.at(highest, codes, numbers)
    first, last = np.sort(lowest)[:2].max(), np.sort(highest)[-2:].min()
    return (first, last) if first <= last else (numbers.min(), numbers.max())


def _gaps(total: Floats) -> tuple[float, ...]:
    """How far each bin lies from the next, by the window's own histogram, shape (1, bins)."""
    shares = _shares(total[:, len(_OUTSIDE) : -len(_OUTSIDE) - 1])[0]
    ranks = np.cumsum(shares) - shares / 2
    outside = np.array(_OUTSIDE)
    return tuple(np.diff([*-outside[::-1], *ranks, *(1 + outside)]).tolist())


def _numbers(column: pa.ChunkedArray) -> Floats:
    return np.asarray(pc.cast(column, pa.float64()).fill_null(math.nan).to_numpy())


def _counts(binned: Codes, size: int, codes: Codes, days: int) -> Floats:
    return np.bincount(codes * size + binned, minlength=days * size).reshape(days, size).astype(np.float64)


def _shares(counts: Floats) -> Floats:
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros_like(counts, dtype=np.float64), where=totals > 0)
