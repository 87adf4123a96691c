"""A sandbox's part of MLflow: an experiment and a registered model of its own, which begins with the main lake's versions.

The versions have the same numbers and refer to the same files, so that what names a version means the same in a sandbox. The
aliases begin where the main lake's are, and move alone.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from upath import UPath

from contrail.adapters.mlflow_store import client, collect, is_database, mlflow_errors, no_database, pages
from contrail.config.names import of_sandbox
from contrail.config.settings import Settings
from contrail.files import remove_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ABSENT = "RESOURCE_DOES_NOT_EXIST"
_PAGE, _MODELS = 1_000, 50


def begin(settings: Settings, name: str) -> int:
    """Make a sandbox's registered model as the main lake's is now.

    Args:
        settings: Of the sandbox.
        name: The pipeline.

    Returns:
        The number of the newest version; 0 where there is none.

    Raises:
        EngineError: when MLflow does not answer.
    """
    if no_database(settings.registry.tracking_uri):
        return 0
    mlflow, own = client(settings), settings.stored(name)
    with mlflow_errors(f"begin the models of the sandbox '{settings.sandbox}'"):
        drop_model(mlflow, own)
        search = partial(mlflow.search_model_versions, f"name = '{name}'", max_results=_PAGE)
        known = sorted(pages(search), key=lambda one: int(one.version))
        if not known:
            return 0
        mlflow.create_registered_model(own)
        for one in known:
            _begin_version(mlflow, own, one)
        for alias, version in mlflow.get_registered_model(name).aliases.items():
            mlflow.set_registered_model_alias(own, alias, version)
        return int(known[-1].version)


def _begin_version(mlflow: "MlflowClient", own: str, one: Any) -> None:
    """Make a version with the same number. Numbers whose versions somebody deleted are made and deleted."""
    while True:
        made = mlflow.create_model_version(
            own, one.source, one.run_id, tags=dict(one.tags), description=one.description
        )
        if int(made.version) >= int(one.version):
            return
        mlflow.delete_model_version(own, made.version)


def drop(settings: Settings, name: str) -> None:
    """Remove a sandbox's registered model and its experiment, with the files of its runs. Again is harmless.

    A server keeps the empty experiment, and its runs in MLflow's trash, because only its own machine removes them.

    Raises:
        EngineError: when MLflow does not answer.
    """
    uri = settings.registry.tracking_uri
    if no_database(uri):
        return
    mlflow, own = client(settings), settings.stored(name)
    assert of_sandbox(own), own
    with mlflow_errors(f"remove the models of the sandbox '{settings.sandbox}'"):
        drop_model(mlflow, own)
        experiment = mlflow.get_experiment_by_name(own)
        if experiment is not None:
            if is_database(uri):
                _remove_experiment(mlflow, settings, experiment)
            else:
                for run in [*pages(partial(mlflow.search_runs, [experiment.experiment_id]))]:
                    mlflow.delete_run(run.info.run_id)
        remove_folder(UPath(settings.registry.artifact_uri) / own)


def drop_model(mlflow: "MlflowClient", own: str) -> None:
    """Remove a registered model with its versions, if it is there. The files that they refer to stay."""
    from mlflow.exceptions import MlflowException

    try:
        mlflow.delete_registered_model(own)
    except MlflowException as error:
        if error.error_code != _ABSENT:
            raise


def _remove_experiment(mlflow: "MlflowClient", settings: Settings, experiment: Any) -> None:
    from mlflow.entities import ViewType

    number = experiment.experiment_id
    if experiment.lifecycle_stage == "deleted":  # a removal was killed
        mlflow.restore_experiment(number)
    runs = [one.info.run_id for one in pages(partial(mlflow.search_runs, [number], run_view_type=ViewType.ALL))]
    models = [one.model_id for one in pages(partial(mlflow.search_logged_models, [number], max_results=_MODELS))]
    for model in models:
        mlflow.delete_logged_model(model)
    mlflow.delete_experiment(number)
    collect(settings, runs, models, [number])
