"""Measure the predictions of a partition once its labels are known: realised quality, day by day.

The stage joins published predictions, and the challenger's in shadow, with labels, and publishes ``performance``. The
metrics are in ``contrail.methods.metrics``. Gates and promotion, which judge a model before it scores, belong
elsewhere.
"""

import math
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contrail.adapters.registry import resolve
from contrail.config.spec import PipelineSpec
from contrail.errors import DataError, MissingInputError
from contrail.lake import records
from contrail.lake.datasets import PARTITION
from contrail.lake.labels import mature_days, read_labels
from contrail.methods import metrics
from contrail.methods.calibration import Period, by_month
from contrail.methods.intervals import day_intervals
from contrail.methods.metrics import HEADLINE
from contrail.partitions import Partitions, as_ranges
from contrail.stages.base import StageRun, result_of
from contrail.stages.options import PerformanceOptions as Options
from contrail.stages.results import PerformanceDetails, PeriodCalibration, PooledQuality, StageResult
from contrail.stages.staleness import OK, Staleness

Floats = npt.NDArray[np.float64]

_MODEL = ["model_name", "model_version"]
_SHADOW = "predictions_shadow"


def execute(run: StageRun[Options]) -> StageResult[PerformanceDetails]:
    """Measure every mature partition of the range and publish them in one commit.

    A partition is mature when the label table's validated partitions exist from it through ``mature_after_days`` later.
    An immature one stays as it was, and ``details.immature`` names it. No day is measured in part.

    Raises:
        MissingInputError: if there are no predictions or labels at all.
    """
    spec, lake = run.pipeline.spec, run.lake
    tables = ("predictions", f"validated_{spec.entities}", f"validated_{spec.label.table}")
    if all(map(lake.exists, tables[1:])):
        _check_scored(run)
    inputs = {name: lake.snapshot_id(name) for name in (*tables, *([_SHADOW] if lake.exists(_SHADOW) else []))}
    only_stale = run.options.only_stale
    asked = _with_predictions(run) if only_stale else list(run.partitions)
    mature = [day for day in mature_days(lake, spec, run.partitions) if day in asked]
    immature = tuple(str(days) for days in as_ranges(set(asked) - set(mature)))
    waiting, current = len(asked) - len(mature), len(mature)
    if only_stale:
        mature = _stale(run, mature)
    if not mature:
        what = "is missing or stale" if current else "has all its labels yet"
        run.progress(f"no partition of {run.partitions} {what}")
        return result_of(run, unchanged=True, details=PerformanceDetails(measured=0, immature=immature))
    joined = _joined(run, mature)
    rows = _measure(run, joined)
    published = lake.publish(records.performance(spec), rows, mature, run.provenance(inputs))
    measured = set(rows.column(PARTITION).to_pylist())
    run.progress(f"partitions measured: {len(measured)}, waiting for labels: {waiting}")
    return result_of(
        run,
        rows=rows.num_rows,
        snapshots={"performance": published},
        details=PerformanceDetails(
            measured=len(measured),
            immature=immature,
            quality=_pooled(run, joined),
            without_predictions=tuple(str(days) for days in as_ranges(set(mature) - measured)),
        ),
    )


def _check_scored(run: StageRun[Options]) -> None:
    """Check that anything has ever been scored.

    Raises:
        MissingInputError: with the command that scores the range.
    """
    if not run.lake.exists("predictions"):
        raise MissingInputError(
            f"{run.pipeline.name}: nothing has been scored yet, so there is nothing to measure. Run: contrail score "
            f"-p {run.pipeline.name} --from {run.partitions.start} --to {run.partitions.end}"
        )


def _with_predictions(run: StageRun[Options]) -> list[date]:
    """Days of the range that have predictions, or have a measurement of earlier ones."""
    tables = [name for name in ("predictions", _SHADOW, "performance") if run.lake.exists(name)]
    found = (run.lake.scan(name, run.partitions, [PARTITION]).column(PARTITION) for name in tables)
    return sorted({day for column in found for day in pc.unique(column).to_pylist()})


def _stale(run: StageRun[Options], mature: Iterable[date]) -> list[date]:
    """Days whose measurement is not of what is published now. A rollback counts as a change too."""
    staleness = Staleness(run.pipeline, run.lake)
    return [day for day in mature if staleness.own(run.stage, day).state != OK]


def _joined(run: StageRun[Options], mature: list[date]) -> pa.Table:
    """The predictions of the mature days with their labels, null where there is none."""
    spec = run.pipeline.spec
    window = Partitions(mature[0], mature[-1])
    by = [PARTITION, *spec.key]
    predicted = _predicted(run, window)
    predicted = predicted.filter(pc.is_in(predicted.column(PARTITION), value_set=pa.array(mature, pa.date32())))
    joined = predicted.join(read_labels(run.lake, spec, window), keys=by, join_type="left outer")
    # Sorted also by key: a sum in another order differs in the last digit.
    return joined.sort_by([(name, "ascending") for name in (PARTITION, *_MODEL, *spec.key)])


