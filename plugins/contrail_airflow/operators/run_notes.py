"""A listener that writes the note of a run when it has ended: its days, and what each stage did.

Airflow shows a run's note on the run's page, where neither the partition nor a result is seen. A note that a person has
written stays.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from contrail.errors import ContrailError
from contrail.stages.results import RESULTS, parse_result
from contrail.stages.sentences import sentence

if TYPE_CHECKING:
    from airflow.models import DagRun

_log = logging.getLogger(__name__)
_TAG = "contrail"
_VERBS = {"judge": "promote", "rollback": "rollback-model"}  # tasks with another name than their stage
_LONGEST = 1000  # what Airflow keeps of a note


@hookimpl
def on_dag_run_success(dag_run: "DagRun") -> None:
    """The run's tasks have ended."""
    _annotate(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: "DagRun") -> None:
    """A task has failed, or the run took too long."""
    _annotate(dag_run)


def _annotate(dag_run: "DagRun") -> None:
    """Write the note. The run's state is being committed, which no error here may stop."""
    try:
        if not dag_run.note and _is_ours(dag_run):
            dag_run.note = note(dag_run.partition_key or _asked(dag_run.conf or {}), _ended(dag_run))
    except Exception:
        _log.exception("The note of %s %s could not be written", dag_run.dag_id, dag_run.run_id)


def note(days: str, ended: Iterable[tuple[str, str, Any]]) -> str:
    """The text of a note.

    Args:
        days: The days that the run was asked for; empty where it did not say.
        ended: Task, state and returned value of each task, in the order in which they ended.
    """
    # One paragraph: Airflow's page shows the first one alone.
    every = [*ended]
    found = [_of_task(task, state, returned) for task, state, returned in every]
    states = {task: state for task, state, _ in every}
    if (states.get("train"), states.get("promote")) == ("success", "skipped"):
        found.append("the gate refused the candidate; the champion stays")
    return " · ".join([*([f"**{days}**"] if days else []), *filter(None, found)])[:_LONGEST]


def _of_task(task: str, state: str, returned: Any) -> str:
    if state in ("failed", "upstream_failed"):
        return f"✗ {task} failed" if state == "failed" else ""
    verb = _VERBS.get(task, task)
    if not isinstance(returned, Mapping) or verb not in RESULTS:
        return ""
    try:
        return f"✓ {sentence(verb, parse_result(verb, returned))}"
    except ContrailError:  # of a backfill's part, or of another version
        return f"✓ {task}"


def _asked(conf: Mapping[str, Any]) -> str:
    first, last = (conf.get(name) for name in ("from", "to"))
    if first and last and first != last:
        return f"{first}..{last}"
    return str(first or conf.get("day") or conf.get("as_of") or "")


def _is_ours(dag_run: "DagRun") -> bool:
    from airflow.models.dag import DagTag
    from sqlalchemy import inspect, select

    session: Any = inspect(dag_run).session
    return session.scalar(select(DagTag.name).filter_by(dag_id=dag_run.dag_id, name=_TAG)) is not None


def _ended(dag_run: "DagRun") -> list[tuple[str, str, Any]]:
    from airflow.models.xcom import XComModel
    from sqlalchemy import inspect, select

    session: Any = inspect(dag_run).session
    of_run = {"dag_id": dag_run.dag_id, "run_id": dag_run.run_id}
    returned = select(XComModel.task_id, XComModel.value).filter_by(**of_run, key="return_value", map_index=-1)
    values = {task: json.loads(value) if isinstance(value, str) else value for task, value in session.execute(returned)}
    tasks = sorted(dag_run.get_task_instances(session=session), key=lambda one: str(one.end_date))
    return [(one.task_id, str(one.state), values.get(one.task_id)) for one in tasks if one.map_index < 0]
