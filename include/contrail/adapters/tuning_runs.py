"""A search for parameters in MLflow: a run of the study, and below it a run for each trial.

The study's own files have all that is needed to go on. MLflow has what people compare, so a run here may be made again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from contrail.adapters.mlflow_store import client, mlflow_errors, pages
from contrail.adapters.registry import VersionInfo, versions
from contrail.adapters.training_runs import PARENT, experiment_of
from contrail.config.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

NUMBER, STUDY = "contrail.trial", "contrail.study"
_DONE, _PAGE = "FINISHED", 1_000


@dataclass(frozen=True)
class TrialRun:
    """What MLflow keeps of a trial. ``by_fold`` has the metric of each fold that it had."""

    number: int
    name: str
    params: Mapping[str, object]
    metrics: Mapping[str, float]
    by_fold: tuple[float, ...]
    metric: str
    began: datetime
    ended: datetime


def begin_study(
    settings: Settings, name: str, run_name: str, tags: Mapping[str, str], params: Mapping[str, object]
) -> str:
    """Make the run of a study, and return its id.

    Args:
        settings: Say where MLflow is.
        name: The pipeline, and its experiment.
        run_name: What MLflow's tables show.
        tags: Its tags.
        params: What all trials have in common.

    Raises:
        EngineError: when MLflow does not answer.
    """
    from mlflow.entities import Param

    mlflow = client(settings)
    with mlflow_errors(f"log the search for parameters of '{name}' in {settings.registry.tracking_uri}"):
        made = mlflow.create_run(experiment_of(mlflow, settings, name), run_name=run_name, tags=dict(tags))
        mlflow.log_batch(made.info.run_id, params=[Param(key, str(value)) for key, value in params.items()])
        return str(made.info.run_id)


def logged_trials(settings: Settings, parent: str) -> set[int] | None:
    """The trials of a study that MLflow has whole. One that a killed command began is ended here. None: no such study.

    Raises:
        EngineError: when MLflow does not answer.
    """
    from mlflow.exceptions import MlflowException

    mlflow = client(settings)
    with mlflow_errors(f"read the trials of {parent} in {settings.registry.tracking_uri}"):
        try:
            runs = _runs_below(mlflow, parent)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":  # somebody has removed it
                return None
            raise
        found = set()
        for run in runs:
            number = run.data.tags.get(NUMBER)
            if number is not None and run.info.status == _DONE:
                found.add(int(number))
            elif number is not None and run.info.status == "RUNNING":
                mlflow.set_terminated(run.info.run_id, "KILLED")
        return found


def log_trial(settings: Settings, name: str, parent: str, trial: TrialRun) -> None:
    """Log a finished trial below its study.

    Raises:
        EngineError: when MLflow does not answer.
    """
    from mlflow.entities import Metric, Param

    mlflow = client(settings)
    with mlflow_errors(f"log trial {trial.number} of '{name}' in {settings.registry.tracking_uri}"):
        began, ended = (int(moment.timestamp() * 1000) for moment in (trial.began, trial.ended))
        run = mlflow.create_run(
            experiment_of(mlflow, settings, name),
            start_time=began,
            run_name=trial.name,
            tags={PARENT: parent, NUMBER: str(trial.number)},
        ).info.run_id
        metrics = [Metric(key, value, ended, 0) for key, value in trial.metrics.items()]
        metrics += [Metric(f"{trial.metric}_of_fold", v, ended, step) for step, v in enumerate(trial.by_fold, start=1)]
        mlflow.log_batch(run, metrics, [Param(key, str(value)) for key, value in trial.params.items()])
        mlflow.set_terminated(run, _DONE, ended)


def versions_below(settings: Settings, name: str, parent: str) -> list[VersionInfo]:
    """The registered versions whose trainings lie below a study.

    Raises:
        EngineError: when MLflow does not answer.
    """
    known = versions(settings, name)
    if not known:
        return []
    mlflow = client(settings)
    with mlflow_errors(f"read the trainings of {parent} in {settings.registry.tracking_uri}"):
        below = {run.info.run_id for run in _runs_below(mlflow, parent)}
    return [one for one in known if one.run_id in below]


def _runs_below(mlflow: "MlflowClient", parent: str) -> list["Run"]:
    experiment = mlflow.get_run(parent).info.experiment_id
    return [*pages(partial(mlflow.search_runs, [experiment], f"tags.`{PARENT}` = '{parent}'", max_results=_PAGE))]


def end_study(settings: Settings, parent: str, metrics: Mapping[str, float], *, whole: bool) -> None:
    """Log what a study has found, and end its run. A study that is not whole can go on.

    Raises:
        EngineError: when MLflow does not answer.
    """
    from mlflow.entities import Metric

    mlflow = client(settings)
    with mlflow_errors(f"end the run {parent} in {settings.registry.tracking_uri}"):
        now = int(datetime.now(UTC).timestamp() * 1000)
        mlflow.log_batch(parent, [Metric(key, value, now, 0) for key, value in metrics.items()])
        mlflow.set_terminated(parent, _DONE if whole else "KILLED")
