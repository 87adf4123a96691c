"""The metrics of days, of periods and of all days from rows in batches: no more than one batch is in memory.

The rows come sorted by prediction. Ranks and bins of equal counts then follow from sums that each batch adds to. A day's
sums depend only on its own rows and their order, never on the batches or on other days. So any split of a range gives a
day the same metrics, to the last bit.
"""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np

from contrail.methods.calibration import Period, spread_of
from contrail.methods.decisions import COST, Deciding
from contrail.methods.intervals import Interval, resampled_intervals
from contrail.methods.metrics import (
    HEADLINE,
    METRICS,
    ROW_LOSSES,
    Resampled,
    Task,
    resampled_auc,
    resampled_calibration,
    resampled_mean,
)
from contrail.methods.row_sums import RowSums
from contrail.methods.ties import Bins, Codes, Floats, Ties

_BASELINE = "baseline"
_CELLS = 1 << 20  # of a matrix of predictions by days


class BlockSums(RowSums):
    """The sums over the labelled rows of one model's predictions, from which every metric of any days follows.

    Args:
        task: Decides which metrics.
        days: The days with labelled rows, in order.
        rows: The labelled rows of each day.
        constant: What the baseline predicts of every row. None: there is no baseline.
        periods: The number of each day's period. By default each calendar month is one.
        deciding: How rows are flagged, and what that costs. None: no cost is measured.
    """

    def __init__(
        self,
        task: Task,
        days: Sequence[date],
        rows: Sequence[int],
        constant: float | None = None,
        periods: Codes | None = None,
        deciding: Deciding | None = None,
    ) -> None:
        super().__init__(task, rows)
        self.days, self._constant, self._deciding = tuple(days), constant, deciding
        self._sums |= {name: np.zeros(len(days)) for name in (_BASELINE, COST)}
        count, counts = len(days), np.array(rows, np.int64)
        _, months = np.unique(np.array(days, "datetime64[M]"), return_inverse=True)
        self._period = months if periods is None else periods
        self._of_day, self._of_period, self._of_all = (
            Bins(group, counts) for group in (np.arange(count), self._period, np.zeros(count, np.int64))
        )
        self._negatives, self._won = np.zeros(count), np.zeros((count, count))

    def _losses(self, labels: Floats, predictions: Floats) -> Mapping[str, Floats]:
        losses = {**super()._losses(labels, predictions)}
        if self._deciding is not None:
            losses[COST] = self._deciding.losses(labels, predictions)
        if self._constant is None:
            return losses
        constant = np.full(len(labels), self._constant)
        return {**losses, _BASELINE: ROW_LOSSES[HEADLINE[self.task]](labels, constant)}

    def _count(self, ties: Ties) -> None:
        for bins in (self._of_day, self._of_period, self._of_all):
            bins.add(ties)
        if self.task == "binary":
            values = ties.values
            step = max(1, _CELLS // len(self.days))
            for first in range(0, int(values[-1]) + 1, step):
                self._count_won(ties.part(slice(*np.searchsorted(values, [first, first + step]))))

    def _count_won(self, ties: Ties) -> None:
        """Count the pairs that the positives of these predictions won: of each day, against the negatives of each day."""
        values, count = ties.values, len(self.days)
        shape = (int(values[-1]) + 1, count)
        same = np.bincount(values * count + ties.blocks, ties.rows - ties.labels, shape[0] * count).reshape(shape)
        upto = self._negatives + np.cumsum(same, axis=0)
        self._negatives = upto[-1]
        positive = np.flatnonzero(ties.labels)
        order = positive[np.argsort(ties.blocks[positive], kind="stable")]
        if not len(order):
            return
        days, first = np.unique(ties.blocks[order], return_index=True)
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
        """Return the metrics of all days, and their intervals over days. Without rows they are NaN."""
        if not self.days:
            return dict.fromkeys(METRICS[self.task], float("nan")), {}
        metrics = self._of_all_days()
        return _values(metrics, len(self.days)), resampled_intervals(len(self.days), metrics)

    def resampled(self, metric: str) -> Resampled:
        """Return the function from weights of the days to a metric of all days."""
        return self._of_all_days()[metric]

    def cost(self, weights: Floats) -> Floats:
        """Compute the mean cost of a row's decision on resamples of the days, from their weights."""
        return resampled_mean(COST, self._sums[COST], self.rows)(weights)

    @property
    def decides(self) -> bool:
        """Say whether the cost of decisions was measured."""
        return self._deciding is not None

    @property
    def finite(self) -> bool:
        """Say whether every prediction is finite."""
        return bool(np.isfinite(self._sums["prediction"]).all())

    @property
    def classes(self) -> int:
        """The number of classes that the labels have."""
        positives = self._sums["label"].sum()
        return int(positives > 0) + int(positives < self.rows.sum())

    def spread(self) -> float:
        """Measure how far the bins of predictions tell rows apart. See ``calibration.spread``."""
        (labels,), (rows,) = self._of_all.labels, self._of_all.sizes
        return spread_of(labels, rows)

    def periods(self) -> tuple[Period, ...]:
        """Return the calibration of each period, in order."""
        return tuple(self._of(np.flatnonzero(self._period == number)) for number in np.unique(self._period))

    def _of(self, chosen: Codes) -> Period:
        name, rows = "calibration_error", self.rows[chosen].sum()
        metric = {name: resampled_calibration(self._of_period.errors[chosen], self.rows[chosen])}
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

    def _of_all_days(self) -> dict[str, Resampled]:
        return self._metrics(np.arange(len(self.days)), self._of_all)

    def _metrics(self, chosen: Codes, bins: Bins) -> dict[str, Resampled]:
        rows, positives = self.rows[chosen], self._sums["label"][chosen]
        found = {name: resampled_mean(name, self._sums[name][chosen], rows) for name in self._names}
        found["calibration_error"] = resampled_calibration(bins.errors[chosen], rows)
        if self.task == "binary":
            found["auc"] = resampled_auc(positives, rows - positives, self._won[np.ix_(chosen, chosen)])
        names = METRICS[self.task]
        if self._deciding is not None:
            found[COST] = resampled_mean(COST, self._sums[COST][chosen], rows)
            return {name: found[name] for name in (*names, COST)}
        return {name: found[name] for name in names}


def _values(metrics: dict[str, Resampled], days: int) -> dict[str, float]:
    return {name: float(metric(np.ones((1, days)))[0]) for name, metric in metrics.items()}