def _measure(run: StageRun[Options], joined: pa.Table) -> pa.Table:
    """A row for each mature day and model version that predicted it."""
    spec = run.pipeline.spec
    baseline = _training_means(run, joined)
    entries = [
        {PARTITION: day, "model_name": name, "model_version": version, "shadow": shadow}
        | _quality(spec, label, prediction, baseline.get(version))
        for (day, name, version, shadow), label, prediction in _groups(joined, spec.prediction_column)
    ]
    return pa.Table.from_pylist(entries, schema=records.performance(spec).arrow_schema())


def _pooled(run: StageRun[Options], joined: pa.Table) -> dict[str, PooledQuality]:
    """The quality of each version's published predictions over all days, where there are enough of them."""
    spec, found = run.pipeline.spec, {}
    known = joined.filter(pc.and_(pc.invert(joined["shadow"]), pc.is_valid(joined["label"])))
    for version in pc.unique(known["model_version"]).to_pylist():
        own = known.filter(pc.equal(known["model_version"], version))
        days, label, prediction = (own[name].to_numpy() for name in (PARTITION, "label", spec.prediction_column))
        intervals = day_intervals(spec.task, label, prediction, days)
        if not intervals:
            continue
        found[version] = PooledQuality(
            rows=own.num_rows,
            metrics=metrics.finite(metrics.evaluate(spec.task, label, prediction)),
            intervals={name: (interval.low, interval.high) for name, interval in intervals.items()},
            months=tuple(map(_month, by_month(spec.task, label, prediction, days))),
        )
        run.progress(_pooled_line(version, found[version], HEADLINE[spec.task]))
    return found


def _month(month: Period) -> PeriodCalibration:
    return PeriodCalibration(
        period=str(Partitions(month.start, month.end)),
        rows=month.rows,
        label_mean=month.label_mean,
        prediction_mean=month.prediction_mean,
        calibration_error=month.calibration_error,
        interval=(month.interval.low, month.interval.high) if month.interval else None,
    )


def _pooled_line(version: str, quality: PooledQuality, headline: str) -> str:
    month = max(quality.months, key=lambda month: month.calibration_error)
    low, high = quality.intervals[headline]
    return (
        f"version {version}: {headline} {quality.metrics[headline]:.4f} [{low:.4f}, {high:.4f}] on {quality.rows:,} rows; "
        f"calibration error {quality.metrics['calibration_error']:.4f}, at worst {month.calibration_error:.4f} in "
        f"{month.period} (predicted {month.prediction_mean:.4f}, found {month.label_mean:.4f})"
    )


def _predicted(run: StageRun[Options], window: Partitions) -> pa.Table:
    """The published predictions, and those of a challenger in shadow that were not published later."""
    spec = run.pipeline.spec
    names = [PARTITION, *spec.key, spec.prediction_column, *_MODEL]
    shown = run.lake.scan("predictions", window, names)
    shown = shown.append_column("shadow", pa.repeat(False, shown.num_rows))
    if not run.lake.exists(_SHADOW):
        return shown
    unseen = run.lake.scan(_SHADOW, window, names)
    unseen = unseen.append_column("shadow", pa.repeat(True, unseen.num_rows))
    # Do not measure a challenger twice that became champion and scored its day again.
    by = [PARTITION, "model_version"]
    own = unseen.join(shown.group_by(by).aggregate([]), keys=by, join_type="left anti")
    return pa.concat_tables([shown, own.cast(shown.schema)])


def _training_means(run: StageRun[Options], predicted: pa.Table) -> dict[str, float]:
    """Mean label of the training window of each model that predicted and can still be read."""
    found: dict[str, float] = {}
    for version in pc.unique(predicted.column("model_version")).to_pylist():
        try:
            found[version] = resolve(run.settings, run.pipeline.name, version).package.card.label_mean
        except (DataError, MissingInputError) as error:
            run.progress(f"no baseline for version {version}: {error}")
    return found


def _groups(joined: pa.Table, prediction: str) -> Iterator[tuple[tuple[Any, ...], Floats, Floats]]:
    """Day and model, labels (NaN where unknown) and predictions of each group of sorted rows."""
    if not joined.num_rows:
        return
    names = [PARTITION, *_MODEL, "shadow"]
    counts = joined.group_by(names, use_threads=False).aggregate([([], "count_all")])
    labels = joined.column("label").fill_null(math.nan).to_numpy()
    predictions = joined.column(prediction).to_numpy()
    ends = np.cumsum(counts.column("count_all").to_numpy())[:-1]
    groups = zip(*(counts.column(name).to_pylist() for name in names), strict=True)
    yield from zip(groups, np.split(labels, ends), np.split(predictions, ends), strict=True)


def _quality(spec: PipelineSpec, label: Floats, prediction: Floats, training_mean: float | None) -> dict[str, float]:
    known = ~np.isnan(label)
    y, p = label[known], prediction[known]
    found = {"rows": len(label), "labelled": len(y), "label_coverage": len(y) / len(label)}
    if not len(y):
        return found
    columns = records.performance(spec).columns
    headline = HEADLINE[spec.task]
    baseline = {}
    if training_mean is not None:
        baseline = {f"baseline_{headline}": metrics.METRICS[spec.task][headline](y, np.full(len(y), training_mean))}
    quality = {name: v for name, v in metrics.evaluate(spec.task, y, p).items() if name in columns}
    means = {"label_mean": float(y.mean()), "prediction_mean": float(p.mean())}
    return {**found, **means, **baseline, **metrics.finite(quality)}
