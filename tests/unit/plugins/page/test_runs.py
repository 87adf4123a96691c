"""What the board learns of Airflow's runs, from rows as Airflow writes them."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from fastapi import FastAPI
from sqlalchemy import delete, insert, select
from tests.conftest import Toy

from contrail.partitions import Partitions
from contrail_airflow.dags.policy import run_day
from contrail_airflow.page.runs import Run, runs_of

Keep = Callable[..., None]
WINDOW = Partitions.parse("2024-01-01", "2024-03-10")
AT = datetime(2024, 2, 7, 9, 30, tzinfo=UTC)


@pytest.fixture
def keep(app: FastAPI) -> Iterator[Keep]:
    """Keep a run of a DAG of toy with the states of its tasks, as Airflow's scheduler does."""

    def put(dag: str, state: str, tasks: dict[str, Any], paused: bool = False, **run: Any) -> None:
        dag_id, run_id = f"toy__{dag}", str(uuid4())
        limits = {"max_active_tasks": 1, "max_consecutive_failed_dag_runs": 0, "has_task_concurrency_limits": False}
        with create_session(scoped=False) as session:
            if not session.scalar(select(DagModel.dag_id).where(DagModel.dag_id == dag_id)):
                session.execute(insert(DagBundleModel), {"name": dag})
                session.execute(insert(DagModel), {"dag_id": dag_id, "bundle_name": dag, "is_paused": paused, **limits})
            own = {"run_type": "manual", "state": state, "start_date": AT, "run_after": AT}
            session.execute(insert(DagRun), {"dag_id": dag_id, "run_id": run_id, **own, **run})
            for task, found in tasks.items():
                for index, one in enumerate(found if isinstance(found, list) else [found]):
                    own = {"task_id": task, "map_index": index, "state": one, "pool": "any", "id": uuid4()}
                    session.execute(insert(TaskInstance), {"dag_id": dag_id, "run_id": run_id, **own})

    yield put
    with create_session(scoped=False) as session:
        for model in (TaskInstance, DagRun, DagModel, DagBundleModel):
            session.execute(delete(model))


def only(toy: Toy, window: Partitions = WINDOW) -> Run:
    (run,) = runs_of(toy.pipeline, window)
    return run


RANGE = {"from": "2024-02-01", "to": "2024-02-03", "stages": ["features", "score"]}


def test_tasks_that_airflow_has_not_come_to_do_not_run(toy: Toy, keep: Keep) -> None:
    keep("backfill", "running", {"plan": "success", "features": "running", "score": None, "drift": None}, conf=RANGE)
    run = only(toy)
    assert (str(run.first), str(run.last), run.state) == ("2024-02-01", "2024-02-03", "running")
    assert run.stages == {"features": "running", "score": "waiting"}, "drift was not asked for"


def test_while_it_plans_no_stage_runs(toy: Toy, keep: Keep) -> None:
    keep("backfill", "running", {"plan": "running", "ingest": None, "features": None, "score": None}, conf=RANGE)
    assert only(toy).stages == {"features": "waiting", "score": "waiting"}
    assert only(toy).state == "running"


def test_a_run_of_a_paused_dag_waits(toy: Toy, keep: Keep) -> None:
    keep("backfill", "queued", {"features": None}, paused=True, conf=RANGE)
    assert only(toy).state == "waiting"
    keep("backfill", "running", {"features": "running"}, conf={**RANGE, "to": "2024-02-09"})
    assert {run.state for run in runs_of(toy.pipeline, WINDOW)} == {"waiting", "running"}, "what has begun goes on"


@pytest.mark.parametrize(("parts", "state"), [
    (["success", "running", None], "running"), (["success", "failed"], "failed"), (["success", None], "waiting"),
    ([None, "deferred"], "running"), (["success", "success"], "success"),
])  # fmt: skip
def test_of_the_parts_of_a_stage_the_one_that_runs_counts(
    toy: Toy, keep: Keep, parts: list[str | None], state: str
) -> None:
    keep("backfill", "running", {"features": parts}, conf=RANGE)
    assert only(toy).stages == {"features": state}


@pytest.mark.parametrize("conf", [{}, {"day": None}, {"day": ""}])
@pytest.mark.parametrize(("dag", "task"), [("daily", "ingest"), ("score", "score"), ("monitor", "drift")])
def test_a_run_whose_form_has_no_day_works_on_the_newest(
    toy: Toy, keep: Keep, dag: str, task: str, conf: dict[str, Any]
) -> None:
    keep(dag, "failed", {task: "failed"}, conf=conf)
    run = only(toy)
    day = run_day(toy.spec, None, conf.get("day"), AT)  # as the task itself renders it
    assert (str(run.first), str(run.last)) == (day, day) == ("2024-02-07", "2024-02-07")
    assert run.stages == {task: "failed"}
    assert run.started == AT


def test_a_backfill_without_days_is_of_none(toy: Toy, keep: Keep) -> None:
    keep("backfill", "failed", {"plan": "failed"}, conf={"from": None})
    keep("daily", "failed", {"ingest": "failed"}, conf={"day": "no day"})
    assert runs_of(toy.pipeline, WINDOW) == []
