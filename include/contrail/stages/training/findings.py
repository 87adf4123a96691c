"""The findings of a training: quality with intervals, segments, explanations and fairness, and the README's words."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from contrail.config.readme import read_sections
from contrail.methods.calibration import by_month
from contrail.methods.explanations import explain_model
from contrail.methods.fairness import fairness_by_group
from contrail.methods.findings import CalibrationBin, Checked, FeatureRead, Findings, TableRead
from contrail.methods.intervals import day_intervals
from contrail.methods.metrics import CALIBRATION_BINS, Floats, calibration_table, evaluate, finite
from contrail.methods.model_package import ModelPackage
from contrail.methods.segments import Grouped, Measured, group_names, measured, quality_by_group
from contrail.stages.training.base import Trained


def with_findings(trained: Trained, package: ModelPackage) -> ModelPackage:
    """The package with its findings."""
    return replace(package, findings_bytes=findings_of_training(trained, package).to_json())


def findings_of_training(trained: Trained, package: ModelPackage) -> Findings:
    """Gather the findings. Equal trainings have equal ones."""
    training = trained.training
    spec = training.spec
    return Findings(
        title=spec.title,
        description=" ".join(spec.description.split()),
        owner=spec.owner,
        readme=read_sections(training.run.pipeline.folder),
        tables=tuple(TableRead(name=name, doc=table.doc) for name, table in spec.tables.items()),
        features=tuple(
            FeatureRead(name=name, kind=column.kind, doc=column.doc, gain=trained.fitted.importance[name])
            for name, column in spec.features.columns.items()
        ),
        immature=training.window.immature,
        threshold=spec.score.threshold if spec.task == "binary" else None,
        checked=_checked(trained),
        segments=tuple(_segments(trained)),
        explanations=explain_model(package, training.data, spec.personal),
        fairness=tuple(_fairness(trained)),
    )


def _checked(trained: Trained) -> Checked:
    rows, task = trained.validation, trained.validation.task
    days = np.unique(rows.days)
    baselines = {"rate table": rows.rate_table} if trained.training.method.settings.rate_table else {}
    return Checked(
        start=days[0].astype("datetime64[D]").item(),
        end=days[-1].astype("datetime64[D]").item(),
        days=len(days),
        rows=len(rows.labels),
        label_mean=float(rows.labels.mean()),
        metrics=measured(task, rows.labels, rows.model, rows.days),
        baselines={
            name: finite(evaluate(task, rows.labels, predictions))
            for name, predictions in {**baselines, "training mean": rows.constant}.items()
        },
        months=by_month(task, rows.labels, rows.model, rows.days),
        calibration=_calibration(trained),
    )


def _calibration(trained: Trained) -> tuple[CalibrationBin, ...]:
    """Tenths of the rows by prediction. The interval of a mean label is that of its bias, moved."""
    rows = trained.validation
    parts = [part for part in np.array_split(np.argsort(rows.model, kind="stable"), CALIBRATION_BINS) if len(part)]
    table = calibration_table(rows.labels, rows.model)
    return tuple(
        CalibrationBin(predicted=predicted, found=_found(rows.labels[part], rows.days[part], found), rows=int(count))
        for part, (predicted, found, count) in zip(parts, table.tolist(), strict=True)
    )


def _found(labels: Floats, days: np.ndarray, found: float) -> Measured:  # type: ignore[type-arg]
    # The bias of predicting 0 is minus the mean label.
    bias = day_intervals("regression", labels, np.zeros(len(labels)), days, only=("bias",)).get("bias")
    if bias is None:
        return Measured(value=found)
    return Measured(value=found, low=min(found, -bias.high), high=max(found, -bias.low))


def _segments(trained: Trained) -> list[Grouped]:
    rows = trained.validation
    return [
        quality_by_group(rows.task, rows.labels, rows.model, rows.days, name, groups)
        for name, groups in rows.groups.items()
    ]


def _fairness(trained: Trained) -> list[Grouped]:
    training, rows = trained.training, trained.validation
    sensitive, threshold = training.spec.sensitive, training.spec.score.threshold
    of_rows = training.window.rows.groups.filter(pa.array(training.masks[1])) if sensitive else None
    return [
        fairness_by_group(
            rows.task, rows.labels, rows.model, rows.days, threshold, name, group_names(of_rows.column(name))
        )
        for name in dict.fromkeys(sensitive)
        if of_rows is not None
    ]
