"""Training runs in MLflow: parameters, metrics, files and the model of each.

``registry`` has the versions of models and their aliases.
"""

import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version as library_version
from pathlib import Path
from typing import TYPE_CHECKING

from contrail.adapters.mlflow_store import ask_database, client, mlflow_errors, no_database, pages
from contrail.config.settings import Settings
from contrail.files import local_path, on_disk
from contrail.methods.model_package import CARD, ModelPackage

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

_LOADER = "contrail.methods.model_package"
_MODEL_LIBRARIES = ("xgboost", "numpy", "pyarrow", "pydantic")
_METRICS_A_BATCH, _PARAMS_A_BATCH = 900, 90
PARENT = "mlflow.parentRunId"  # MLflow's own tag of a run below another one
_PAGE = 1000  # runs that the client reads at a time


@dataclass(frozen=True)
class TrainingSet:
    """A data set that a run learned from, as MLflow lists it."""

    name: str
    digest: str
    source: str


@dataclass(frozen=True)
class TrainingLog:
    """Everything about a training run that MLflow keeps. ``artifacts`` is a folder of files for people.

    MLflow must allow the metrics' names, as ``contrail.methods.metric_names`` makes them.
    """

    run_name: str
    params: Mapping[str, object]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artifacts: Path
    data: tuple[TrainingSet, ...] = ()


@dataclass(frozen=True)
class LoggedRun:
    """A finished MLflow run, and its model. ``card_sha256`` is the digest of the model's card."""

    run_id: str
    model_id: str
    card_sha256: str


@dataclass(frozen=True)
class TriedRun:
    """A run that nobody has removed: when it began, in milliseconds since 1970, and the parameters that it logged."""

    started: int
    params: dict[str, str]


@dataclass(frozen=True)
class _OpenRun:
    """A run that is being logged."""

    mlflow: "MlflowClient"
    experiment: str
    id: str


def log_training(settings: Settings, name: str, log: TrainingLog, package: Path, output: str) -> LoggedRun:
    """Log a training run with its model, in one batch.

    Args:
        settings: Say where MLflow is.
        name: Pipeline; also the experiment.
        log: What to keep.
        package: Folder of a saved ``ModelPackage``. MLflow adds its own files.
        output: Name of the predicted column, for the signature.

    Raises:
        EngineError: when MLflow or its files cannot be written.
    """
    mlflow = client(settings)
    with mlflow_errors(f"log the training of '{name}' in {settings.registry.tracking_uri}"):
        return _log(mlflow, settings, name, log, package, output)


def _log(
    mlflow: "MlflowClient", settings: Settings, name: str, log: TrainingLog, package: Path, output: str
) -> LoggedRun:
    experiment = experiment_of(mlflow, settings, name)
    made = mlflow.create_run(experiment, run_name=log.run_name, tags=dict(log.tags))
    run = _OpenRun(mlflow, experiment, made.info.run_id)
    try:
        model_id = _log_model(run, package, output, log.params)
        # The registry will know of these files. Those of a server are its own concern.
        files = local_path(str(mlflow.get_logged_model(model_id).artifact_location))
        on_disk([files] if files.exists() else [])
        _log_batch(run, model_id, log)
        mlflow.log_artifacts(run.id, str(log.artifacts))
        mlflow.set_terminated(run.id)
    except BaseException:
        with suppress(Exception):  # the first error is the one to show
            mlflow.set_terminated(run.id, "FAILED")
        raise
    return LoggedRun(run.id, model_id, hashlib.sha256((package / CARD).read_bytes()).hexdigest())


def runs_of(settings: Settings, name: str) -> list[TriedRun]:
    """Read the runs of a pipeline that logged parameters, from MLflow's database or, where it takes no query, by its client.

    Raises:
        EngineError: when MLflow does not answer.
    """
    if no_database(settings.registry.tracking_uri):
        return []
    query = (
        "SELECT r.run_uuid, r.start_time, p.key, p.value FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id "
        "JOIN params p ON p.run_uuid = r.run_uuid WHERE e.name = :name AND r.lifecycle_stage = 'active'"
    )
    rows = ask_database(settings, query, {"name": settings.stored(name)})
    if rows is None:
        return _runs_of_client(settings, name)
    found: dict[str, TriedRun] = {}
    for run, started, key, value in rows:
        found.setdefault(run, TriedRun(int(started), {})).params[key] = value
    return list(found.values())


