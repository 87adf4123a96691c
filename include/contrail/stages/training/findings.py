"""The findings of a training: quality with intervals, segments, explanations and fairness, and the README's words."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from contrail.config.readme import read_sections
from contrail.lake.datasets import PARTITION
from contrail.methods.calibration import by_month
from contrail.methods.encoding import shared_values
from contrail.methods.explanations import Explained, explain_model
from contrail.methods.fairness import fairness_by_group
from contrail.methods.findings import CalibrationBin, Checked, FeatureRead, Findings, TableRead
from contrail.methods.intervals import Days, day_intervals
from contrail.methods.matrices import predicted
from contrail.methods.metrics import CALIBRATION_BINS, Floats, Task, calibration_table, finite
from contrail.methods.model_package import ModelPackage
from contrail.methods.segments import Grouped, Measured, Texts, group_names, measured, quality_by_group
from contrail.stages.training.base import Trained


def with_findings(trained: Trained, package: ModelPackage, explained: Explained) -> ModelPackage:
    """The package with its findings."""
    return replace(package, findings_bytes=findings_of_training(trained, package, explained).to_json())


def findings_of_training(trained: Trained, package: ModelPackage, explained: Explained) -> Findings:
    """Gather the findings. Equal trainings have equal ones."""
    training = trained.training
    spec, rows = training.spec, _shown(trained, package)
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
        threshold=package.threshold(spec.score) if spec.task == "binary" else None,
        threshold_reason=package.threshold_reason(spec.score),
        checked=_checked(trained, rows),
        segments=tuple(_segments(rows)),
        explanations=explain_model(package, explained, spec.personal),
        fairness=tuple(_fairness(rows, package.threshold(spec.score))),
    )


class _Shown(NamedTuple):
    """Validation rows, evenly spaced: all of them, unless the window has millions. Arrays have shape (rows,)."""

    task: Task
    days: Days
    labels: Floats
    model: Floats
    segments: dict[str, Texts]
    sensitive: dict[str, Texts]


def _shown(trained: Trained, package: ModelPackage) -> _Shown:
    """The rows as the trees of the first fit and the calibration step predict them, as scores are published."""
    training, (_, check) = trained.training, trained.training.masks
    rows, segments = training.window.rows, training.method.settings.segments
    tables, labels, predictions, places = [], [], [], []
    batches = zip(rows.batches(check), predicted(trained.fitted.checked, training.data, check), strict=True)
    for place, ((table, own), model) in zip(rows.positions(check), batches, strict=True):
        chosen = place % rows.every == 0
        tables.append(table.filter(pa.array(chosen)))
        labels.append(own[chosen])
        predictions.append(package.calibrated(model[chosen]))
        places.append(place[chosen] // rows.every)
    table = pa.concat_tables(tables)
    beside = rows.beside.take(pa.array(np.concatenate(places))) if rows.beside is not None else None
    columns = {name: _column(name, table, beside) for name in dict.fromkeys(training.spec.sensitive)}
    return _Shown(
        task=training.spec.task,
        days=table.column(PARTITION).to_numpy(),
        labels=np.concatenate(labels),
        model=np.concatenate(predictions),
        segments={name: shared_values(table.column(name)) for name in segments},
        sensitive={name: group_names(column) for name, column in columns.items()},
    )


def _column(name: str, rows: pa.Table, beside: pa.Table | None) -> pa.ChunkedArray:
    return rows.column(name) if beside is None or name not in beside.column_names else beside.column(name)


def _checked(trained: Trained, rows: _Shown) -> Checked:
    days, metrics = np.unique(rows.days), trained.metrics
    baselines = {"rate table": metrics.rate_table} if trained.training.method.settings.rate_table else {}
    return Checked(
        start=days[0].astype("datetime64[D]").item(),
        end=days[-1].astype("datetime64[D]").item(),
        days=len(days),
        rows=len(rows.labels),
        every=trained.training.window.rows.every,
        label_mean=float(rows.labels.mean()),
        metrics=measured(rows.task, rows.labels, rows.model, rows.days),
        baselines={name: finite(found) for name, found in {**baselines, "training mean": metrics.constant}.items()},
        months=by_month(rows.task, rows.labels, rows.model, rows.days),
        calibration=_calibration(rows),
    )


def _calibration(rows: _Shown) -> tuple[CalibrationBin, ...]:
    """Tenths of the rows by prediction. The interval of a mean label is that of its bias, moved."""
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


def _segments(rows: _Shown) -> list[Grouped]:
    return [
        quality_by_group(rows.task, rows.labels, rows.model, rows.days, name, groups)
        for name, groups in rows.segments.items()
    ]


def _fairness(rows: _Shown, threshold: float) -> list[Grouped]:
    return [
        fairness_by_group(rows.task, rows.labels, rows.model, rows.days, threshold, name, groups)
        for name, groups in rows.sensitive.items()
    ]
