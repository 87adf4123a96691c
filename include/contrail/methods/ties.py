"""Rows sorted by prediction, as ties: how they fall into bins of equal counts, and what they add up to.

The rows come in batches. What is in memory is a batch, and sums. Metrics do not belong here.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from contrail.methods.metrics import CALIBRATION_BINS

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass
class Bins:
    """Bins of equal counts over the rows of each group of blocks, and the errors in them.

    ``group`` has each block's group, and ``rows`` its rows. ``errors`` sums prediction minus label, shape (blocks, bins).
    ``labels`` sums labels, shape (groups, bins). Rows with the same prediction share their bins alike. ``ranks`` sums the
    ranks of the rows with label 1 in each group. Ties share their mean rank.
    """

    group: Codes
    rows: Codes
    errors: Floats = field(init=False)
    labels: Floats = field(init=False)
    ranks: Floats = field(init=False)
    done: Codes = field(init=False)
    ends: Codes = field(init=False)

    def __post_init__(self) -> None:
        sizes = np.bincount(self.group, weights=self.rows).astype(np.int64)
        least, more = np.divmod(sizes, CALIBRATION_BINS)
        bins = np.arange(1, CALIBRATION_BINS + 1)
        self.ends = least[:, None] * bins + np.minimum(more[:, None], bins)
        self.errors = np.zeros((len(self.group), CALIBRATION_BINS))
        self.labels = np.zeros(self.ends.shape)
        self.ranks, self.done = np.zeros(len(sizes)), np.zeros(len(sizes), np.int64)

    @property
    def sizes(self) -> Codes:
        """The rows of each bin, shape (groups, bins)."""
        return np.diff(self.ends, axis=1, prepend=0)

    def add(self, ties: "Ties") -> None:
        """Add the rows of whole predictions."""
        group = self.group[ties.blocks]
        new = np.append(True, (np.diff(ties.values) != 0) | (np.diff(group) != 0))
        tie, first = np.cumsum(new) - 1, np.flatnonzero(new)
        rows, labels = (np.asarray(np.bincount(tie, own), np.float64) for own in (ties.rows, ties.labels))
        group = group[first]
        order = np.argsort(group, kind="stable")
        upto = np.empty(len(order))
        upto[order] = np.cumsum(rows[order])
        before = np.append(0, np.cumsum(np.bincount(group, rows, len(self.done))))[group]
        last = self.done[group] + upto - before
        ends = self.ends[group]
        starts = np.column_stack([np.zeros(len(ends), np.int64), ends[:, :-1]])
        inside = np.minimum(ends, last[:, None]) - np.maximum(starts, (last - rows)[:, None])
        share = np.maximum(inside, 0) / rows[:, None]
        self.errors = _in_bins(self.errors, ties.blocks, share[tie], ties.predictions * ties.rows - ties.labels)
        self.labels = _in_bins(self.labels, group, share, labels)
        self.ranks = added(self.ranks, group, labels * (last - (rows - 1) / 2))
        self.done += np.bincount(group, rows, len(self.done)).astype(np.int64)


@dataclass(frozen=True)
class Ties:
    """Rows with the same prediction and block as one entry, sorted by both. ``values`` numbers the predictions."""

    predictions: Floats
    blocks: Codes
    rows: Floats
    labels: Floats

    @classmethod
    def none(cls) -> "Ties":
        """Return no entries."""
        return cls(np.zeros(0), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))

    @property
    def values(self) -> Codes:
        """The number of each entry's prediction, in order."""
        return np.append(0, np.cumsum(np.diff(self.predictions) != 0))

    def followed_by(self, predictions: Floats, blocks: Codes, labels: Floats) -> "Ties":
        """Return these entries and the rows after them."""
        p, b = np.append(self.predictions, predictions), np.append(self.blocks, blocks)
        new = np.append(True, (np.diff(p) != 0) | (np.diff(b) != 0))
        entry = np.cumsum(new) - 1
        sums = (np.append(self.rows, np.ones(len(labels))), np.append(self.labels, labels))
        return Ties(p[new], b[new], *(np.asarray(np.bincount(entry, values), np.float64) for values in sums))

    def part(self, chosen: slice) -> "Ties":
        """Return some of the entries."""
        return Ties(self.predictions[chosen], self.blocks[chosen], self.rows[chosen], self.labels[chosen])


def added(totals: Floats, index: Codes, values: Floats) -> Floats:
    """Add values one after the other to what is there already, as if all batches were one."""
    every = np.append(np.arange(len(totals)), index)
    return np.asarray(np.bincount(every, np.append(totals, values), len(totals)), np.float64)


def _in_bins(totals: Floats, index: Codes, share: Floats, values: Floats) -> Floats:
    """Add to each row of ``totals`` the share of its values that each bin has. Most values lie in one bin alone."""
    value, number = np.nonzero(share)
    cells = index[value] * totals.shape[1] + number
    return added(totals.ravel(), cells, values[value] * share[value, number]).reshape(totals.shape)
