"""Measure how unusual each day's features, and the labels known by then, are against the training window.

The stage reads features, labels and the drift reference stored with the model, and publishes ``drift``. It never
trains. Others decide what follows from a verdict. The statistics are in ``contrail.methods.drift`` and
``contrail.methods.label_drift``.
"""

from collections import Counter
from collections.abc import Collection
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
from upath import UPath

from contrail.adapters.registry import RegisteredModel
from contrail.errors import MissingInputError
from contrail.lake import records
from contrail.lake.datasets import PARTITION
from contrail.lake.flagged import flagged_counts
from contrail.lake.labels import read_labels
from contrail.methods.drift import (
    day_statistics,
)
from contrail.methods.drift_verdicts import history_days, verdicts
from contrail.methods.flagged import RUN_DAYS, unusual_days
from contrail.methods.label_drift import day_residuals, label_statistic
from contrail.partitions import Partitions, as_ranges
from contrail.reports.drift import DriftPage, ReportLine, sample, shortened, write_drift_report
from contrail.stages.base import StageRun, result_of
from contrail.stages.champion import model_of
from contrail.stages.fitting import fitted
from contrail.stages.measuring.measured import LabelDay, Measured, published_rows
from contrail.stages.options import DriftOptions as Options
from contrail.stages.results import DriftDetails, StageResult

_REPORT_LINES, _REPORT_FEATURES = 40, 12


def execute(run: StageRun[Options]) -> StageResult[DriftDetails]:
    """Measure the days of the range and publish their verdicts, in one commit.

    A day's verdict also depends on the days before it. So the stage also reads a bounded number of feature partitions
    before the range (``history_days``), and measures them against the same model. Runs over the same days, split in any
    way and in any order, publish the same rows.

    The row of the label describes the newest day whose labels were mature at the partition's cut-off. A partition
    without such a day has its other rows all the same.

    Raises:
        MissingInputError: if there is no model, or no partition of the range has features.
    """
    if _empty(run):
        return _without_rows(run)
    inputs = {name: run.lake.snapshot_id(name) for name in _inputs(run)}
    measured = _measure(run, inputs["features"])
    own = [measured.verdicts[i] for i in measured.inside]
    drifting = sum(verdict.verdict == "drift" for verdict in own)
    labels = [day for day in measured.labels if day in run.partitions]
    label_drifting = [day for day in measured.label_drift if day in run.partitions]
    run.progress(
        f"days measured: {len(own)}, with drift: {drifting}; labels: {len(labels)}, with drift: {len(label_drifting)}"
    )
    rows = published_rows(measured)
    name, version = measured.model.name, str(measured.model.version)
    provenance = run.provenance(inputs, model_name=name, model_version=version)
    published = run.lake.publish(records.drift(run.pipeline.spec), rows, run.partitions, provenance)
    unusual = _unusually_flagged(run, measured.model)
    if unusual:
        run.progress(f"the share of predictions that are flagged was outside its usual range on {', '.join(unusual)}")
    details = DriftDetails(
        model_name=name,
        model_version=version,
        unusual_days=sum(measured.statistics.unusual_days[i] for i in measured.inside),
        drift_days=drifting,
        drift_begins=tuple(map(str, measured.begins)),
        verdict=own[-1].verdict,
        without_features=_ranges_without(run, {verdict.day for verdict in own}),
        label_drift_days=len(label_drifting),
        label_drift_begins=tuple(map(str, measured.label_begins)),
        without_labels=_ranges_without(run, labels),
        unusually_flagged=unusual,
    )
    reports = _report(run, measured)
    return result_of(run, details, rows=rows.num_rows, snapshots={"drift": published}, reports=reports)


def _empty(run: StageRun[Options]) -> bool:
    """Whether the features of every day of the range were built, and there are none."""
    published, built = run.lake.partitions("features", run.partitions), run.lake.lineage("features")
    return not any(day in published or not built.maker(day) for day in run.partitions)


def _without_rows(run: StageRun[Options]) -> StageResult[DriftDetails]:
    run.progress(f"{run.partitions} has nothing to predict, and so no drift")
    days = (str(run.partitions),)
    details = DriftDetails(
        model_name=run.pipeline.name,
        model_version="",
        unusual_days=0,
        drift_days=0,
        drift_begins=(),
        verdict="ok",
        without_features=days,
        label_drift_days=0,
        label_drift_begins=(),
        without_labels=days,
    )
    return result_of(run, details, unchanged=True)


def _ranges_without(run: StageRun[Options], days: Collection[date]) -> tuple[str, ...]:
    return tuple(str(part) for part in as_ranges(set(run.partitions) - set(days)))


def _unusually_flagged(run: StageRun[Options], model: RegisteredModel) -> tuple[str, ...]:
    """Days on which the model's published predictions of the last four weeks were flagged unusually often or seldom."""
    usual = model.package.card.flagged
    if usual is None:
        return ()
    counts = flagged_counts(run.lake, run.partitions.reaching_back(RUN_DAYS - 1), model.version)
    return tuple(map(str, as_ranges(unusual_days(counts, run.partitions, usual))))


def _inputs(run: StageRun[Options]) -> list[str]:
    spec, lake = run.pipeline.spec, run.lake
    labelled = [f"validated_{spec.entities}", f"validated_{spec.label.table}"]
    return ["features", *(labelled if all(lake.exists(name) for name in labelled) else [])]


