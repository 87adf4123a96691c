"""What a training learns from its rows when trees that had not seen them predict them, as the model will later days.

Drift of the label, the usual share flagged and the threshold of decisions come from here. How trees grow does not.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from contrail.config.model_spec import CostSpec
from contrail.lake.datasets import PARTITION
from contrail.methods.decisions import CostCurve, Deciding, DecisionRule
from contrail.methods.fit import Fitted, fit_unseen
from contrail.methods.intervals import CONFIDENCE, FEWEST_DAYS, SAMPLES, Interval, day_weights, interval_of
from contrail.methods.label_drift import ResidualSums, parts_of
from contrail.methods.matrices import predicted
from contrail.stages.judged_rows import JudgedRows, judged_rows
from contrail.stages.training.base import Training

_MODEL = "model"


class Unseen(NamedTuple):
    """What the predictions add up to. ``flagged`` counts each day's rows at the threshold or above.

    ``decision`` is the threshold that the spec's costs lead to; None without costs.
    """

    residuals: ResidualSums
    flagged: npt.NDArray[np.int64]
    decision: DecisionRule | None


def unseen(training: Training, fitted: Fitted) -> Unseen:
    """Predict each part of the window by trees of the other parts."""
    rows, data, method, spec = training.window.rows, training.data, training.method, training.spec
    params, score = {**method.params, "device": fitted.device}, spec.score
    days, parts = rows.labels.days, parts_of(rows.labels.days)
    residuals, flagged = ResidualSums(), np.zeros(len(days), np.int64)
    with judged_rows(training.run.settings, spec.task, ()) as kept:
        for part in np.unique(parts):
            own, others = rows.of_days(parts == part), rows.of_days(parts != part)
            booster = fit_unseen(data, others, params, fitted.rounds, method.trainer)
            batches = zip(rows.batches(own), predicted(booster, data, own), strict=True)
            for (table, labels), predictions in batches:
                of_day = table.column(PARTITION).to_numpy()
                residuals.add(of_day, labels, predictions)
                if score.costs is None:
                    flagged += _by_day(days, of_day[predictions >= score.threshold])
                else:
                    kept.append(of_day, labels, {_MODEL: predictions}, {})
        if score.costs is None:
            return Unseen(residuals, flagged, None)
        decision = decide(kept, score.costs)
        for of_day, _, predictions in kept.by_prediction(_MODEL):
            flagged += _by_day(days, of_day[predictions >= decision.threshold])
        return Unseen(residuals, flagged, decision)


def decide(kept: JudgedRows, costs: CostSpec) -> DecisionRule:
    """Choose the threshold: the ratio of the costs, unless another one is surely cheaper on the rows."""
    curve = CostCurve(costs)
    for _, labels, predictions in kept.by_prediction(_MODEL):
        curve.add(labels, predictions)
    cheapest, ratio = curve.cheapest(), costs.ratio
    own, usual = (kept.sums(_MODEL, deciding=Deciding(costs, threshold)).days for threshold in (cheapest, ratio))
    days, saving = len(own.days), None
    if days >= FEWEST_DAYS:
        weights = day_weights(days, SAMPLES)
        dear, cheap = usual.cost(weights), own.cost(weights)
        saving = interval_of(dear - cheap, CONFIDENCE)
    better = saving is not None and saving.low > 0
    return DecisionRule(
        threshold=cheapest if better else ratio,
        chosen="rows" if better else "ratio",
        costs=costs,
        cheapest=cheapest,
        rows=kept.rows,
        days=days,
        cost=_interval(cheap if better else dear) if saving else None,
        saving=saving,
    )


def _interval(values: npt.NDArray[np.float64]) -> Interval:
    return interval_of(values, CONFIDENCE)


def _by_day(days: npt.NDArray[np.datetime64], of_rows: npt.NDArray[np.datetime64]) -> npt.NDArray[np.int64]:
    """Count rows by their day."""
    return np.bincount(np.searchsorted(days, of_rows), minlength=len(days))
