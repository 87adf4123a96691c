"""Decisions from costs: the threshold from which on a model flags a row, why, and what decisions cost and bring.

A flagged row whose label is false is a false alarm. A row that is not flagged, whose label is true, is a miss. These are
pure functions over numbers: no lake, no models.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from contrail.config.model_spec import CostSpec
from contrail.frozen import Frozen
from contrail.methods.intervals import Interval
from contrail.methods.ties import Floats

COST = "cost_per_row"


class DecisionRule(Frozen):
    """The threshold of a model, with its reason. It stays with the model, so that its decisions never change.

    ``cheapest`` is the threshold that costs least on the ``rows`` of ``days`` that the model's trees had not seen.
    ``saving`` is what it saves a row there, beside the ratio of the costs. It counts when the whole interval is above
    zero; else the ratio is the threshold. ``cost`` is that of the threshold, by row.
    """

    threshold: float
    chosen: Literal["ratio", "rows"]
    costs: CostSpec
    cheapest: float
    rows: int
    days: int
    cost: Interval | None
    saving: Interval | None

    @property
    def sentence(self) -> str:
        """The threshold and its reason in words."""
        own = ""
        if self.chosen == "rows":
            own = f", and {self.rows:,} rows cost least with it ({self.costs.ratio:.4g} would be the ratio)"
        return f"threshold {self.threshold:.4g} because {self.costs.sentence}{own}"


@dataclass(frozen=True)
class Deciding:
    """How decisions are made, and what wrong ones cost."""

    costs: CostSpec
    threshold: float

    def losses(self, labels: Floats, predictions: Floats) -> Floats:
        """Return the cost of each row's decision, shape (rows,)."""
        flagged = predictions >= self.threshold
        return np.where(flagged, (1 - labels) * self.costs.false_alarm, labels * self.costs.miss)


class CostCurve:
    """The cost of every threshold over rows that come in batches, sorted by prediction. No row is kept.

    A threshold between two neighbouring predictions decides as the upper one does. Of all thresholds that cost least, the
    one nearest to the ratio of the costs counts, so chance moves it no further than it must.
    """

    def __init__(self, costs: CostSpec) -> None:
        self._costs = costs
        # Labels below the next row: so many would be missed, and so many false alarms spared.
        self._missed, self._spared, self._last = 0, 0, -1.0
        self._best = (np.inf, np.inf, costs.ratio)

    def add(self, labels: Floats, predictions: Floats) -> None:
        """Add rows, none with a smaller prediction than a row before."""
        if not len(labels):
            return
        positive = labels > 0.5
        missed = self._missed + np.concatenate([[0], np.cumsum(positive)])
        spared = self._spared + np.concatenate([[0], np.cumsum(~positive)])
        below = np.concatenate([[self._last], predictions[:-1]])
        begins = predictions > below
        self._look(below[begins], predictions[begins], missed[:-1][begins], spared[:-1][begins])
        self._missed, self._spared, self._last = int(missed[-1]), int(spared[-1]), float(predictions[-1])

    def cheapest(self) -> float:
        """Return the threshold that costs least, 0 to 1."""
        last = np.array([self._last])
        if self._last < 1:
            self._look(last, np.ones(1), np.array([self._missed]), np.array([self._spared]))
        return self._best[2]

    def _look(self, low: Floats, high: Floats, missed: Floats, spared: Floats) -> None:
        """Compare the thresholds above ``low``, up to ``high``."""
        if not len(high):
            return
        cost = missed * self._costs.miss - spared * self._costs.false_alarm
        nearest = np.clip(self._costs.ratio, np.nextafter(low, np.inf), high)
        away = np.abs(nearest - self._costs.ratio)
        first = np.lexsort((away, cost))[0]
        self._best = min(self._best, (float(cost[first]), float(away[first]), float(nearest[first])))
