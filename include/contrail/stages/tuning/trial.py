"""One trial: trainings on one fold after the other, each measured on the days after it, until one shows that it is worse."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import xgboost

from contrail.config.tune_spec import Value
from contrail.methods.energy import TrainingCost
from contrail.methods.fit import Fitted, Method, fit_trees
from contrail.methods.matrices import predict
from contrail.methods.paired_days import Resamples, gain
from contrail.methods.study import Curve, FoldRecord, TrialRecord, packed
from contrail.methods.trainer import Trainer
from contrail.stages.tuning.base import FoldRows, Tuning

_POINTS = 60  # of a learning curve; a page is not wider


@dataclass(frozen=True)
class Best:
    """The best whole trial so far, with its metric on each fold."""

    number: int
    value: float
    folds: Sequence[Resamples]


def run_trial(
    tuning: Tuning, trainer: Trainer, number: int, params: Mapping[str, Value], best: Best | None
) -> TrialRecord:
    """Train and measure a trial.

    Args:
        tuning: The search.
        trainer: Grows the trees, for one thread at a time.
        number: The trial's.
        params: What the trial changes; nothing in trial 0.
        best: The trial against which it is given up; None: it has every fold.

    Raises:
        StoppedError: when the search was stopped meanwhile.
    """
    began, started, busy = datetime.now(UTC), time.monotonic(), time.process_time()
    settings, known = tuning.params_of(params)
    method = Method(settings, known, trainer)
    folds, worse_than, failed = _run_folds(tuning, method, best)
    seconds = time.monotonic() - started
    on_gpu = tuning.device == "cuda"
    # Trials side by side share the process's clock, so each is counted with its own threads.
    cores = time.process_time() - busy if tuning.workers == 1 else seconds * tuning.threads
    return TrialRecord(
        number=number,
        params=dict(params),
        folds=folds,
        worse_than=worse_than,
        failed=failed,
        began=began,
        ended=datetime.now(UTC),
        cost=TrainingCost(
            seconds=round(seconds, 3),
            core_seconds=round(cores, 3),
            gpu_seconds=round(seconds, 3) if on_gpu else 0.0,
            workers=1,
            factors=tuning.run.settings.energy,
        ),
        threads=tuning.threads,
        device=tuning.device,
    )


def _run_folds(
    tuning: Tuning, method: Method, best: Best | None
) -> tuple[tuple[FoldRecord, ...], int | None, str | None]:
    """Run the folds until one ends the trial: the records, the trial that is better, and why there is no value."""
    folds: list[FoldRecord] = []
    for rows in tuning.folds:
        record = _run_fold(tuning, rows, method)
        if not _is_finite(record):
            return (
                tuple(folds),
                None,
                f"no finite {tuning.plan.metric} before {rows.fold.test.start}: its trees diverged",
            )
        folds.append(record)
        if best is not None and len(folds) < len(tuning.folds) and _is_worse(tuning, folds, best):
            return tuple(folds), best.number, None
    return tuple(folds), None, None


def _is_finite(record: FoldRecord) -> bool:
    """Whether its value and its curves are numbers. Resamples may lack one, where they have no day of the fold."""
    return all(map(math.isfinite, (record.value, *(value for _, value in (*record.fit, *record.validation)))))


def _run_fold(tuning: Tuning, rows: FoldRows, method: Method) -> FoldRecord:
    started = time.monotonic()
    data = tuning.data_of(rows)
    fitted = fit_trees(data, rows.fit, rows.validation, method, window=rows.window)
    booster = xgboost.Booster({"nthread": tuning.threads}, model_file=bytearray(fitted.model))
    predictions = predict(booster, data, rows.test)
    labels, days = _of_test(tuning, rows)
    resampled = tuning.days.values(rows.fold, days, labels, predictions)
    return FoldRecord(
        first=rows.fold.test.start,
        last=rows.fold.test.end,
        rows=len(labels),
        rounds=fitted.rounds,
        value=float(resampled[0]),
        seconds=round(time.monotonic() - started, 3),
        fit=_curve(fitted, "fit"),
        validation=_curve(fitted, "validation"),
        resampled=packed(resampled),
    )


def _of_test(tuning: Tuning, rows: FoldRows) -> tuple[np.ndarray, np.ndarray]:
    """The labels and the days of the rows that a fold predicts."""
    known = tuning.window.rows.labels
    chosen = rows.test[slice(0, len(tuning.window.rows))]
    labels = tuning.data.labels[chosen].astype(np.float64)
    return labels, np.repeat(known.days, known.rows)[chosen]


def _curve(fitted: Fitted, part: str) -> Curve:
    """The metric after some of the rounds, evenly spaced, and after the last."""
    (*_, values) = fitted.history[part].values()
    at = np.unique(np.linspace(0, len(values) - 1, min(_POINTS, len(values))).round().astype(int))
    return tuple((int(one) + 1, round(float(values[one]), 6)) for one in at)


def _is_worse(tuning: Tuning, folds: Sequence[FoldRecord], best: Best) -> bool:
    """Whether its days so far show that it is worse than the best. Chance alone rarely shows that."""
    confidence = tuning.plan.tune.stop_confidence
    if confidence is None:
        return False
    # One side of the interval decides, so half of what lies outside counts.
    return gain(tuning.plan.metric, [one.resamples for one in folds], best.folds, 2 * confidence - 1).high < 0