def _runs_of_client(settings: Settings, name: str) -> list[TriedRun]:
    with mlflow_errors(f"read the runs of '{name}' in {settings.registry.tracking_uri}"):
        mlflow = client(settings)
        experiment = mlflow.get_experiment_by_name(settings.stored(name))
        if experiment is None:
            return []
        runs = pages(partial(mlflow.search_runs, [experiment.experiment_id], max_results=_PAGE))
        return [TriedRun(run.info.start_time, dict(run.data.params)) for run in runs if run.data.params]


def name_run(settings: Settings, logged: LoggedRun, name: str) -> None:
    """Give a finished run another name in MLflow's tables."""
    with mlflow_errors(f"name the run {logged.run_id} in MLflow"):
        client(settings).update_run(logged.run_id, name=name)


def own_run(settings: Settings, name: str, run_id: str, new_name: str) -> str:
    """Return a run that may be written to: this one, or in a sandbox a new one in place of one of the main lake.

    Args:
        settings: Say where MLflow is.
        name: The pipeline.
        run_id: The run.
        new_name: The name of a new one in MLflow's tables.
    """
    if not settings.sandbox:
        return run_id
    mlflow = client(settings)
    experiment = experiment_of(mlflow, settings, name)
    if mlflow.get_run(run_id).info.experiment_id == experiment:
        return run_id
    made = mlflow.create_run(experiment, run_name=new_name)
    mlflow.set_terminated(made.info.run_id)
    return str(made.info.run_id)


def experiment_of(mlflow: "MlflowClient", settings: Settings, name: str) -> str:
    """The experiment of a pipeline, made when missing."""
    from mlflow.exceptions import MlflowException

    stored = settings.stored(name)
    found = mlflow.get_experiment_by_name(stored)
    if found is None:
        try:
            return mlflow.create_experiment(stored, artifact_location=f"{settings.registry.artifact_uri}/{stored}")
        except MlflowException:  # another run made it after our check
            found = mlflow.get_experiment_by_name(stored)
            if found is None:
                raise
    return str(found.experiment_id)


def _log_model(run: _OpenRun, package: Path, output: str, params: Mapping[str, object]) -> str:
    """Log the package as an MLflow model.

    ``mlflow.xgboost.log_model`` does not know categories, and it needs seconds to infer requirements.
    """
    from mlflow import pyfunc
    from mlflow.models import Model

    texts = {key: str(value) for key, value in params.items()}
    logged = run.mlflow.create_logged_model(
        run.experiment, "model", source_run_id=run.id, params=texts, model_type="xgboost"
    )
    model = Model(run_id=run.id, model_id=logged.model_id, signature=_signature(package, output))
    pyfunc.add_to_model(model, loader_module=_LOADER)
    requirements = [f"{library}=={library_version(library)}" for library in _MODEL_LIBRARIES]
    (package / "requirements.txt").write_text("\n".join(requirements) + "\n")
    model.save(str(package / "MLmodel"))
    run.mlflow.log_model_artifacts(logged.model_id, str(package))
    run.mlflow.finalize_logged_model(logged.model_id, "READY")
    return str(logged.model_id)


def _signature(package: Path, output: str) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    card = ModelPackage.load(package).card
    inputs = [ColSpec("string" if n in card.categories else "double", n, required=False) for n in card.features]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec("double", output)]))


def _log_batch(run: _OpenRun, model_id: str, log: TrainingLog) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Metric, Param

    now = int(time.time() * 1000)
    params = [Param(key, str(value)) for key, value in log.params.items()]
    metrics = [Metric(key, value, now, 0, model_id=model_id) for key, value in log.metrics.items()]
    while params or metrics:  # one batch, unless a pipeline has very many segments
        run.mlflow.log_batch(run.id, metrics[:_METRICS_A_BATCH], params[:_PARAMS_A_BATCH])
        params, metrics = params[_PARAMS_A_BATCH:], metrics[_METRICS_A_BATCH:]
    data = [
        DatasetInput(
            Dataset(one.name, one.digest[:36], "local", one.source), [InputTag("mlflow.data.context", "train")]
        )
        for one in log.data
    ]
    run.mlflow.log_inputs(run.id, data)
    run.mlflow.log_outputs(run.id, [LoggedModelOutput(model_id, step=0)])
