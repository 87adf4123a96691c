"""Fit a model on a window of labelled rows and keep it, with all that is needed to make it again, as a candidate.

No alias moves here: whether a candidate may predict for people is decided by promote.
"""

import base64
import csv
import hashlib
import json
import tempfile
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from contrail.adapters import data_versions, registry
from contrail.adapters.executors import has_executors
from contrail.adapters.registry import LoggedRun, TrainingLog, TrainingSet
from contrail.adapters.spark_trainer import SparkTrainer
from contrail.config.spec import PipelineSpec, TrainSpec
from contrail.errors import DataError, MissingInputError
from contrail.files import remove_folder, write_whole
from contrail.lake.datasets import PARTITION
from contrail.lake.labels import read_training_rows
from contrail.methods import metrics
from contrail.methods.baselines import RateTable, fit_rate_table
from contrail.methods.boosting import Checkpoint, Params
from contrail.methods.drift_reference import build_reference
from contrail.methods.encoding import category_table
from contrail.methods.fit import Fitted, booster_params, fit_trees, override, predict_unseen
from contrail.methods.label_drift import LabelReference, build_label_reference, day_residuals, parts_of
from contrail.methods.matrices import TrainingRows
from contrail.methods.model_package import ModelCard, ModelPackage, TrainingRecord
from contrail.methods.splits import Split, split_window
from contrail.methods.trainer import ThisProcess, Trainer
from contrail.reports.plots import PlotData, draw_all
from contrail.revision import code_hash, code_revision, lock_hash
from contrail.stages.base import StageResult, StageRun, result_of

_SEGMENT_ROWS = 50
_READS = 5


@dataclass(frozen=True)
class _Window:
    """The rows of the training window, and the snapshots of every table that they were read from."""

    rows: pa.Table
    snapshots: dict[str, int | None]
    labels_as_of: date

    @property
    def days(self) -> npt.NDArray[np.datetime64]:
        return self.rows.column(PARTITION).to_numpy()

    @property
    def labels(self) -> npt.NDArray[np.float64]:
        return self.rows.column("label").to_numpy()


@dataclass(frozen=True)
class _Validation:
    """The validation rows with what the model and the baselines say of them."""

    rows: pa.Table
    labels: npt.NDArray[np.float64]
    model: npt.NDArray[np.float64]
    rate_table: npt.NDArray[np.float64]
    constant: npt.NDArray[np.float64]
    baseline_name: str


def execute(run: StageRun) -> StageResult:
    """Train on the range and register the model as a candidate version.

    The range is cut into fit, embargo and validation (``pipeline.yaml``, ``train``); labels are those known at the
    cut-off after the range. Same rows, parameters, threads, workers and libraries give the same bytes on a CPU.

    Options: ``params``, changes to the training settings and to XGBoost's parameters; ``register``, False to keep the
    run in MLflow without a version; ``metrics_path``, a file for the metrics as JSON.

    Raises:
        MissingInputError: when the range has no labelled rows.
        SpecError: for a wrong parameter, or a range too short to split.
    """
    spec = run.pipeline.spec
    train = override(spec.train, run.options.get("params", {}))
    split = split_window(run.partitions, train.validation_days, train.embargo_days)
    params = booster_params(spec.task, train)
    trainer = _trainer(run, train)
    window = _read(run)
    run.progress(f"{window.rows.num_rows:,} labelled rows; fit {split.fit}, validation {split.validation}")
    md5 = _version_data(run, window)

    data = encode_window(window.rows, spec, train.external_memory_rows)
    fit_rows, validation_rows = split.masks(window.days)
    _check_labels(spec, window.labels, fit_rows, validation_rows, split)
    checkpoints = _Checkpoints(run, params, train, trainer.workers, md5["training_set"])
    fitted = fit_trees(data, fit_rows, validation_rows, train, params, checkpoints, trainer)
    validation = _validation(spec, train, window, fit_rows, validation_rows, fitted)
    found = _metrics(spec, train, validation)
    run.progress(_headline(spec, fitted, found))

    label = _label_reference(run, params, window, data, fitted, trainer)
    package = _package(run, train, params, window, data, fitted, label, md5)
    with tempfile.TemporaryDirectory(prefix="contrail-train-") as place:
        saved = package.save(Path(place) / "package")
        artifacts = Path(place) / "artifacts"
        _draw(run, train, fitted, validation, artifacts)
        _write_tables(fitted, found, saved.card, artifacts)
        logged = _log(run, saved.card, found, artifacts, Path(place) / "package", md5)
    version = _register(run, saved.card, logged, found) if run.options.get("register", True) else None
    _write_metrics(run, found, saved.card)
    checkpoints.remove()
    return result_of(
        run,
        rows=window.rows.num_rows,
        snapshots={name: id_ for name, id_ in window.snapshots.items() if id_ is not None},
        details={
            "model_name": run.pipeline.name,
            "model_version": version,
            "mlflow_run": logged.run_id,
            "rounds": fitted.rounds,
            "device": fitted.device,
            "workers": fitted.workers,
            "training_set_md5": md5["training_set"],
            "model_sha256": saved.card.sha256["model.ubj"],
            "validation": found["validation"],
            "baselines": {name: found[name] for name in ("rate_table", "constant")},
        },
    )


