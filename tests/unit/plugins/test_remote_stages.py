"""A stage on Google Cloud: submitted once an attempt, taken up again, ended with its task, explained when it fails."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from google.api_core import exceptions as google

from contrail.dispatch.payload import Code, Job
from contrail.settings import settings
from contrail.targets import DispatchSettings
from contrail_airflow import operators, triggers
from contrail_airflow.operators import StageOperator, StageRefused, StageStopped
from contrail_airflow.remote_jobs import RemoteJob, State, advice, describe, ending, target_from

PLACE = {"project": "demo", "region": "r", "service_account": "a@demo", "image": "i"}


@dataclass
class Service:
    """A service in memory: what was submitted, by name, and what became of it."""

    jobs: dict[str, RemoteJob] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    error: Exception | None = None

    def find(self, job: Job) -> RemoteJob | None:
        return self.jobs.get(job.id)

    def submit(self, job: Job, code: Code) -> RemoteJob:
        if self.error:
            raise self.error
        self.jobs[job.id] = RemoteJob(job.id, "active", "", f"https://console/{job.id}")
        return self.jobs[job.id]

    def look(self, name: str) -> RemoteJob:
        if self.error:
            raise self.error
        return self.jobs[name]

    def cancel(self, name: str) -> None:
        self.cancelled.append(name)

    def end(self, name: str, state: State, message: str = "", log_uri: str = "") -> None:
        self.jobs[name] = replace(self.jobs[name], state=state, message=message, log_uri=log_uri)


@pytest.fixture
def service(toy_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Scores go to Dataproc, whose service is in memory."""
    dispatch = DispatchSettings.model_validate(
        {
            "jobs_uri": f"file://{tmp_path}/jobs",
            "stages": {"score": "there"},
            "targets": {"there": {"kind": "dataproc", "subnetwork": "s", **PLACE}},
        }
    )
    current = settings().model_copy(update={"dispatch": dispatch})
    found = Service()
    monkeypatch.setattr(operators, "settings", lambda: current)
    monkeypatch.setattr(operators, "publish_code", lambda _: Code("w", "s", "b", "r", "l"))
    monkeypatch.setattr(operators, "jobs_of", lambda target, _: found)
    monkeypatch.setattr(triggers, "jobs_of", lambda target, _: found)
    yield found


def context(attempt: int = 1, run_id: str = "scheduled__1") -> Any:
    names = {"dag_id": "toy__score", "run_id": run_id, "task_id": "score", "map_index": -1, "try_number": attempt}
    return {"ti": SimpleNamespace(**names)}


def task() -> StageOperator:
    return StageOperator(
        task_id="score", verb="score", pipeline="toy", partition_from="2024-01-05", partition_to="2024-01-05"
    )


def submit(attempt: int = 1, **given: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferred:
        task().execute(context(attempt, **given))
    return deferred.value


def leave(deferred: TaskDeferred, code: int, result: dict[str, Any] | None, *said: str) -> None:
    assert deferred.kwargs is not None
    folder = Path(deferred.kwargs["folder"].removeprefix("file://"))
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"code": code, "result": result, "said": said}))


def resume(deferred: TaskDeferred, **event: Any) -> dict[str, Any]:
    assert deferred.kwargs is not None
    return task().resume(context(), {"name": deferred.trigger.name, "message": "", **event}, **deferred.kwargs)


@contextmanager
def stopping(kind: type[StageStopped], words: str) -> Iterator[pytest.ExceptionInfo[StageStopped]]:
    """The task stops as ``kind``, and what it tells people has these words."""
    with pytest.raises(kind) as stopped:
        yield stopped
    assert words in stopped.value.said


def test_a_stage_is_submitted_waited_for_and_gives_its_result(service: Service) -> None:
    deferred = submit()
    (name,) = service.jobs
    assert name.startswith("contrail-toy-score-")
    assert deferred.method_name == "resume"
    assert deferred.timeout.total_seconds() == (120 + 60) * 60
    service.end(name, "succeeded")
    leave(deferred, 0, {"rows": 3})
    assert resume(deferred, state="succeeded") == {"rows": 3}


def test_an_attempt_never_has_a_second_job(service: Service) -> None:
    first, second = submit(), submit()
    assert first.trigger.name == second.trigger.name
    assert len(service.jobs) == 1


def test_a_lost_attempts_job_is_taken_up_while_it_runs(service: Service) -> None:
    first = submit(1)
    second = submit(2)
    assert second.trigger.name == first.trigger.name
    assert second.kwargs == first.kwargs, "its result lies in the folder of the attempt that submitted it"
    service.end(first.trigger.name, "failed")
    third = submit(3)
    assert third.trigger.name != first.trigger.name
    assert submit(1, run_id="another").trigger.name not in (first.trigger.name, third.trigger.name)


def test_killing_the_task_ends_the_job(service: Service) -> None:
    running = task()
    with pytest.raises(TaskDeferred) as deferred:
        running.execute(context())
    running.on_kill()
    assert service.cancelled == [deferred.value.trigger.name]
    asyncio.run(deferred.value.trigger.on_kill())
    assert service.cancelled == [deferred.value.trigger.name] * 2


