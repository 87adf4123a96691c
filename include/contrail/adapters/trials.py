"""Trials: MLflow runs without a registered version. They go into MLflow's trash, and later for good.

MLflow's client moves a run into its trash, from which a person can restore it. MLflow's own garbage collection
(``mlflow gc``) removes it with its files. Which trials are old enough is for others to say.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from upath import UPath

from contrail.adapters.mlflow_store import client, collect, is_database, mlflow_errors, no_database, pages
from contrail.adapters.training_runs import PARENT
from contrail.config.settings import Settings
from contrail.lake.orphans import files_under

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

REMOVED_AT = "contrail.removed_at"
_PAGE = 1_000


@dataclass(frozen=True)
class Trial:
    """A run with the models that it logged, and its files. ``size`` is in bytes."""

    run_id: str
    models: tuple[str, ...]
    files: int
    size: int


def names_in(settings: Settings) -> Iterator[str]:
    """Yield every tag of every run, also of those in the trash, and of every version of every model.

    Raises:
        EngineError: when MLflow does not answer.
    """
    if no_database(settings.registry.tracking_uri):
        return
    from mlflow.entities import ViewType

    mlflow = client(settings)
    with mlflow_errors(f"read the runs in {settings.registry.tracking_uri}"):
        experiments = mlflow.search_experiments(view_type=ViewType.ALL)
        for run in _runs(mlflow, [one.experiment_id for one in experiments], ViewType.ALL):
            yield from run.data.tags.values()
        for version in _versions(mlflow):
            yield from version.tags.values()


def old_trials(settings: Settings, name: str, before: datetime, named: Collection[str]) -> list[Trial]:
    """List the trials of a pipeline that ended before a time.

    The parents of younger runs and of registered ones stay too.

    Args:
        settings: Say where MLflow is.
        name: The pipeline, and its experiment.
        before: A run that began or ended later is no old one.
        named: Ids of runs that a record names.

    Raises:
        EngineError: when MLflow does not answer.
    """
    from mlflow.entities import ViewType

    return _unregistered(settings, name, ViewType.ACTIVE_ONLY, named, lambda run: _ended(run) < before)


def trash(settings: Settings, name: str, before: datetime, named: Collection[str]) -> list[Trial]:
    """List the trials in MLflow's trash that ``put_into_trash`` moved there before a time. Arguments as ``old_trials``.

    There are none on a server, whose database is not ours to collect from.
    """
    from mlflow.entities import ViewType

    if not is_database(settings.registry.tracking_uri):
        return []
    return _unregistered(settings, name, ViewType.DELETED_ONLY, named, lambda run: _removed(run, before))


def put_into_trash(settings: Settings, trials: Sequence[Trial]) -> None:
    """Move trials into MLflow's trash. The same call again is harmless."""
    if not trials:
        return
    mlflow = client(settings)
    with mlflow_errors("remove trials"):
        for one in trials:
            mlflow.set_tag(one.run_id, REMOVED_AT, datetime.now(UTC).isoformat(timespec="seconds"))
            mlflow.delete_run(one.run_id)


def empty_trash(settings: Settings, trials: Sequence[Trial]) -> None:
    """Remove trials in the trash for good, with their files, by ``mlflow gc``."""
    if not trials:
        return
    mlflow = client(settings)
    models = [model for one in trials for model in one.models]
    with mlflow_errors("empty the trash"):
        # Only now: MLflow has no way to restore a model.
        for model in models:
            _delete_model(mlflow, model)
        collect(settings, runs=[one.run_id for one in trials], models=models)


def _delete_model(mlflow: "MlflowClient", model: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        mlflow.delete_logged_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # else a killed upkeep has deleted it
            raise


def _unregistered(settings: Settings, name: str, view: str, named: Collection[str], is_old: Any) -> list[Trial]:
    if no_database(settings.registry.tracking_uri):
        return []
    from mlflow.entities import ViewType

    mlflow = client(settings)
    with mlflow_errors(f"read the runs of '{name}' in {settings.registry.tracking_uri}"):
        experiment = mlflow.get_experiment_by_name(settings.stored(name))
        if experiment is None:
            return []
        every = {run.info.run_id: run for run in _runs(mlflow, [experiment.experiment_id], ViewType.ALL)}
        seen = {run.info.run_id for run in _runs(mlflow, [experiment.experiment_id], view)}
        registered = {version.run_id for version in _versions(mlflow)} | set(named)
        old = {run_id for run_id in seen if is_old(every[run_id])} - registered
        kept = every.keys() - old if view == ViewType.ACTIVE_ONLY else registered & every.keys()
        for run_id in list(kept):
            while parent := every[run_id].data.tags.get(PARENT):
                old.discard(parent)
                if parent not in every:
                    break
                run_id = parent
        return [_trial(every[run_id]) for run_id in sorted(old)]


def _trial(run: "Run") -> Trial:
    models = tuple(one.model_id for one in (run.outputs.model_outputs if run.outputs else ()))
    artifacts = UPath(run.info.artifact_uri)
    # MLflow keeps the files of a logged model beside those of its experiment's runs.
    folders = [artifacts, *(artifacts.parent.parent / "models" / model for model in models)]
    found = [one for place in folders if place.exists() for one in files_under(place.fs, str(place))]
    return Trial(run.info.run_id, models, len(found), sum(one.size for one in found))


def _ended(run: "Run") -> datetime:
    return datetime.fromtimestamp((run.info.end_time or run.info.start_time) / 1000, UTC)


def _removed(run: "Run", before: datetime) -> bool:
    at = run.data.tags.get(REMOVED_AT)
    return at is not None and datetime.fromisoformat(at) <= before


def _runs(mlflow: "MlflowClient", experiments: list[str], view: Any) -> Iterator["Run"]:
    if experiments:
        yield from pages(partial(mlflow.search_runs, experiments, run_view_type=view, max_results=_PAGE))


def _versions(mlflow: "MlflowClient") -> Iterator[Any]:
    return pages(partial(mlflow.search_model_versions, max_results=_PAGE))