def _trainer(run: StageRun, train: TrainSpec) -> Trainer:
    if train.workers > 1 and has_executors(run.settings.engine):
        return SparkTrainer(run.settings.engine, train.workers, run.staging / "training-rows")
    return ThisProcess()


# ---- rows in ----


def _read(run: StageRun) -> _Window:
    """The rows, all of one state of the tables: read again when a table was published meanwhile."""
    spec = run.pipeline.spec
    as_of = run.partitions.end + timedelta(days=1)
    names = ("features", f"validated_{spec.entities}", f"validated_{spec.label.table}")
    before = {name: run.lake.snapshot_id(name) for name in names}
    for _ in range(_READS):
        rows = read_training_rows(run.lake, spec, run.partitions, as_of=as_of).combine_chunks()
        after = {name: run.lake.snapshot_id(name) for name in names}
        if after == before:
            break
        before = after
    if rows.num_rows == 0:
        raise MissingInputError(
            f"{run.pipeline.name}: no row of {run.partitions} has both features and a label known by {as_of}. "
            f"Run validate and features for these partitions first (contrail status --pipeline {run.pipeline.name})."
        )
    return _Window(rows, after, as_of)


def _check_labels(
    spec: PipelineSpec,
    labels: npt.NDArray[np.float64],
    fit: npt.NDArray[np.bool_],
    validation: npt.NDArray[np.bool_],
    split: Split,
) -> None:
    for name, rows, days in (("fit", fit, split.fit), ("validation", validation, split.validation)):
        if not rows.any():
            raise MissingInputError(f"{spec.name}: no labelled rows in {days}, which is the {name} part of the window")
        if spec.task == "binary" and len(np.unique(labels[rows])) < 2:
            raise DataError(
                f"{spec.name}: all {int(rows.sum()):,} labels of the {name} part {days} are {labels[rows][0]:g}; "
                f"nothing can be learned from them. Check label.expression ({spec.label.expression})."
            )


def encode_window(rows: pa.Table, spec: PipelineSpec, external_memory_rows: int = 0) -> TrainingRows:
    """Training rows as XGBoost reads them, with the category tables that these rows define."""
    names = tuple(spec.features.columns)
    categories = category_table(rows, spec.features.categories)
    labels = rows.column("label").to_numpy().astype(np.float32)
    external = 0 < external_memory_rows < rows.num_rows
    return TrainingRows(rows.select(names), labels, names, categories, external)


def _version_data(run: StageRun, window: _Window) -> dict[str, str]:
    """Write the training set, version it and the landed files with DVC, and keep its snapshots from expiring."""
    folder = run.settings.home_path / "training_sets" / run.pipeline.name
    path = folder / f"{run.partitions.start}_{run.partitions.end}" / "rows.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(window.rows, path, compression="zstd")
    landed = run.settings.home_path / "landing" / run.pipeline.name
    paths = {"training_set": path}
    if run.settings.landing_uri == str(landed.parent) and landed.exists():
        paths["landed_files"] = landed
    hashes = data_versions.add_and_push(run.settings, list(paths.values()))
    run.progress(f"training set is {hashes[path]} in DVC")
    for name, snapshot in window.snapshots.items():
        if snapshot is not None and run.options.get("register", True):
            run.lake.tag(name, snapshot, f"training-{snapshot}")
    return {name: hashes[own] for name, own in paths.items()}


class _Checkpoints:
    """Checkpoints of the trainings of exactly these rows by exactly these settings, code and libraries.

    They outlive the run that made them: the attempt after it, on another machine, goes on from there.
    """

    def __init__(self, run: StageRun, params: Params, train: TrainSpec, workers: int, rows_md5: str) -> None:
        made_of = [params, train.model_dump(), workers, rows_md5, code_hash(), lock_hash(run.settings.project_path)]
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:32]
        self.folder = run.settings.staging / run.pipeline.name / "checkpoints" / digest
        self.run = run

    def load(self, name: str) -> Checkpoint | None:
        path = self.folder / f"{name}.json"
        if not path.exists():
            return None
        kept = json.loads(path.read_text())
        found = Checkpoint(base64.b64decode(kept["model"]), kept["history"])
        self.run.progress(f"going on with {name} after the checkpoint of run {kept['run']}")
        return found

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        # One file, so that the trees and their history are of the same round whenever the run is killed.
        model = base64.b64encode(checkpoint.model).decode()
        kept = {"run": self.run.run_id, "model": model, "history": checkpoint.history}
        write_whole(self.folder / f"{name}.json", json.dumps(kept).encode())

    def remove(self) -> None:
        remove_folder(self.folder)


