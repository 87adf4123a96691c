"""The end of a task in Airflow ends its remote jobs: with Airflow's own listeners and tables, a service in memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from airflow.listeners import listener
from airflow.models import DagRun, TaskInstance, import_all_models
from airflow.utils import session as airflow_session
from google.api_core import exceptions as google
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from contrail.config.settings import settings
from contrail.config.targets import DispatchSettings
from contrail.dispatch.payload import RUN_LABEL, TASK_LABEL, key_label, labels
from contrail_airflow.operators.stage import StageOperator
from contrail_airflow.remote import given_up
from contrail_airflow.remote.remote_jobs import RemoteJob
from contrail_plugin import ContrailPlugin

PLACE = {"project": "p", "region": "r", "service_account": "a", "image": "i"}
DISPATCH = DispatchSettings.model_validate(
    {
        "jobs_uri": "gs://b/jobs",
        "targets": {
            "batches": {"kind": "dataproc", "subnetwork": "s", **PLACE},
            "more_batches": {"kind": "dataproc", "subnetwork": "s", **PLACE, "image": "another"},
            "machines": {"kind": "vertex", "machine_type": "n2-standard-8", **PLACE},
            "here": {"kind": "local"},
        },
    }
)


@dataclass
class World:
    """Airflow's tables, a service, and a clock: ``at`` has what else happens, by the seconds that have passed."""

    session: Session
    dispatch: DispatchSettings = DISPATCH
    jobs: dict[str, RemoteJob] = field(default_factory=dict)
    looked_at: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    at: dict[float, Callable[[], Any]] = field(default_factory=dict)
    seconds: float = 0

    def task(self, task_id: str, state: str | None, run_id: str = "run", map_index: int = -1) -> None:
        """A task in Airflow's tables."""
        if not self.session.query(DagRun).filter_by(run_id=run_id).count():
            self.session.add(DagRun(dag_id="toy__train", run_id=run_id, run_type="manual"))
            self.session.flush()
        place = {"dag_id": "toy__train", "run_id": run_id, "task_id": task_id, "map_index": map_index}
        own = {"id": uuid4(), "pool": "heavy", "pool_slots": 1, "try_number": 1, "max_tries": 1, "state": state}
        self.session.execute(TaskInstance.__table__.insert().values(**place, **own))  # type: ignore[attr-defined]

    def job(self, name: str, task: str = "train/-1", run_id: str = "run") -> None:
        """A job that works at a task."""
        run = f"toy__train/{run_id}"
        own = {
            RUN_LABEL: key_label(run, self.dispatch),
            TASK_LABEL: key_label(f"{run}/{task}", self.dispatch),
        }
        self.jobs[name] = RemoteJob(name, name, "active", "", "https://console", labels=own)

    def set_state(self, state: str | None) -> None:
        """The state of every task."""
        self.session.query(TaskInstance).update({"state": state})

    # ---- the service, and time ----

    def of_run(self, run: str) -> list[RemoteJob]:
        self.looked_at.append(run)
        if self.errors:
            raise self.errors.pop()
        return [job for job in self.jobs.values() if job.name not in self.cancelled and job.labels[RUN_LABEL] == run]

    def cancel(self, name: str) -> None:
        if name.startswith("refused"):
            raise google.FailedPrecondition(name)
        self.cancelled.append(name)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        for moment in [moment for moment in self.at if moment <= self.seconds]:
            self.at.pop(moment)()


