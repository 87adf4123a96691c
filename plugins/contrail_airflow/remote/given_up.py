"""Listeners that end the remote jobs of tasks and runs which have ended in Airflow.

A trigger ends the job of a waiting task, and a worker ends the job of a task that is submitting it. But both may be
missing. The triggerer may not run, or may not have taken the wait over. The worker may be lost. Airflow also lets a
worker defer a task that no longer exists.

So the process in which a task or a run ends looks after the run for two minutes. When a person ends it, this is the API
server; otherwise it is the scheduler. It cancels those jobs of the run whose task has ended.

Airflow calls no listener for a task that fails by itself, because its process was killed or its service failed. The
end of its run finds its job.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from contrail.config.settings import settings
from contrail.dispatch.payload import TASK_LABEL, key_label
from contrail_airflow.remote.remote_jobs import GoogleTarget, RemoteJobs, run_key, work_key
from contrail_airflow.remote.services import jobs_of
from contrail_airflow.remote.trouble import advice, service_errors

if TYPE_CHECKING:
    from airflow.models import DagRun

_log = logging.getLogger(__name__)

# Seconds from one look to the next. At first the task's new state is not committed yet. A worker may take a minute to
# submit a job and to learn that its task has ended.
_LOOKS = (5.0, 15.0, 40.0, 60.0)
_looks: dict[tuple[str, str], Iterator[float]] = {}  # the pauses to come, for each run that is looked after
_lock = threading.Lock()


@hookimpl
def on_task_instance_failed(task_instance: Any) -> None:
    """A person has marked the task, or its worker was lost."""
    _task_ended(task_instance)


@hookimpl
def on_task_instance_success(task_instance: Any) -> None:
    """A person has marked the task."""
    _task_ended(task_instance)


@hookimpl
def on_task_instance_skipped(task_instance: Any) -> None:
    """A person has marked the task."""
    _task_ended(task_instance)


@hookimpl
def on_dag_run_failed(dag_run: "DagRun") -> None:
    """The run's tasks have ended, a person has marked it, or it took too long. Then no listener hears of its tasks."""
    _look_after(dag_run.dag_id, dag_run.run_id)


@hookimpl
def on_dag_run_success(dag_run: "DagRun") -> None:
    """The run's tasks have ended, or a person has marked it."""
    _look_after(dag_run.dag_id, dag_run.run_id)


def _task_ended(task_instance: Any) -> None:
    # In its own worker a task has no `trigger_id`. There it has ended by itself.
    if hasattr(task_instance, "trigger_id"):
        _look_after(task_instance.dag_id, task_instance.run_id)


def _look_after(dag_id: str, run_id: str) -> None:
    """Look after a run, from now on, in a thread: the caller holds a transaction and must not wait for a service."""
    if not _targets():
        return
    with _lock:
        begun = (dag_id, run_id) in _looks
        _looks[dag_id, run_id] = iter(_LOOKS)
    if not begun:
        threading.Thread(target=_look, args=(dag_id, run_id), name=f"look-after-{run_id}", daemon=True).start()


def _look(dag_id: str, run_id: str) -> None:
    while True:
        with _lock:
            pause = next(_looks[dag_id, run_id], None)
            if pause is None:
                del _looks[dag_id, run_id]
                return
        time.sleep(pause)
        for target in _targets():
            with _telling("Jobs", run_id):
                _end_jobs(jobs_of(target, settings()), dag_id, run_id)


def _targets() -> list[GoogleTarget]:
    """A target for each service, and its regions, where this environment has jobs."""
    found = [target for target in settings().dispatch.targets.values() if isinstance(target, GoogleTarget)]
    return [*{(one.kind, one.connection, one.project, one.regions): one for one in found}.values()]


def _end_jobs(jobs: RemoteJobs, dag_id: str, run_id: str) -> None:
    """Cancel a run's jobs whose tasks have ended. A task that is to run again takes its job up, so that job stays."""
    dispatch = settings().dispatch
    for job in jobs.of_run(key_label(run_key(dag_id, run_id), dispatch)):
        # Read again for each job. While the one before is cancelled, a task may be cleared and take up its job.
        wanted = {key_label(work, dispatch) for work in _unfinished(dag_id, run_id)}
        if job.labels[TASK_LABEL] not in wanted:
            with _telling(job.id, run_id):
                jobs.cancel(job.name)
                _log.info("%s is being cancelled: its task has ended\n%s", job.id, job.link)


@contextmanager
def _telling(what: str, run_id: str) -> Iterator[None]:
    """Log an error, so that it does not stop the next job, service or look."""
    try:
        yield
    except service_errors() as error:
        _log.warning("%s of %s could not be ended: %s\n%s", what, run_id, advice(error)[1], error)
    except Exception:
        _log.exception("%s of %s could not be ended", what, run_id)


def _unfinished(dag_id: str, run_id: str) -> list[str]:
    """``Job.work`` of each task of a run that has not ended."""
    from airflow.models import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import State
    from sqlalchemy import select

    of_run = select(TaskInstance.task_id, TaskInstance.map_index, TaskInstance.state)
    with create_session() as session:
        found = session.execute(of_run.filter_by(dag_id=dag_id, run_id=run_id)).all()
    return [work_key(dag_id, run_id, task_id, index) for task_id, index, state in found if state not in State.finished]