# ---- how good it is ----


def _validation(
    spec: PipelineSpec,
    train: TrainSpec,
    window: _Window,
    fit: npt.NDArray[np.bool_],
    validation: npt.NDArray[np.bool_],
    fitted: Fitted,
) -> _Validation:
    fit_rows, rows = window.rows.filter(pa.array(fit)), window.rows.filter(pa.array(validation))
    tables = [fit_rate_table(fit_rows, window.labels[fit], names) for names in (train.rate_table, ())]
    return _Validation(
        rows=rows,
        labels=window.labels[validation],
        model=fitted.validation_predictions,
        rate_table=tables[0].predict(rows),
        constant=tables[1].predict(rows),
        baseline_name="rate table" if train.rate_table else "constant",
    )


def _metrics(spec: PipelineSpec, train: TrainSpec, validation: _Validation) -> dict[str, Any]:
    """Metrics of the validation rows: overall, of the baselines, by segment, by month."""
    labels, model = validation.labels, validation.model
    months = np.array([f"{day:%Y-%m}" for day in validation.rows.column(PARTITION).to_pylist()], object)
    groups = {name: np.array(validation.rows.column(name).to_pylist(), object) for name in train.segments}
    return {
        "validation": metrics.evaluate(spec.task, labels, model),
        "rate_table": metrics.evaluate(spec.task, labels, validation.rate_table),
        "constant": metrics.evaluate(spec.task, labels, validation.constant),
        "by_month": metrics.by_group(spec.task, labels, model, months),
        "by_segment": {
            name: metrics.by_group(spec.task, labels, model, own, _SEGMENT_ROWS) for name, own in groups.items()
        },
    }


def _headline(spec: PipelineSpec, fitted: Fitted, found: dict[str, Any]) -> str:
    shown = metrics.HEADLINE[spec.task]
    own, table = found["validation"], found["rate_table"]
    area = f", AUC {own['auc']:.3f}" if spec.task == "binary" else ""
    machines = f"{fitted.workers} executors' {fitted.device}" if fitted.workers > 1 else fitted.device
    return (
        f"{fitted.rounds} rounds on {machines}; validation {shown} {own[shown]:.4f}{area} "
        f"(rate table {table[shown]:.4f}, constant {found['constant'][shown]:.4f})"
    )


