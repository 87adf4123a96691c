"""How good the model is out of time: against the baselines, over seeds, by month, and at its threshold.

Every interval comes from resampling whole days. A seed's own model differs from another's by as much as many a feature
brings. So no single number is the quality.
"""

import os
import statistics
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.harness import HOME, PIPELINE
from benchmarks.trainings import Year, load_year, trained_predictions

TRAINED, FIRST, LAST = (date(2013, 1, 1), date(2013, 8, 31)), date(2013, 10, 1), date(2013, 12, 31)
SEEDS = range(5)
PLAIN = {"max_depth": 6, "eta": 0.05}

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Test:
    """The rows of October to December whose labels are mature."""

    year: Year
    rows: npt.NDArray[np.bool_]

    @property
    def days(self) -> npt.NDArray[np.datetime64]:
        return self.year.days[self.rows]

    @property
    def labels(self) -> Floats:
        return self.year.labels[self.rows]


def measure() -> str:
    """Metrics pooled over October to December. There is no timing, so there is no ratio."""
    os.environ["CONTRAIL_HOME"] = str(HOME)
    year = load_year()
    test = _Test(year, (year.days >= np.datetime64(FIRST)) & (year.days <= np.datetime64(LAST)))
    seeds = []
    for seed in SEEDS:
        seeds.append(trained_predictions(year, TRAINED, test.rows, {"seed": seed}))
        print(f"  seed {seed + 1}/{len(SEEDS)}", flush=True)
    plain = trained_predictions(year, TRAINED, test.rows, {"params": PLAIN})
    return "\n".join(
        [
            "## Quality out of time",
            "",
            f"Trained on January to August 2013; {_span(test)}, {len(test.labels):,} flights whose outcome is known. In "
            "brackets is the 95% interval over days.",
            "",
            *_against_baselines(test),
            *_over_seeds(test, seeds, plain),
            *_by_features(test, seeds[0]),
            *_by_month(test, seeds[0]),
            *_at_threshold(test, seeds[0]),
            *_usual(year),
        ]
    )


def _span(test: _Test) -> str:
    return f"{test.days.min()} to {test.days.max()}"