def test_a_job_that_was_cancelled_is_a_failure(service: Service) -> None:
    deferred = submit()
    service.end(deferred.trigger.name, "cancelled")
    leave(deferred, 0, {"rows": 3})
    with stopping(StageRefused, "was cancelled"):
        resume(deferred, state="cancelled")


def test_a_stages_own_error_counts_as_it_would_here(service: Service) -> None:
    deferred = submit()
    service.end(deferred.trigger.name, "failed", "driver exited with code 3")
    leave(deferred, 3, None, "1.0 s  reading", "✗ MissingInputError: no features")
    with stopping(StageRefused, "no features") as refused:
        resume(deferred, state="failed")
    assert refused.value.code == 3
    assert "https://console/" in refused.value.said
    assert "reading" not in refused.value.said


def test_a_lost_commit_there_is_retried(service: Service) -> None:
    deferred = submit()
    service.end(deferred.trigger.name, "failed")
    leave(deferred, 75, None, "✗ CommitConflictError: lost")
    with pytest.raises(StageStopped) as stopped:
        resume(deferred, state="failed")
    assert not isinstance(stopped.value, AirflowFailException)


@pytest.mark.parametrize(
    ("message", "again", "words"),
    [
        ("The instance was preempted.", True, "spot machine"),
        ("RESOURCE_EXHAUSTED: insufficient 'CPUS' quota", True, "quota"),
        ("Permission 'storage.objects.get' denied", False, "permission"),
        ("Failed to pull image eu.pkg.dev/x: manifest unknown", False, "Artifact Registry"),
        ("File not found: gs://x/main.py", False, "not found"),
        ("The replica exited with status 137", True, "out of memory"),
    ],
)
def test_a_job_that_left_nothing_is_explained(
    service: Service, tmp_path: Path, message: str, again: bool, words: str
) -> None:
    (tmp_path / "driver.000000000").write_text("one\nlast line of the driver\n")
    deferred = submit()
    service.end(deferred.trigger.name, "failed", message, f"file://{tmp_path}/driver")
    with pytest.raises(StageStopped) as stopped:
        resume(deferred, state="failed", message=message)
    assert isinstance(stopped.value, AirflowFailException) is not again
    assert ending(message)[0] is again
    for said in (message, words, "last line of the driver", "https://console/"):
        assert said in stopped.value.said


@pytest.mark.parametrize(
    ("error", "again", "words"),
    [
        (google.PermissionDenied("dataproc.batches.create"), False, "permission"),
        (google.NotFound("subnetwork"), False, "not found"),
        (google.InvalidArgument("bad machine"), False, "refused"),
        (google.ResourceExhausted("quota"), True, "quota"),
        (google.ServiceUnavailable("try later"), True, "did not answer"),
    ],
)
def test_a_submission_that_fails_says_what_to_do(service: Service, error: Exception, again: bool, words: str) -> None:
    service.error = error
    with stopping(StageStopped, words) as stopped:
        task().execute(context())
    assert isinstance(stopped.value, AirflowFailException) is not again
    assert advice(error)[0] is again


def wait(trigger: Any) -> dict[str, Any]:
    async def first() -> dict[str, Any]:
        async for event in trigger.run():
            return dict(event.payload)
        raise AssertionError("no event")

    return asyncio.run(asyncio.wait_for(first(), 20))


def test_the_trigger_waits_for_the_end_and_outlives_a_service_in_trouble(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = submit().trigger
    path, arguments = trigger.serialize()
    assert path == "contrail_airflow.triggers.RemoteJobTrigger"
    again = triggers.RemoteJobTrigger(**{**arguments, "poll_seconds": 0.01})
    looks: list[Any] = [google.ServiceUnavailable("later"), "active", google.ServiceUnavailable("later"), "succeeded"]

    def look(name: str) -> RemoteJob:
        found = looks.pop(0)
        if isinstance(found, Exception):
            raise found
        return replace(service.jobs[name], state=found)

    monkeypatch.setattr(service, "look", look)
    assert wait(again) == {"name": trigger.name, "state": "succeeded", "message": ""}


def test_the_trigger_gives_up_on_what_will_not_pass(service: Service) -> None:
    deferred = submit()
    service.error = google.PermissionDenied("no more")
    event = wait(triggers.RemoteJobTrigger(deferred.trigger.target, deferred.trigger.name, 0.01))
    assert "permission" in event["trouble"]
    with stopping(StageStopped, "could not be looked at"):
        resume(deferred, **event)


def test_a_target_travels_to_the_trigger_and_back() -> None:
    gpu = {"kind": "vertex", "machine_type": "a2-highgpu-1g", "accelerator_type": "NVIDIA_TESLA_A100", **PLACE}
    for values in ({"kind": "dataproc", "subnetwork": "s", **PLACE}, {**gpu, "accelerator_count": 1}):
        target = target_from(values)
        assert target_from(json.loads(json.dumps(describe(target)))) == target
