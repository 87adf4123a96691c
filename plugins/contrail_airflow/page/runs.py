"""What Airflow is doing, or did last, with the partitions of a pipeline: from its own tables of runs and tasks."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from sqlalchemy import select

from contrail.errors import SpecError
from contrail.frozen import Frozen
from contrail.partitions import Partitions
from contrail.stages import RANGE_STAGES

_STAGES = {
    "daily": ("ingest", "validate", "features"),
    "score": ("score",),
    "monitor": ("drift", "performance"),
    "backfill": tuple(RANGE_STAGES),
}
_RUNNING = frozenset({"running", "queued", "scheduled", "deferred", "up_for_retry", "restarting", "awaiting_input"})
_NEWEST = 4000  # runs that are looked through: five DAGs of two years


class Run(Frozen):
    """The newest run of a DAG that worked on some days, and its tasks that are stages.

    ``state`` is running, failed or success. ``stages`` maps each stage to the state of its task. A task that never began,
    because one before it failed, is ``upstream_failed``.
    """

    dag: str
    run: str
    first: date
    last: date
    state: str
    started: datetime | None
    stages: dict[str, str]


def runs_of(pipeline: str, window: Partitions) -> list[Run]:
    """The newest run of each DAG for each day of a window; a backfill counts while it runs, or when it failed."""
    with create_session(scoped=False) as session:
        found = list(_newest(session, pipeline, window))
        tasks = _tasks(session, [row.id for row, _ in found])
    return [_run(row, days, tasks.get((row.dag_id, row.run_id), {}), pipeline) for row, days in found]


def _newest(session: Any, pipeline: str, window: Partitions) -> Iterator[tuple[Any, Partitions]]:
    columns = (
        DagRun.id, DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.partition_key, DagRun.conf, DagRun.start_date,
    )  # fmt: skip
    dags = [f"{pipeline}__{name}" for name in _STAGES]
    query = select(*columns).where(DagRun.dag_id.in_(dags)).order_by(DagRun.id.desc()).limit(_NEWEST)
    seen: set[tuple[str, Partitions]] = set()
    for row in session.execute(query):
        days = _days(row.partition_key, row.conf or {})
        if days and days.start <= window.end and window.start <= days.end and (row.dag_id, days) not in seen:
            seen.add((row.dag_id, days))
            yield row, days


def _days(key: str | None, conf: dict[str, Any]) -> Partitions | None:
    """The days that a run works on; None where it does not say."""
    first = key or conf.get("day") or conf.get("from")
    try:
        return Partitions.parse(str(first), None if key else conf.get("to") or None) if first else None
    except (SpecError, TypeError):
        return None


def _tasks(session: Any, runs: list[int]) -> dict[tuple[str, str], dict[str, str]]:
    """The state of each task, by DAG and run. Of a mapped task's parts, the one that has not succeeded counts."""
    query = (
        select(TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.state)
        .join(DagRun, (DagRun.dag_id == TaskInstance.dag_id) & (DagRun.run_id == TaskInstance.run_id))
        .where(DagRun.id.in_(runs))
    )
    found: dict[tuple[str, str], dict[str, str]] = {}
    for dag_id, run_id, task_id, state in session.execute(query):
        of_run = found.setdefault((dag_id, run_id), {})
        if of_run.get(task_id, "success") == "success":
            of_run[task_id] = str(state or "scheduled")
    return found


def _run(row: Any, days: Partitions, tasks: dict[str, str], pipeline: str) -> Run:
    verbs = _STAGES[row.dag_id.removeprefix(f"{pipeline}__")]
    stages = {verb: _state(tasks[verb]) for verb in verbs if tasks.get(verb, "skipped") != "skipped"}
    state = "running" if row.state in ("running", "queued") else str(row.state)
    return Run(
        dag=row.dag_id,
        run=row.run_id,
        first=days.start,
        last=days.end,
        state=state,
        started=row.start_date,
        stages=stages,
    )


def _state(state: str) -> str:
    return "running" if state in _RUNNING else state
