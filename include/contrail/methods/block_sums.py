"""The metrics of days, of months and of all days from rows in batches: no more than one batch is in memory.

The rows come sorted by prediction. Ranks and bins of equal counts then follow from sums that each batch adds to. A day's
sums depend only on its own rows and their order, never on the batches or on other days. So any split of a range gives a
day the same metrics, to the last bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import numpy.typing as npt

from contrail.methods.calibration import Period
from contrail.methods.intervals import Interval, resampled_intervals
from contrail.methods.metrics import (
    CALIBRATION_BINS,
    HEADLINE,
    METRICS,
    ROW_LOSSES,
    Resampled,
    Task,
    resampled_auc,
    resampled_calibration,
    resampled_mean,
)

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

_BASELINE = "baseline"
_CELLS = 1 << 20  # of a matrix of predictions by days


@dataclass
class _Bins:
    """Bins of equal counts over the rows of each group of days, and the errors in them.

    ``group`` has each day's group. ``errors`` sums prediction minus label, shape (days, bins). Rows with the same
    prediction share their bins alike.
    """

    group: Codes
    rows: Codes
    errors: Floats = field(init=False)
    done: Codes = field(init=False)
    ends: Codes = field(init=False)

    def __post_init__(self) -> None:
        sizes = np.bincount(self.group, weights=self.rows).astype(np.int64)
        least, more = np.divmod(sizes, CALIBRATION_BINS)
        bins = np.arange(1, CALIBRATION_BINS + 1)
        self.ends = least[:, None] * bins + np.minimum(more[:, None], bins)
        self.errors = np.zeros((len(self.group), CALIBRATION_BINS))
        self.done = np.zeros(len(sizes), np.int64)

    def add(self, ties: "_Ties") -> None:
        """Add the rows of whole predictions."""
        group = self.group[ties.days]
        new = np.append(True, (np.diff(ties.values) != 0) | (np.diff(group) != 0))
        tie, first = np.cumsum(new) - 1, np.flatnonzero(new)
        rows, group = np.bincount(tie, ties.rows), group[first]
        order = np.argsort(group, kind="stable")
        upto = np.empty(len(order))
        upto[order] = np.cumsum(rows[order])
        before = np.append(0, np.cumsum(np.bincount(group, rows, len(self.done))))[group]
        last = self.done[group] + upto - before
        ends = self.ends[group]
        starts = np.column_stack([np.zeros(len(ends), np.int64), ends[:, :-1]])
        inside = np.minimum(ends, last[:, None]) - np.maximum(starts, (last - rows)[:, None])
        share = np.maximum(inside, 0) / rows[:, None]
        errors = (ties.predictions * ties.rows - ties.labels)[:, None] * share[tie]
        cells = ties.days[:, None] * CALIBRATION_BINS + np.arange(CALIBRATION_BINS)
        self.errors = _added(self.errors.ravel(), cells.ravel(), errors.ravel()).reshape(self.errors.shape)
        self.done += np.bincount(group, rows, len(self.done)).astype(np.int64)


@dataclass(frozen=True)
class _Ties:
    """Rows with the same prediction and day as one entry, sorted by both. ``values`` numbers the predictions."""

    predictions: Floats
    days: Codes
    rows: Floats
    labels: Floats

    @property
    def values(self) -> Codes:
        return np.append(0, np.cumsum(np.diff(self.predictions) != 0))

    def followed_by(self, predictions: Floats, days: Codes, labels: Floats) -> "_Ties":
        """Return these entries and the rows after them."""
        p, d = np.append(self.predictions, predictions), np.append(self.days, days)
        new = np.append(True, (np.diff(p) != 0) | (np.diff(d) != 0))
        entry = np.cumsum(new) - 1
        added = (np.append(self.rows, np.ones(len(labels))), np.append(self.labels, labels))
        return _Ties(p[new], d[new], *(np.asarray(np.bincount(entry, values), np.float64) for values in added))

    def part(self, chosen: slice) -> "_Ties":
        """Return some of the entries."""
        return _Ties(self.predictions[chosen], self.days[chosen], self.rows[chosen], self.labels[chosen])


class BlockSums:
    """The sums over the labelled rows of one model's predictions, from which every metric of any days follows.

    Args:
        task: Decides which metrics.
        days: The days with labelled rows, in order.
        rows: The labelled rows of each day.
        constant: What the baseline predicts of every row. None: there is no baseline.
    """

    def __init__(self, task: Task, days: Sequence[date], rows: Sequence[int], constant: float | None = None) -> None:
        self.task, self.days, self._constant = task, tuple(days), constant
        self.rows = np.array(rows, np.float64)
        count, counts = len(days), np.array(rows, np.int64)
        _, self._month = np.unique(np.array(days, "datetime64[M]"), return_inverse=True)
        self._names = [name for name in METRICS[task] if name in ROW_LOSSES]
        self._sums = {name: np.zeros(count) for name in ("label", "prediction", _BASELINE, *self._names)}
        self._of_day, self._of_month, self._of_all = (
            _Bins(group, counts) for group in (np.arange(count), self._month, np.zeros(count, np.int64))
        )
        self._negatives, self._won = np.zeros(count), np.zeros((count, count))
        self._open = _Ties(np.zeros(0), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))

    def add(self, days: Codes, labels: Floats, predictions: Floats) -> None:
        """Add rows, sorted by prediction, then day, then label, and after all rows that were added before.

        Args:
            days: Shape (n,), the position of each row's day.
            labels: Shape (n,).
            predictions: Shape (n,).
        """
        if not len(labels):
            return
        losses = {name: ROW_LOSSES[name](labels, predictions) for name in self._names}
        if self._constant is not None:
            losses[_BASELINE] = ROW_LOSSES[HEADLINE[self.task]](labels, np.full(len(labels), self._constant))
        for name, values in {"label": labels, "prediction": predictions, **losses}.items():
            self._sums[name] = _added(self._sums[name], days, values)
        self._open = self._open.followed_by(predictions, days, labels)
        # The next batch may have more rows with the last prediction.
        self._close(int(np.searchsorted(self._open.predictions, predictions[-1])))

    def finish(self) -> "BlockSums":
        """Say that there are no more rows."""
        self._close(len(self._open.days))
        return self

    def _close(self, entries: int) -> None:
        """Count the first entries, to which no row can be added any more."""
        ties, self._open = self._open.part(slice(0, entries)), self._open.part(slice(entries, None))
        if not entries:
            return
        for bins in (self._of_day, self._of_month, self._of_all):
            bins.add(ties)
        if self.task == "binary":
            values = ties.values
            step = max(1, _CELLS // len(self.days))
            for first in range(0, int(values[-1]) + 1, step):
                self._count_won(ties.part(slice(*np.searchsorted(values, [first, first + step]))))

    def _count_won(self, ties: _Ties) -> None:
        """Count the pairs that the positives of these predictions won: of each day, against the negatives of each day."""
        values, count = ties.values, len(self.days)
        shape = (int(values[-1]) + 1, count)
        same = np.bincount(values * count + ties.days, ties.rows - ties.labels, shape[0] * count).reshape(shape)
        upto = self._negatives + np.cumsum(same, axis=0)
        self._negatives = upto[-1]
        positive = np.flatnonzero(ties.labels)
        order = positive[np.argsort(ties.days[positive], kind="stable")]
        if not len(order):
            return
        days, first = np.unique(ties.days[order], return_index=True)
        lower = (upto - same / 2)[values[order]] * ties.labels[order, None]
        self._won[days] += np.add.reduceat(lower, first, axis=0)

    # ---- what follows ----

    def of_day(self, position: int) -> dict[str, float]:
        """Return the metrics of a day, with ``label_mean``, ``prediction_mean`` and the baseline's headline metric."""
        chosen, rows = np.array([position]), self.rows[position]
        means = {f"{name}_mean": float(self._sums[name][position] / rows) for name in ("label", "prediction")}
        if self._constant is not None:
            headline = HEADLINE[self.task]
            loss = resampled_mean(headline, self._sums[_BASELINE][chosen], self.rows[chosen])
            means[f"baseline_{headline}"] = float(loss(np.ones((1, 1)))[0])
        return {**means, **_values(self._metrics(chosen, self._of_day), 1)}

    def overall(self) -> dict[str, float]:
        """Return the metrics of all days, with ``label_mean`` and ``prediction_mean``."""
        rows, days = self.rows.sum(), np.arange(len(self.days))
        means = {f"{name}_mean": float(self._sums[name].sum() / rows) for name in ("label", "prediction")}
        return {**means, **_values(self._metrics(days, self._of_all), len(self.days))}

    def pooled(self) -> tuple[dict[str, float], dict[str, Interval]]:
        """Return the metrics of all days, and their intervals over days."""
        metrics = self._metrics(np.arange(len(self.days)), self._of_all)
        return _values(metrics, len(self.days)), resampled_intervals(len(self.days), metrics)

    def months(self) -> tuple[Period, ...]:
        """Return the calibration of each calendar month."""
        return tuple(self._period(np.flatnonzero(self._month == month)) for month in np.unique(self._month))

    def _period(self, chosen: Codes) -> Period:
        name, rows = "calibration_error", self.rows[chosen].sum()
        metric = {name: resampled_calibration(self._of_month.errors[chosen], self.rows[chosen])}
        return Period(
            start=self.days[chosen[0]],
            end=self.days[chosen[-1]],
            days=len(chosen),
            rows=int(rows),
            label_mean=float(self._sums["label"][chosen].sum() / rows),
            prediction_mean=float(self._sums["prediction"][chosen].sum() / rows),
            calibration_error=_values(metric, len(chosen))[name],
            interval=resampled_intervals(len(chosen), metric).get(name),
        )

    def _metrics(self, chosen: Codes, bins: _Bins) -> dict[str, Resampled]:
        rows, positives = self.rows[chosen], self._sums["label"][chosen]
        found = {name: resampled_mean(name, self._sums[name][chosen], rows) for name in self._names}
        found["calibration_error"] = resampled_calibration(bins.errors[chosen], rows)
        if self.task == "binary":
            found["auc"] = resampled_auc(positives, rows - positives, self._won[np.ix_(chosen, chosen)])
        return {name: found[name] for name in METRICS[self.task]}


def _values(metrics: dict[str, Resampled], days: int) -> dict[str, float]:
    return {name: float(metric(np.ones((1, days)))[0]) for name, metric in metrics.items()}


def _added(totals: Floats, index: Codes, values: Floats) -> Floats:
    """Add values one after the other to what is there already, as if all batches were one."""
    every = np.append(np.arange(len(totals)), index)
    return np.asarray(np.bincount(every, np.append(totals, values), len(totals)), np.float64)
