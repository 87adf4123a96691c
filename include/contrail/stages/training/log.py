"""A training in MLflow: its run with parameters, metrics and files, and the candidate version made from it."""

import json
from pathlib import Path

from contrail.adapters import registry, training_runs
from contrail.adapters.training_runs import PARENT, LoggedRun, TrainingLog, TrainingSet
from contrail.methods.decision_record import REQUEST, TrainingRequest
from contrail.methods.energy import COST, TrainingCost
from contrail.methods.metrics import finite
from contrail.methods.model_package import MODEL, ModelCard
from contrail.stages.base import StageRun
from contrail.stages.changes import asked_by
from contrail.stages.options import TrainOptions
from contrail.stages.training.base import Trained, Training
from contrail.stages.training.rows import TRAINING_SET

# The tags that MLflow's own pages show as "Created by" and "Source".
MLFLOW_USER, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE = "mlflow.user", "mlflow.source.name", "mlflow.source.type"
MLFLOW_GIT_COMMIT = "mlflow.source.git.commit"
_LONGEST_NAME = 120  # characters; MLflow's tables show some forty


def log_training(trained: Trained, card: ModelCard, package: Path, artifacts: Path) -> LoggedRun:
    """Log the training as an MLflow run.

    Args:
        trained: The model and its metrics.
        card: The card of the saved package.
        package: Folder of the saved package.
        artifacts: Folder of files for people.
    """
    run, training = trained.training.run, card.training
    shown_by_mlflow = {
        MLFLOW_USER: asked_by(run),
        MLFLOW_SOURCE_NAME: f"contrail {run.stage}",
        MLFLOW_SOURCE_TYPE: "JOB",
        MLFLOW_GIT_COMMIT: training.code_revision,
    }
    log = TrainingLog(
        run_name=_run_name(run, card),
        params=_params(card),
        metrics={**trained.metrics.flat(), "rows": training.rows, "label_mean": card.label_mean},
        tags={
            **shown_by_mlflow,
            **_tags(run, card),
            **_data_tags(trained),
            **({PARENT: run.options.parent} if run.options.parent else {}),
        },
        artifacts=artifacts,
        data=_data(trained.training),
    )
    logged = training_runs.log_training(
        run.settings, run.pipeline.name, log, package, run.pipeline.spec.prediction_column
    )
    run.progress(f"logged as MLflow run {logged.run_id}")
    return logged


def register(trained: Trained, card: ModelCard, logged: LoggedRun, cost: TrainingCost) -> str:
    """Make a candidate version of the logged model, and return its number."""
    run = trained.training.run
    # A remote job may add a version with tags, and change none later. So the tag with the card's place comes before the card.
    beside = {"model_card": f"runs:/{logged.run_id}/model_card/model_card.html", COST: cost.model_dump_json()}
    tags = {**_tags(run, card), **_data_tags(trained), **beside, "status": "candidate"}
    shown = ", ".join(f"{name} {value:.4f}" for name, value in finite(trained.metrics.validation).items())
    text = f"Trained on {card.training.partitions} ({card.training.rows:,} rows). Validation: {shown}."
    version = registry.register(run.settings, run.pipeline.name, logged, tags, text)
    training_runs.name_run(run.settings, logged, f"version {version}: {_run_name(run, card)}")
    run.progress(f"registered as version {version}, a candidate; promote decides on it")
    return version


def _run_name(run: StageRun[TrainOptions], card: ModelCard) -> str:
    """The window, and what differs from the pipeline's parameters: two runs side by side can be told apart."""
    changed = (f"{name}={json.dumps(value)}" for name, value in run.options.params.items())
    return " ".join([str(card.training.partitions), *changed])[:_LONGEST_NAME]


def _params(card: ModelCard) -> dict[str, object]:
    training = card.training
    return {
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


def _tags(run: StageRun[TrainOptions], card: ModelCard) -> dict[str, str]:
    training = card.training
    request = TrainingRequest(person=asked_by(run), reason=run.options.reason or None, parameters=run.options.params)
    return {
        "pipeline": card.pipeline,
        "training_window": str(training.partitions),
        "feature_snapshot": str(training.feature_snapshot),
        "training_set_md5": training.training_set_md5,
        "code_revision": training.code_revision,
        "lock_hash": training.lock_hash,
        "pipeline_hash": training.pipeline_hash,
        "model_sha256": card.sha256[MODEL],
        "contrail_run": run.run_id,
        REQUEST: request.model_dump_json(),
    }


def _data_tags(trained: Trained) -> dict[str, str]:
    return {f"dvc_{name}_md5": md5 for name, md5 in trained.training.md5.items()}


def _data(training: Training) -> tuple[TrainingSet, ...]:
    run, snapshot = training.run, training.window.snapshots["features"]
    return (
        TrainingSet(TRAINING_SET, training.md5[TRAINING_SET], run.settings.data_versions_remote_uri),
        TrainingSet("features", str(snapshot), f"{run.settings.catalog.uri}#{run.pipeline.name}"),
    )