def _flat(found: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested metrics under names with slashes, without the undefined ones."""
    flat: dict[str, float] = {}
    for name, value in found.items():
        flat |= _flat(value, f"{prefix}{name}/") if isinstance(value, dict) else {prefix + name: value}
    return metrics.finite(flat)


# ---- what is kept ----


def _package(
    run: StageRun,
    train: TrainSpec,
    params: Params,
    window: _Window,
    data: TrainingRows,
    fitted: Fitted,
    label: LabelReference,
    md5: dict[str, str],
) -> ModelPackage:
    import xgboost

    spec, project = run.pipeline.spec, run.settings.project_path
    # Drift is measured on every row of a day, labelled or not: so must be what it is measured against.
    features = run.lake.scan("features", run.partitions, snapshot_id=window.snapshots["features"])
    record = TrainingRecord(
        start=run.partitions.start,
        end=run.partitions.end,
        labels_as_of=window.labels_as_of,
        embargo_days=train.embargo_days,
        rows=window.rows.num_rows,
        feature_snapshot=window.snapshots["features"],
        snapshots=window.snapshots,
        training_set_md5=md5["training_set"],
        rounds=fitted.rounds,
        device=fitted.device,
        workers=fitted.workers,
        params=params,
        options=train.model_dump(include={"validation_days", "early_stopping_rounds", "rounds", "refit", "seed"}),
        code_revision=code_revision(project),
        lock_hash=lock_hash(project),
        pipeline_hash=run.pipeline.hash,
        xgboost_version=xgboost.__version__,
    )
    card = ModelCard(
        pipeline=spec.name,
        task=spec.task,
        label=spec.label.expression,
        label_mean=float(window.labels.mean()),
        features=data.names,
        categories=dict(data.categories),
        rate_table=_rate_table(window, train),
        training=record,
    )
    return ModelPackage(card, fitted.model, build_reference(features, spec, label).to_json())


def _label_reference(
    run: StageRun, params: Params, window: _Window, data: TrainingRows, fitted: Fitted, trainer: Trainer
) -> LabelReference:
    spec = run.pipeline.spec
    parts = parts_of(window.days)
    predicted = predict_unseen(data, parts, {**params, "device": fitted.device}, fitted.rounds, trainer)
    # The labels of the window's last days were not all known yet.
    mature = window.days <= np.datetime64(run.partitions.end - timedelta(days=spec.label.mature_after_days))
    residuals = day_residuals(window.days[mature], window.labels[mature], predicted[mature])
    return build_label_reference(residuals, spec.drift)


def _rate_table(window: _Window, train: TrainSpec) -> RateTable:
    return fit_rate_table(window.rows, window.labels, train.rate_table)


def _draw(run: StageRun, train: TrainSpec, fitted: Fitted, validation: _Validation, artifacts: Path) -> None:
    name: str = list(fitted.history["validation"])[-1]
    data = PlotData(
        title=run.pipeline.spec.title,
        task=run.pipeline.spec.task,
        labels=validation.labels,
        predictions=validation.model,
        baseline=validation.rate_table,
        baseline_name=validation.baseline_name,
        importance=fitted.importance,
        history={part: values[name] for part, values in fitted.history.items()},
        history_metric=name,
        rounds=fitted.rounds,
    )
    draw_all(data, artifacts / "plots")


def _write_tables(fitted: Fitted, found: dict[str, Any], card: ModelCard, artifacts: Path) -> None:
    """The numbers behind the plots, for a spreadsheet or a script."""
    by_gain = sorted(fitted.importance.items(), key=lambda entry: -entry[1])
    with (artifacts / "importance.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["feature", "share_of_gain"])
        writer.writerows(by_gain)
    (artifacts / "metrics.json").write_text(json.dumps(_flat(found), indent=1))
    (artifacts / "model.json").write_text(json.dumps(card.model_dump(mode="json"), indent=1))


def _log(
    run: StageRun, card: ModelCard, found: dict[str, Any], artifacts: Path, package: Path, md5: dict[str, str]
) -> LoggedRun:
    training = card.training
    params = {
        **training.params,
        **training.options,
        "best_rounds": training.rounds,
        "train_from": training.start,
        "train_to": training.end,
        "embargo_days": training.embargo_days,
        "features": len(card.features),
        "device": training.device,
        "workers": training.workers,
    }
    log = TrainingLog(
        run_name=f"{training.start}_{training.end}",
        params=params,
        metrics={**_flat(found), "rows": training.rows, "label_mean": card.label_mean},
        tags={**_tags(run, card), **{f"dvc_{name}_md5": value for name, value in md5.items()}},
        artifacts=artifacts,
        data=(
            TrainingSet("training_set", md5["training_set"], run.settings.data_versions_remote_uri),
            TrainingSet("features", str(training.feature_snapshot), f"{run.settings.catalog.uri}#{run.pipeline.name}"),
        ),
    )
    logged = registry.log_training(run.settings, run.pipeline.name, log, package, run.pipeline.spec.prediction_column)
    run.progress(f"logged as MLflow run {logged.run_id}")
    return logged


def _tags(run: StageRun, card: ModelCard) -> dict[str, str]:
    training = card.training
    return {
        "pipeline": card.pipeline,
        "training_window": str(training.partitions),
        "feature_snapshot": str(training.feature_snapshot),
        "training_set_md5": training.training_set_md5,
        "code_revision": training.code_revision,
        "lock_hash": training.lock_hash,
        "pipeline_hash": training.pipeline_hash,
        "model_sha256": card.sha256["model.ubj"],
        "contrail_run": run.run_id,
    }


def _register(run: StageRun, card: ModelCard, logged: LoggedRun, found: dict[str, Any]) -> str:
    tags = {**_tags(run, card), "status": "candidate"}
    shown = ", ".join(f"{name} {value:.4f}" for name, value in metrics.finite(found["validation"]).items())
    text = f"Trained on {card.training.partitions} ({card.training.rows:,} rows). Validation: {shown}."
    version = registry.register(run.settings, run.pipeline.name, logged, tags, text)
    run.progress(f"registered as version {version}, a candidate; promote decides on it")
    return version


def _write_metrics(run: StageRun, found: dict[str, Any], card: ModelCard) -> None:
    """What DVC's experiments compare: only numbers that a change of model changes."""
    if not (path := run.options.get("metrics_path")):
        return
    values = {
        **{name: metrics.finite(found[name]) for name in ("validation", "rate_table", "constant")},
        "rounds": card.training.rounds,
        "rows": card.training.rows,
    }
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(values, indent=1) + "\n")
