"""The quality of a day whose labels are not known yet, estimated from its predictions, with an interval.

Probabilities that mean what they say promise a quality: each metric has an expectation over the labels that may come (known
as confidence-based performance estimation, CBPE). Real days stray from it together, as weather does. So the interval adds how
far earlier days strayed, once their labels came. A regression promises nothing by itself. Its errors are estimated from
those of earlier days, in units of the size of the predictions.

Only days that were known when the day was estimated may count. Which those are is for the caller to say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from contrail.config.model_spec import CostSpec
from contrail.methods.decisions import COST
from contrail.methods.metrics import Task
from contrail.methods.ties import Codes, Floats, added

# Of the days so estimated, this share shall have a quality within the interval.
LEVEL = 0.9
# Chosen on April to August of flight_delay: 28 to 120 days cover alike, and fewer follow a change sooner.
DAYS = 56
# With fewer days, no quantile is as rare as an end of the interval.
LEAST_DAYS = 20

_SMALLEST = 1e-15
# What each metric can be at least and at most.
_RANGES = {
    "binary": {"label_mean": (0.0, 1.0), "log_loss": (0.0, np.inf), "brier": (0.0, 1.0), "auc": (0.0, 1.0)},
    "regression": {"rmse": (0.0, np.inf), "mae": (0.0, np.inf)},
}


@dataclass(frozen=True)
class Expected:
    """What the predictions of a day promise of a metric.

    ``scale`` is the standard deviation that chance gives the metric, when each label comes true as its probability says.
    Of a regression it is the root mean square of the predictions, and ``value`` is 0 for a metric of errors.
    """

    value: float
    scale: float


@dataclass(frozen=True)
class Known:
    """A day whose labels came: what was expected of a metric, and what was found."""

    expected: Expected
    found: float


@dataclass(frozen=True)
class Estimate:
    """The estimate of a metric, with the interval that holds it with probability ``LEVEL``, and the days it rests on.

    With too few days there is no interval. A regression then has no estimate either.
    """

    value: float | None
    low: float | None
    high: float | None
    days: int


class ExpectedSums:
    """The sums over the predictions of each day, from which the expected metrics follow. No row is kept.

    Args:
        task: Decides which metrics.
        days: The number of days.
        costs: What wrong decisions cost; None where no cost is stated.
    """

    def __init__(self, task: Task, days: int, costs: CostSpec | None = None) -> None:
        self._task, self._costs = task, costs
        names = (
            ("rows", "p", "negatives", "v", "entropy", "entropy_v", "brier_v", "won", "cost", "cost_v")
            if task == "binary"
            else ("rows", "p", "squares")
        )
        self._sums = {name: np.zeros(days) for name in names}

    def add(self, days: Codes, predictions: Floats, flagged: Floats | None = None) -> None:
        """Add rows, none with a smaller prediction than a row of its day that was added before.

        Args:
            days: Shape (n,), the number of each row's day.
            predictions: Shape (n,), probabilities of a binary task.
            flagged: Shape (n,), 1 where the row was flagged, NaN where no decision is; only where costs are stated.
        """
        p = np.asarray(predictions, np.float64)
        if self._task == "regression":
            self._add(days, rows=np.ones(len(p)), p=p, squares=p * p)
            return
        v, safe = p * (1 - p), np.clip(p, _SMALLEST, 1 - _SMALLEST)
        log_odds = np.log(safe) - np.log1p(-safe)
        # A positive is above each negative that came before it. Of two equal ones each is above the other by half.
        won = p * self._negatives_before(days, 1 - p)
        self._add(
            days,
            rows=np.ones(len(p)),
            p=p,
            negatives=1 - p,
            v=v,
            entropy=-(p * np.log(safe) + (1 - p) * np.log1p(-safe)),
            entropy_v=v * log_odds**2,
            brier_v=v * (1 - 2 * p) ** 2,
            won=won,
        )
        if self._costs is not None and flagged is not None:
            each = np.where(flagged > 0.5, self._costs.false_alarm, self._costs.miss)
            # A missing decision is no decision to pass: the day then has no expected cost.
            each = np.where(np.isnan(flagged), np.nan, each)
            self._add(days, cost=each * np.where(flagged > 0.5, 1 - p, p), cost_v=each**2 * v)

    def of_day(self, day: int) -> dict[str, Expected]:
        """Return what is expected of each metric of a day, as far as it is defined."""
        of = {name: float(values[day]) for name, values in self._sums.items()}
        if not of["rows"]:
            return {}
        found = _binary(of, self._costs is not None) if self._task == "binary" else _regression(of)
        return {
            name: one
            for name, one in found.items()
            if np.isfinite(one.value) and np.isfinite(one.scale) and one.scale >= 0
        }

    def _add(self, days: Codes, **values: Floats) -> None:
        for name, own in values.items():
            self._sums[name] = added(self._sums[name], days, own)

    def _negatives_before(self, days: Codes, negatives: Floats) -> Floats:
        """The sum of ``negatives`` over the rows of the same day that came before each row, in this batch or an earlier one."""
        found, already = np.empty(len(days)), self._sums["negatives"]
        order = np.argsort(days, kind="stable")
        known, first = np.unique(days[order], return_index=True)
        for day, own in zip(known, np.split(order, first[1:]), strict=len(known) > 0):
            found[own] = np.cumsum(np.append(already[day], negatives[own]))[:-1]
        return found


def _binary(of: Mapping[str, float], with_costs: bool) -> dict[str, Expected]:
    rows, p = of["rows"], of["p"]

    def mean(value: str, variance: str) -> Expected:
        return Expected(of[value] / rows, float(np.sqrt(of[variance])) / rows)

    found = {
        "label_mean": mean("p", "v"),
        "log_loss": mean("entropy", "entropy_v"),
        "brier": mean("v", "brier_v"),
    }
    if with_costs:
        found[COST] = mean("cost", "cost_v")
    # A row is no pair with itself.
    pairs = p * (rows - p) - of["v"]
    if pairs > _SMALLEST:
        area = min(of["won"] / pairs, 1.0)
        found["auc"] = Expected(area, _spread_of_auc(area, p, rows - p))
    return found


def _spread_of_auc(area: float, positives: float, negatives: float) -> float:
    """The standard deviation of an AUC by Hanley and McNeil (1982)."""
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positives - 1) * (one - area**2) + (negatives - 1) * (two - area**2)
    return float(np.sqrt(max(variance, 0.0) / (positives * negatives)))


def _regression(of: Mapping[str, float]) -> dict[str, Expected]:
    scale = float(np.sqrt(of["squares"] / of["rows"]))
    errors = {name: Expected(0.0, scale) for name in ("rmse", "mae", "bias")}
    return {"label_mean": Expected(of["p"] / of["rows"], scale), **errors}


def estimate(task: Task, metric: str, expected: Expected, known: Sequence[Known]) -> Estimate:
    """Estimate a metric of a day, from what its predictions promise and from how earlier days kept such promises.

    Each earlier day's distance from its promise is measured in units of its own. Of a probability these are the noise of so
    many labels and the usual distance of whole days, together. The middle of these distances moves the estimate. Their
    quantiles are the ends of the interval.

    Args:
        task: Decides the units.
        metric: One of the names of ``ExpectedSums``.
        expected: What the day's predictions promise.
        known: The days whose labels were known; only these count.
    """
    days = [one for one in known if np.isfinite(one.found) and (task == "binary" or one.expected.scale > 0)]
    if task == "regression" and not expected.scale:
        return Estimate(None, None, None, len(days))  # errors of predictions that are all 0 have no unit
    if len(days) < LEAST_DAYS:
        return Estimate(expected.value if task == "binary" else None, None, None, len(days))
    strayed = np.array([one.found - one.expected.value for one in days])
    scales = np.array([one.expected.scale for one in days])
    of_days = max(0.0, float(strayed.var() - np.mean(scales**2))) if task == "binary" else 0.0
    units, own = np.sqrt(scales**2 + of_days), float(np.sqrt(expected.scale**2 + of_days))
    known_units = units > 0
    if not known_units.any():
        return Estimate(expected.value, expected.value, expected.value, len(days))
    tail = (1 - LEVEL) / 2
    ends = np.quantile(strayed[known_units] / units[known_units], [tail, 0.5, 1 - tail], method="weibull")
    least, most = _RANGES[task].get(metric, (-np.inf, np.inf))
    low, middle, high = np.clip(expected.value + ends * own, least, most).tolist()
    return Estimate(middle, low, high, len(days))
