"""What Airflow is doing, or did last, with the partitions of a pipeline: from its own tables of runs and tasks."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from sqlalchemy import select

from contrail.config.pipeline import Pipeline
from contrail.errors import SpecError
from contrail.frozen import Frozen
from contrail.partitions import Partitions
from contrail.stages import RANGE_STAGES
from contrail_airflow.dags.policy import run_day

_BACKFILL = "backfill"
_STAGES = {
    "daily": ("ingest", "validate", "features"),
    "score": ("score",),
    "monitor": ("drift", "performance"),
    _BACKFILL: tuple(RANGE_STAGES),
}
_RUNNING = frozenset({"running", "queued", "scheduled", "deferred", "up_for_retry", "restarting", "awaiting_input"})
# Airflow makes all tasks of a run at once, and gives those that it has not come to no state.
_WAITING = "waiting"
_NEWEST = 4000  # runs that are looked through: five DAGs of two years


class Run(Frozen):
    """The newest run of a DAG that worked on some days, and its tasks that are stages.

    ``state`` is running, failed, success, or waiting: the DAG is paused, so nothing goes on. ``stages`` maps each stage that
    the run was asked for to the state of its task. One that Airflow has not come to is ``waiting``. A task that never began,
    because one before it failed, is ``upstream_failed``.
    """

    dag: str
    run: str
    first: date
    last: date
    state: str
    started: datetime | None
    stages: dict[str, str]


def runs_of(pipeline: Pipeline, window: Partitions) -> list[Run]:
    """The newest run of each DAG for each day of a window; a backfill counts while it runs, or when it failed."""
    with create_session(scoped=False) as session:
        found = list(_newest(session, pipeline, window))
        tasks = _tasks(session, [row.id for row, _ in found])
    return [_run(row, days, tasks.get((row.dag_id, row.run_id), {}), pipeline.name) for row, days in found]


def _newest(session: Any, pipeline: Pipeline, window: Partitions) -> Iterator[tuple[Any, Partitions]]:
    columns = (
        DagRun.id, DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.partition_key, DagRun.conf, DagRun.start_date,
        DagRun.run_after, DagModel.is_paused,
    )  # fmt: skip
    dags = [f"{pipeline.name}__{name}" for name in _STAGES]
    runs = select(*columns).outerjoin(DagModel, DagModel.dag_id == DagRun.dag_id).where(DagRun.dag_id.in_(dags))
    query = runs.order_by(DagRun.id.desc()).limit(_NEWEST)
    seen: set[tuple[str, Partitions]] = set()
    for row in session.execute(query):
        days = _days(pipeline, row)
        if days and days.start <= window.end and window.start <= days.end and (row.dag_id, days) not in seen:
            seen.add((row.dag_id, days))
            yield row, days


def _days(pipeline: Pipeline, row: Any) -> Partitions | None:
    """The days that a run works on; None for a backfill that does not say."""
    conf = row.conf or {}
    try:
        if row.dag_id != f"{pipeline.name}__{_BACKFILL}":
            return Partitions.parse(run_day(pipeline.spec, row.partition_key, conf.get("day"), row.run_after))
        return Partitions.parse(str(conf["from"]), conf.get("to") or None) if conf.get("from") else None
    except (SpecError, TypeError):
        return None


def _tasks(session: Any, runs: list[int]) -> dict[tuple[str, str], dict[str, str]]:
    """The state of each task, by DAG and run. Of a mapped task's parts, one that runs counts, else one that has not succeeded."""
    query = (
        select(TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.state)
        .join(DagRun, (DagRun.dag_id == TaskInstance.dag_id) & (DagRun.run_id == TaskInstance.run_id))
        .where(DagRun.id.in_(runs))
    )
    found: dict[tuple[str, str], dict[str, str]] = {}
    for dag_id, run_id, task_id, state in session.execute(query):
        of_run = found.setdefault((dag_id, run_id), {})
        now = "running" if state in _RUNNING else str(state or _WAITING)
        if now == "running" or of_run.get(task_id, "success") == "success":
            of_run[task_id] = now
    return found


def _run(row: Any, days: Partitions, tasks: dict[str, str], pipeline: str) -> Run:
    asked = _asked(row, row.dag_id.removeprefix(f"{pipeline}__"))
    stages = {verb: tasks[verb] for verb in asked if tasks.get(verb, "skipped") != "skipped"}
    return Run(
        dag=row.dag_id,
        run=row.run_id,
        first=days.start,
        last=days.end,
        state=_state(row, stages),
        started=row.start_date,
        stages=stages,
    )


def _asked(row: Any, dag: str) -> tuple[str, ...]:
    """The stages that a run was asked for. Those of a DAG without a choice are all that it has."""
    chosen = (row.conf or {}).get("stages") if dag == _BACKFILL else None
    return tuple(verb for verb in _STAGES[dag] if not isinstance(chosen, list) or verb in chosen)


def _state(row: Any, stages: Mapping[str, str]) -> str:
    if row.state not in ("running", "queued"):
        return str(row.state)
    return _WAITING if row.is_paused and "running" not in stages.values() else "running"
