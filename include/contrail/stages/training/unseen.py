"""What a training learns from its rows when trees that had not seen them predict them, as the model will later days.

Drift of the label, the usual share flagged and the threshold of decisions come from here. How trees grow does not.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from contrail.config.model_spec import CostSpec
from contrail.lake.datasets import PARTITION
from contrail.methods.calibrator import Calibrator, Kind, fit_calibrator
from contrail.methods.conformal import IntervalRule, interval_rule
from contrail.methods.decisions import CostCurve, Deciding, DecisionRule
from contrail.methods.fit import Fitted, fit_unseen
from contrail.methods.intervals import CONFIDENCE, FEWEST_DAYS, SAMPLES, day_weights, interval_of
from contrail.methods.label_drift import ResidualSums, parts_of
from contrail.methods.matrices import predicted
from contrail.methods.ties import Codes
from contrail.stages.judged_rows import JudgedRows, judged_rows
from contrail.stages.training.base import Training

_MODEL = "model"
Batch = tuple[npt.NDArray[np.datetime64], npt.NDArray[np.float64], npt.NDArray[np.float64]]


# A step and an interval are learned from no more rows, evenly spaced.
_LEARNED = 1 << 18
_WEEK, _TURNS = 7, 3


class Unseen(NamedTuple):
    """What the predictions add up to, after the calibration step. ``flagged`` counts each day's rows that the model flags.

    ``calibration``, ``interval`` and ``decision`` are None where the spec does not ask for them.
    """

    residuals: ResidualSums
    flagged: npt.NDArray[np.int64]
    calibration: Calibrator | None = None
    interval: IntervalRule | None = None
    decision: DecisionRule | None = None


def unseen(training: Training, fitted: Fitted) -> Unseen:
    """Predict each part of the window by trees of the other parts."""
    days, score = training.window.rows.labels.days, training.spec.score
    rows = _predicted(training, fitted, parts_of(days))
    if score.interval is not None:
        return _added(days, rows, score.threshold)._replace(interval=_interval(training, fitted, score.interval))
    if training.method.settings.calibration == "none" and score.costs is None:
        return _added(days, rows, score.threshold)
    with _kept(training, rows) as kept:
        step = _calibration(kept, training.method.settings.calibration)
        calibrating = nullcontext(kept) if step is None else _kept(training, kept.in_order(_MODEL), step)
        with calibrating as calibrated:
            decision = None if score.costs is None else decide(calibrated, score.costs)
            threshold = score.threshold if decision is None else decision.threshold
            found = _added(days, calibrated.in_order(_MODEL), threshold)
    return found._replace(calibration=step, decision=decision)


def _predicted(training: Training, fitted: Fitted, parts: Codes) -> Iterator[Batch]:
    """Return day, label and prediction of all rows, part by part. ``parts`` has the number of each day's part."""
    rows, data, method = training.window.rows, training.data, training.method
    params = {**method.params, "device": fitted.device}
    for part in np.unique(parts):
        own, others = rows.of_days(parts == part), rows.of_days(parts != part)
        booster = fit_unseen(data, others, params, fitted.rounds, method.trainer)
        for (table, labels), predictions in zip(rows.batches(own), predicted(booster, data, own), strict=True):
            yield table.column(PARTITION).to_numpy(), labels, predictions


def _interval(training: Training, fitted: Fitted, share: float) -> IntervalRule:
    """Learn intervals from weeks that take turns: the trees that predict one have seen its season, as the model has."""
    count = len(training.window.rows.labels.days)
    weeks = np.arange(count) // max(1, min(_WEEK, count // (2 * _TURNS))) % _TURNS
    with _kept(training, _predicted(training, fitted, weeks)) as kept:
        return interval_rule(share, *kept.sample(_LEARNED, [_MODEL]))


@contextmanager
def _kept(training: Training, batches: Iterable[Batch], step: Calibrator | None = None) -> Iterator[JudgedRows]:
    """Keep rows in a file, after the calibration step."""
    with judged_rows(training.run.settings, training.spec.task, ()) as kept:
        for of_day, labels, predictions in batches:
            kept.append(of_day, labels, {_MODEL: predictions if step is None else step.apply(predictions)}, {})
        yield kept


def _added(days: npt.NDArray[np.datetime64], batches: Iterable[Batch], threshold: float) -> Unseen:
    residuals, flagged = ResidualSums(), np.zeros(len(days), np.int64)
    for of_day, labels, predictions in batches:
        residuals.add(of_day, labels, predictions)
        of_flagged = np.searchsorted(days, of_day[predictions >= threshold])
        flagged += np.bincount(of_flagged, minlength=len(days))
    return Unseen(residuals, flagged)


def _calibration(kept: JudgedRows, kind: str) -> Calibrator | None:
    return None if kind == "none" else fit_calibrator(cast("Kind", kind), *kept.sample(_LEARNED, [_MODEL]))


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
        cost=interval_of(cheap if better else dear, CONFIDENCE) if saving else None,
        saving=saving,
    )
