"""Measure how unusual each day's features, and the labels known by then, are.

The stage compares profiles of the days with those of the days before, by the drift reference stored with the model, and
publishes ``drift``. It reads a day's rows only when their profile is missing (``stages.profiles``). It never trains.
Others decide what follows from a verdict. The statistics are in ``contrail.methods.drift`` and
``contrail.methods.label_drift``.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta

from contrail.adapters.registry import RegisteredModel
from contrail.errors import MissingInputError
from contrail.lake import drift_records
from contrail.methods.days_before import REACH_DAYS
from contrail.methods.drift import day_statistics
from contrail.methods.drift_verdicts import history_days, verdicts
from contrail.methods.flagged import RUN_DAYS, unusual_days
from contrail.methods.label_drift import label_statistic
from contrail.methods.prediction_drift import REASONS, SCORES
from contrail.partitions import Partitions, as_ranges
from contrail.stages.base import StageRun, result_of
from contrail.stages.champion import model_of
from contrail.stages.fitting import fitted
from contrail.stages.measuring.measured import LabelDay, Measured, published_rows
from contrail.stages.measuring.page import draw
from contrail.stages.measuring.predictions import PredictionDrift, measure_predictions
from contrail.stages.options import DriftOptions as Options
from contrail.stages.profiles import decisions_of, histograms_of, residuals_of
from contrail.stages.results import DriftDetails, StageResult


def execute(run: StageRun[Options]) -> StageResult[DriftDetails]:
    """Measure the days of the range and publish their verdicts, in one commit.

    A day's verdict also depends on the days before it. So the stage also reads the profiles of a bounded number of days
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
    measured = _measure(run, inputs)
    own = [measured.verdicts[i] for i in measured.inside]
    drifting = sum(verdict.verdict == "drift" for verdict in own)
    labels = [day for day in measured.labels if day in run.partitions]
    label_drifting = [day for day in measured.label_drift if day in run.partitions]
    run.progress(
        f"days measured: {len(own)}, with drift: {drifting}; labels: {len(labels)}, with drift: {len(label_drifting)}"
    )
    predictions = measure_predictions(run, measured.model)
    rows = published_rows(measured, predictions)
    name, version = measured.model.name, str(measured.model.version)
    provenance = run.provenance(inputs, model_name=name, model_version=version)
    published = run.lake.publish(drift_records.drift(run.pipeline.spec), rows, run.partitions, provenance)
    unusual = _unusually_flagged(run, measured.model)
    if unusual:
        run.progress(f"the share of predictions that are flagged was outside its usual range on {', '.join(unusual)}")
    details = DriftDetails(
        model_name=name,
        model_version=version,
        unusual_days=sum(bool(measured.statistics.unusual_features[i]) for i in measured.inside),
        drift_days=drifting,
        drift_begins=tuple(map(str, measured.begins)),
        verdict=own[-1].verdict,
        without_features=_ranges_without(run, {verdict.day for verdict in own}),
        label_drift_days=len(label_drifting),
        label_drift_begins=tuple(map(str, measured.label_begins)),
        without_labels=_ranges_without(run, labels),
        unusually_flagged=unusual,
        prediction_drift_begins=_begins(predictions, SCORES, run.partitions),
        reason_drift_begins=_begins(predictions, REASONS, run.partitions),
    )
    reports = draw(run, measured, inputs["features"])
    return result_of(run, details, rows=rows.num_rows, snapshots={"drift": published}, reports=reports)


def _begins(found: Sequence[PredictionDrift], name: str, partitions: Partitions) -> tuple[str, ...]:
    return tuple(str(day) for each in found if each.name == name for day in each.begins(partitions))


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
    counts = decisions_of(run, model, run.partitions.reaching_back(RUN_DAYS - 1))
    return tuple(map(str, as_ranges(unusual_days(counts, run.partitions, usual))))


def _inputs(run: StageRun[Options]) -> list[str]:
    spec, lake = run.pipeline.spec, run.lake
    labelled = [f"validated_{spec.entities}", f"validated_{spec.label.table}"]
    return ["features", *(labelled if all(lake.exists(name) for name in labelled) else [])]


def _measure(run: StageRun[Options], inputs: Mapping[str, int | None]) -> Measured:
    spec = run.pipeline.spec
    model = fitted(spec, model_of(run.settings, run.lake, run.options.model))
    # One more day: whether drift begins on the first day depends on the verdict of the day before it.
    window = run.partitions.reaching_back(history_days(spec.drift) + 1)
    histograms = histograms_of(run, model, window.reaching_back(REACH_DAYS), inputs)
    statistics = day_statistics(histograms, model.package.reference, window)
    found = verdicts(list(zip(statistics.days, statistics.unusual_features, strict=True)), spec.drift)
    measured = Measured(model, statistics, found, _labels(run, model, inputs), run.partitions)
    if not measured.inside:
        raise MissingInputError(
            f"{run.pipeline.name}: no partition of {run.partitions} has features; drift was left as it was. Run: "
            f"contrail features -p {run.pipeline.name} --from {run.partitions.start} --to {run.partitions.end}"
        )
    return measured


def _labels(run: StageRun[Options], model: RegisteredModel, inputs: Mapping[str, int | None]) -> dict[date, LabelDay]:
    """Labels by the partition at whose cut-off they were the newest mature ones.

    One more partition, before the range, shows whether drift begins.
    """
    spec, reference = run.pipeline.spec, model.package.reference.label
    if len(inputs) == 1:
        return {}
    lag = timedelta(days=spec.label.mature_after_days + 1)
    partitions = run.partitions.reaching_back(1)
    window = partitions.shift(-lag.days).reaching_back(reference.of_days - 1)
    residuals = residuals_of(run, model, window, inputs)
    means = {day: residual for day, (_, residual) in residuals.items()}
    found = {day: label_statistic(means, day - lag, reference) for day in partitions}
    threshold = reference.threshold
    return {day: LabelDay(residuals[day - lag][0], v, threshold) for day, v in found.items() if v is not None}