def _measure(run: StageRun[Options], snapshot: int | None) -> Measured:
    spec = run.pipeline.spec
    model = fitted(spec, model_of(run.settings, run.lake, run.options.model))
    # Read one more day. Whether drift begins on the first day depends on the verdict of the day before it.
    window = run.partitions.reaching_back(history_days(spec.drift) + 1)
    features = run.lake.scan("features", window, [PARTITION, *spec.features.columns], snapshot)
    statistics = day_statistics(features, model.package.reference)
    found = verdicts(list(zip(statistics.days, statistics.unusual_days, strict=True)), spec.drift)
    measured = Measured(model, features, statistics, found, _labels(run, model, snapshot), run.partitions)
    if not measured.inside:
        raise MissingInputError(
            f"{run.pipeline.name}: no partition of {run.partitions} has features; drift was left as it was. Run: "
            f"contrail features -p {run.pipeline.name} --from {run.partitions.start} --to {run.partitions.end}"
        )
    return measured


def _labels(run: StageRun[Options], model: RegisteredModel, snapshot: int | None) -> dict[date, LabelDay]:
    """Labels by the partition at whose cut-off they were the newest mature ones.

    One more partition, before the range, shows whether drift begins. The stage's own model predicts these rows again,
    because published predictions may come from another version.
    """
    spec, reference = run.pipeline.spec, model.package.reference.label
    if len(_inputs(run)) == 1:
        return {}
    lag = timedelta(days=spec.label.mature_after_days + 1)
    partitions = run.partitions.reaching_back(1)
    window = partitions.shift(-lag.days).reaching_back(reference.of_days - 1)
    by = [PARTITION, *spec.key]
    features = run.lake.scan("features", window, list(dict.fromkeys([*by, *spec.features.columns])), snapshot)
    predicted = features.select(by).append_column("prediction", pa.array(model.package.predict(features)))
    # Sorted by key, since a sum in another order differs in the last digit.
    rows = predicted.join(read_labels(run.lake, spec, window), keys=by, join_type="inner")
    rows = rows.sort_by([(n, "ascending") for n in by])
    days, labels, predictions = (rows.column(name).to_numpy() for name in (PARTITION, "label", "prediction"))
    residuals = day_residuals(days, labels, predictions)
    counts = Counter(days.astype(object).tolist())
    found = {day: label_statistic(residuals, day - lag, reference) for day in partitions}
    threshold = reference.threshold
    return {day: LabelDay(counts[day - lag], v, threshold) for day, v in found.items() if v is not None}


# ---- the page for people ----


def _report(run: StageRun[Options], measured: Measured) -> list[str]:
    wanted = run.options.report
    if wanted == "never" or (
        wanted == "alarm" and not (measured.begins or measured.label_begins) and len(run.partitions) == 1
    ):
        return []
    spec = run.pipeline.spec
    # A verdict rests on of_days days. A page of a single day would hide most of them.
    first = min(run.partitions.start, run.partitions.end - timedelta(days=spec.drift.of_days - 1))
    shown = Partitions(first, run.partitions.end)
    recorded = measured.model.package.reference
    window = Partitions(recorded.first_day, recorded.last_day)
    days = _strange_days(measured, shown)
    names = _moved(measured, days)
    reference = sample(run.lake.scan("features", window, names)) if names else pa.table({})
    inside = np.isin(measured.features.column(PARTITION).to_numpy(), np.array(list(shown), dtype="datetime64[D]"))
    current = sample(measured.features.filter(pa.array(inside)).select(names))
    path: UPath = run.report_folder("drift") / f"{shown.start}_{shown.end}_model-{measured.model.version}.html"
    run.progress("drawing the drift report")
    verdicts_shown = [verdict.verdict for verdict in measured.verdicts if verdict.day in shown]
    of_label = sum(day in shown for day in measured.label_drift)
    page = DriftPage(
        title=f"{spec.title}: drift {run.partitions}",
        verdict=verdicts_shown[-1],
        finding=f"the state of the features on {measured.verdicts[-1].day}. Of {len(verdicts_shown)} days, "
        f"{verdicts_shown.count('drift')} have drift of the features, {verdicts_shown.count('watch')} are watched, and "
        f"{of_label} have drift of the label.",
        summary=f"Days {shown} against the training window {window} of {measured.model.name} version "
        f"{measured.model.version}.",
        lines=_lines(measured, days),
        reference=reference,
        current=current,
        categories=spec.features.categories,
    )
    write_drift_report(path, page)
    return [str(path)]


def _strange_days(measured: Measured, shown: Partitions) -> list[int]:
    """Positions of the last days that are not ok, or of the last day when all are."""
    days = [i for i, verdict in enumerate(measured.verdicts) if verdict.day in shown]
    strange = [
        i for i in days if measured.verdicts[i].verdict != "ok" or measured.verdicts[i].day in measured.label_drift
    ]
    return strange[-_REPORT_LINES:] or days[-1:]


def _moved(measured: Measured, days: list[int]) -> list[str]:
    """The features that passed their threshold on most of the days, so many that a page shows."""
    statistics = measured.statistics
    count = (statistics.values[days] > statistics.thresholds).sum(axis=0)
    order = np.argsort(-count, kind="stable")[:_REPORT_FEATURES]
    return [statistics.features[j] for j in order if count[j]]


def _lines(measured: Measured, days: list[int]) -> list[ReportLine]:
    statistics, of_label = measured.statistics, measured.label_drift
    past = statistics.values > statistics.thresholds
    excess = np.where(past, statistics.values / np.maximum(statistics.thresholds, 1e-6), 0)
    return [
        ReportLine(
            day=str(measured.verdicts[i].day),
            verdict=measured.verdicts[i].verdict,
            unusual_days=str(measured.verdicts[i].unusual_days),
            exceedance=f"{statistics.day_values[i]:.2f} (limit {statistics.day_threshold:.2f})",
            features=shortened([statistics.features[j] for j in np.argsort(-excess[i], kind="stable") if past[i, j]])
            + (" · drift of the label" if measured.verdicts[i].day in of_label else ""),
        )
        for i in days
    ]