@pytest.fixture
def world(toy_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    class AtOnce:
        def __init__(self, target: Callable[..., None], args: tuple[str, ...], **_: Any) -> None:
            self.start = lambda: target(*args)

    @contextmanager
    def create_session() -> Iterator[Session]:
        yield found.session

    import_all_models()
    engine = create_engine("sqlite://")
    TaskInstance.metadata.create_all(engine)
    with Session(engine) as session:
        found = World(session)
        current = settings()
        monkeypatch.setattr(given_up, "settings", lambda: current.model_copy(update={"dispatch": found.dispatch}))
        monkeypatch.setattr(given_up, "jobs_of", lambda target, _: found)
        monkeypatch.setattr(given_up, "time", found)
        monkeypatch.setattr(given_up.threading, "Thread", AtOnce)
        monkeypatch.setattr(airflow_session, "create_session", create_session)
        yield found


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What Airflow calls."""

    def integrate(manager: Any) -> None:
        for module in ContrailPlugin.listeners:
            manager.add_listener(module)

    monkeypatch.setattr(listener, "integrate_listener_plugins", integrate)
    return listener.get_listener_manager.__wrapped__().hook


OF_TASK = SimpleNamespace(dag_id="toy__train", run_id="run", trigger_id=None)
HOOKS = {
    "on_task_instance_failed": {"task_instance": OF_TASK, "previous_state": None, "error": "by hand"},
    "on_task_instance_success": {"task_instance": OF_TASK, "previous_state": None},
    "on_task_instance_skipped": {"task_instance": OF_TASK, "previous_state": None},
    "on_dag_run_failed": {"dag_run": OF_TASK, "msg": "timed_out"},
    "on_dag_run_success": {"dag_run": OF_TASK, "msg": "by hand"},
}


def end(hook: Any, name: str = "on_task_instance_failed", **arguments: Any) -> None:
    getattr(hook, name)(**HOOKS[name] | arguments)


@pytest.mark.parametrize("name", HOOKS)
def test_a_task_that_has_ended_ends_its_job_and_no_other(name: str, hook: Any, world: World) -> None:
    for map_index, state in enumerate(("failed", "deferred", "up_for_retry", None, "running", "skipped")):
        world.task("score", state, map_index=map_index)
        world.job(f"score-{map_index}", f"score/{map_index}")
    world.task("score", "failed", run_id="another", map_index=1)
    world.job("of-another-run", "score/1", run_id="another")
    end(hook, name)
    assert world.cancelled == ["score-0", "score-5"]


def test_a_state_that_is_not_committed_yet_is_waited_for(hook: Any, world: World) -> None:
    world.task("train", "deferred")
    world.job("job-1")
    world.at[15] = lambda: world.set_state("failed")
    end(hook)
    assert world.cancelled == ["job-1"]


def test_a_job_that_is_submitted_after_its_task_was_ended_ends(hook: Any, world: World) -> None:
    world.task("train", "failed")
    world.at[60] = lambda: world.job("job-1")
    end(hook)
    assert world.cancelled == ["job-1"]


def test_a_task_that_is_cleared_in_the_meantime_keeps_its_job(hook: Any, world: World) -> None:
    world.task("train", None)
    world.job("job-1")
    world.at[15] = lambda: world.set_state("running")
    end(hook)
    assert (world.cancelled, world.seconds) == ([], 120)


def test_a_task_that_was_deleted_wants_no_job(hook: Any, world: World) -> None:
    world.task("govern", "success")
    world.job("job-1")
    end(hook, "on_dag_run_failed")
    assert world.cancelled == ["job-1"]


@pytest.mark.parametrize(("state", "ended"), [("failed", True), ("deferred", False)])
def test_a_job_is_known_by_the_labels_that_its_operator_gave_it(
    hook: Any, world: World, state: str, ended: bool
) -> None:
    task = StageOperator(task_id="train", verb="train", pipeline="toy", partition_from="2024-01-05")
    place = {"dag_id": "toy__train", "run_id": "run", "task_id": "train", "map_index": -1, "try_number": 1}
    job = task.job(
        {"ti": SimpleNamespace(**place), "dag_run": SimpleNamespace(start_date="06:00", triggering_user_name=None)}
    )  # type: ignore[typeddict-item]
    world.task("train", state)
    world.jobs["job-1"] = RemoteJob("job-1", "job-1", "active", "", "", labels=labels(job, world.dispatch))
    end(hook)
    assert (world.cancelled == ["job-1"]) is ended


def test_a_run_is_looked_after_by_one_thread_however_many_of_its_tasks_end(hook: Any, world: World) -> None:
    world.task("train", "failed")
    world.at[60] = lambda: end(hook)
    world.at[170] = lambda: world.job("job-1")
    end(hook)
    assert world.cancelled == ["job-1"]
    assert world.seconds == 180, "the second has begun the looks anew"
    end(hook)
    assert world.seconds == 300


def test_a_job_that_cannot_be_ended_keeps_no_other_from_its_end(
    hook: Any, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.task("train", "failed")
    for name in ("refused-1", "job-2"):
        world.job(name)
    end(hook)
    assert world.cancelled == ["job-2"]
    assert "refused-1 of run could not be ended" in caplog.text


def test_a_task_that_is_cleared_between_two_jobs_keeps_its_own(hook: Any, world: World) -> None:
    for map_index in (0, 1):
        world.task("score", "failed", map_index=map_index)
        world.job(f"score-{map_index}", f"score/{map_index}")
    cancel = world.cancel

    def clear(name: str) -> None:
        cancel(name)
        world.set_state(None)

    world.cancel = clear  # type: ignore[method-assign]
    end(hook)
    assert world.cancelled == ["score-0"]


def test_each_service_is_asked_once_a_look_and_its_trouble_stops_nobody(
    hook: Any, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.task("train", "failed")
    world.job("job-1")
    world.errors = [RuntimeError("a bug"), google.PermissionDenied("role")]
    end(hook)
    assert len(world.looked_at) == 2 * 4
    assert world.cancelled == ["job-1"]
    assert "permission" in caplog.text and "a bug" in caplog.text


def test_every_region_where_a_target_has_places_is_asked(world: World) -> None:
    vertex = {"kind": "vertex", "machine_type": "n2-standard-8", **PLACE}
    places = {
        "here": vertex,
        "there_too": {**vertex, "fallbacks": [{"region": "s"}]},
        "again": {**vertex, "image": "j"},
    }
    world.dispatch = DispatchSettings.model_validate({"jobs_uri": "gs://b/jobs", "targets": places})
    assert sorted(target.regions for target in given_up._targets()) == [("r",), ("r", "s")]


def test_nobody_is_asked_by_a_worker_or_where_nothing_is_remote(hook: Any, world: World) -> None:
    end(hook, task_instance=SimpleNamespace(dag_id="toy__train", run_id="run"))
    world.dispatch = DispatchSettings()
    end(hook)
    end(hook, "on_dag_run_failed")
    assert (world.looked_at, world.seconds) == ([], 0)