def _against_baselines(test: _Test) -> list[str]:
    from contrail.adapters.registry import resolve
    from contrail.config.pipeline import load_pipeline
    from contrail.config.settings import settings
    from contrail.lake.lake import Lake
    from contrail.operations.realised import realised
    from contrail.partitions import Partitions

    settings.cache_clear()
    pipeline = load_pipeline(PIPELINE)
    champion = resolve(settings(), PIPELINE, "champion")
    found = realised(pipeline, Lake(settings(), PIPELINE), champion, Partitions(FIRST, LAST))
    assert found is not None
    lines = ["| | AUC | log loss | calibration error |", "|---|---|---|---|"]
    for name, values in found.metrics.items():
        intervals = found.intervals[name]
        cells = (
            f"{values[metric]:.4f} [{intervals[metric].low:.4f}, {intervals[metric].high:.4f}]"
            for metric in ("auc", "log_loss", "calibration_error")
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def _over_seeds(test: _Test, seeds: list[Floats], plain: Floats) -> list[str]:
    from contrail.methods.metrics import auc, log_loss

    found: dict[str, Any] = {
        "AUC": [auc(test.labels, p) for p in seeds],
        "log loss": [log_loss(test.labels, p) for p in seeds],
    }
    lines = [
        f"| | {' | '.join(f'seed {seed}' for seed in SEEDS)} | mean | deviation |",
        "|---" * (len(SEEDS) + 3) + "|",
    ]
    for name, values in found.items():
        cells = " | ".join(f"{value:.4f}" for value in values)
        lines.append(f"| {name} | {cells} | {statistics.mean(values):.4f} | {statistics.stdev(values):.4f} |")
    return [
        *lines,
        "",
        f"The same features with plain parameters (depth {PLAIN['max_depth']}, eta {PLAIN['eta']}, no regularisation, seed "
        f"0): AUC {auc(test.labels, plain):.4f}, log loss {log_loss(test.labels, plain):.4f}.",
        "",
    ]


def _by_features(test: _Test, whole: Floats) -> list[str]:
    """The same training on fewer features, with the interval of AUC over days."""
    from contrail.methods.intervals import day_intervals

    every = test.year.spec.features.columns
    schedule = list(every)[: list(every).index("flight_late_28d")]
    yesterday = [name for name in every if name.endswith(("_1d", "_open_share", "_evening_delay"))]
    rates = ["flight_late_28d", "flight_delay_28d"]
    found = {
        "schedule alone": _trained_on(test, schedule),
        "schedule, yesterday": _trained_on(test, [*schedule, *yesterday]),
        "and 28-day rates of the flight number": _trained_on(test, [*schedule, *yesterday, *rates]),
        f"all {len(every)}": whole,
    }
    lines = ["| features, seed 0 | AUC | log loss |", "|---|---|---|"]
    for name, predictions in found.items():
        intervals = day_intervals("binary", test.labels, predictions, test.days)
        cells = (f"{i.estimate:.4f} [{i.low:.4f}, {i.high:.4f}]" for i in (intervals["auc"], intervals["log_loss"]))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def _trained_on(test: _Test, names: list[str]) -> Floats:
    spec = test.year.spec
    columns = {name: column for name, column in spec.features.columns.items() if name in names}
    features = spec.features.model_copy(update={"columns": columns})
    print(f"  {len(names)} features", flush=True)
    return trained_predictions(
        replace(test.year, spec=spec.model_copy(update={"features": features})), TRAINED, test.rows, {}
    )


def _by_month(test: _Test, predictions: Floats) -> list[str]:
    from contrail.methods.calibration import by_month
    from contrail.methods.metrics import auc

    lines = ["| seed 0 | AUC | predicted | late | calibration error |", "|---|---|---|---|---|"]
    for month in by_month("binary", test.labels, predictions, test.days):
        assert month.interval is not None
        own = (test.days >= np.datetime64(month.start)) & (test.days <= np.datetime64(month.end))
        cells = (
            auc(test.labels[own], predictions[own]),
            month.prediction_mean,
            month.label_mean,
            month.calibration_error,
        )
        interval = f"[{month.interval.low:.4f}, {month.interval.high:.4f}]"
        lines.append(f"| {month.start:%B} | {' | '.join(f'{cell:.4f}' for cell in cells)} {interval} |")
    return [*lines, ""]


def _at_threshold(test: _Test, predictions: Floats) -> list[str]:
    threshold = test.year.spec.score.threshold
    lines = [
        "| threshold, seed 0 | flagged | late if flagged | late if not | late ones found |",
        "|---|---|---|---|---|",
    ]
    for at in (0.25, 0.3, threshold, 0.4, 0.45):
        flagged = predictions >= at
        late = test.labels
        cells = (flagged.mean(), late[flagged].mean(), late[~flagged].mean(), late[flagged].sum() / late.sum())
        lines.append(
            f"| {at:g}{' (shipped)' if at == threshold else ''} | " + " | ".join(f"{c:.1%}" for c in cells) + " |"
        )
    return [*lines, ""]


def _usual(year: Year) -> list[str]:
    """What is usual before the test months: the training window's days, each predicted by trees that had not seen it."""
    from contrail.adapters.registry import resolve
    from contrail.config.settings import settings
    from contrail.methods.calibration import by_stretch
    from contrail.methods.fit import predict_unseen
    from contrail.methods.flagged import usual_share
    from contrail.methods.label_drift import parts_of
    from contrail.methods.matrices import encode_window

    training = resolve(settings(), PIPELINE, "champion").package.card.training
    rows = year.between(TRAINED[0], TRAINED[1] - timedelta(days=year.spec.label.mature_after_days))
    days, labels = year.days[rows], year.labels[rows]
    data, params = encode_window(year.rows.filter(pa.array(rows)), year.spec), {**training.params, "device": "cpu"}
    unseen = predict_unseen(data, parts_of(days), params, training.rounds)
    threshold, codes = year.spec.score.threshold, np.unique(days, return_inverse=True)[1]
    flagged = np.bincount(codes, unseen >= threshold).astype(np.int64)
    share = usual_share(np.bincount(codes), flagged, threshold)
    assert share is not None
    gate = year.spec.gate
    errors = [
        stretch.calibration_error
        for own in _windows(days, gate.window_days)
        for stretch in by_stretch("binary", labels[own], unseen[own], days[own], gate.calibration_days)
    ]
    losses = _losses(days, labels, unseen, gate.window_days)
    return [
        "January to August, each day predicted by trees that had not seen it:",
        "",
        f"- The share flagged of any 28 days lies within {share.low:.1%} to {share.high:.1%}.",
        f"- The calibration error of {gate.calibration_days} days is {max(errors):.3f} at most.",
        f"- A gate's improvement over the constant is later lost, in the median of 28 days, by more than "
        f"{np.quantile(losses, 0.95):.3f} in one pair of windows out of twenty, and by {max(losses):.3f} at most.",
        "",
    ]


def _windows(days: npt.NDArray[np.datetime64], length: int) -> list[npt.NDArray[np.bool_]]:
    known = np.unique(days)
    return [
        (days >= first) & (days < first + np.timedelta64(length, "D")) for first in known[: len(known) - length + 1]
    ]


def _losses(days: npt.NDArray[np.datetime64], labels: Floats, predictions: Floats, length: int) -> list[float]:
    """A window's improvement over the constant less the median day's of each later window, in nats."""
    from contrail.methods.metrics import log_losses

    gains = log_losses(labels, np.full(len(labels), labels.mean())) - log_losses(labels, predictions)
    known, codes = np.unique(days, return_inverse=True)
    of_day = np.bincount(codes, gains) / np.bincount(codes)
    pooled = [float(gains[own].mean()) for own in _windows(days, length)]
    medians = [float(np.median(of_day[i : i + length])) for i in range(len(known) - length + 1)]
    return [p - m for i, p in enumerate(pooled) for m in medians[i + length :]]
