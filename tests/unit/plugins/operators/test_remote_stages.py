"""A stage on Google Cloud: submitted once an attempt, taken up by the next, ended with its task, explained on failure."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from airflow.exceptions import AirflowNotFoundException
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
from airflow.sdk.exceptions import TaskDeferred
from gcsfs.retry import ChecksumError, HttpError
from google.api_core import exceptions as google
from google.auth.exceptions import DefaultCredentialsError, TransportError

from contrail.config.settings import Settings, settings
from contrail.config.targets import DataprocTarget, DispatchSettings
from contrail.dispatch import code
from contrail.dispatch import receipts as receipts_module
from contrail.dispatch.payload import RUN_LABEL, Code, Job, labels
from contrail.dispatch.receipts import Month, Receipts
from contrail.errors import BudgetError
from contrail.methods.cost import BatchUsage, MachineUsage
from contrail.notify.messages import Kind, of_failure
from contrail_airflow.operators import remote_run, stage
from contrail_airflow.operators.ending import StageRefused, StageStopped
from contrail_airflow.operators.stage import StageOperator
from contrail_airflow.remote import costs, dataproc, triggers, vertex
from contrail_airflow.remote.costs import JobCosts
from contrail_airflow.remote.remote_jobs import RemoteJob, State
from contrail_airflow.remote.services import describe, target_from
from contrail_airflow.remote.trouble import advice, ending

SIZE = {"spark.dynamicAllocation.enabled": "false"}  # 12 DCUs
PLACE = {"project": "demo", "region": "r", "service_account": "a@demo", "image": "i"}


@dataclass
class Service:
    """A service in memory: what was submitted, by name, and what became of it."""

    jobs: dict[str, RemoteJob] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    error: Exception | None = None
    watch: Callable[[str], None] = lambda moment: None  # called when a job is "asked" for, and when it is "made"

    def find(self, job_id: str) -> RemoteJob | None:
        return self.jobs.get(job_id)

    def of_run(self, run: str) -> list[RemoteJob]:
        return [one for one in self.jobs.values() if one.state == "active" and one.labels[RUN_LABEL] == run]

    def submit(self, job: Job, code: Code) -> RemoteJob:
        if self.error:
            raise self.error
        self.watch("asked")
        own = labels(job, stage.settings().dispatch)
        self.jobs[job.id] = RemoteJob(job.id, job.id, "active", "", f"https://console/{job.id}", labels=own)
        self.watch("made")
        return self.jobs[job.id]

    def look(self, name: str) -> RemoteJob:
        if self.error:
            raise self.error
        return self.jobs[name]

    def cancel(self, name: str) -> None:
        self.cancelled.append(name)

    def end(self, name: str, state: State, message: str = "", **used: Any) -> None:
        self.jobs[name] = replace(self.jobs[name], state=state, message=message, **used)


def current(tmp_path: Path, **dispatch: Any) -> Settings:
    """Scores go to Dataproc."""
    values = {
        "jobs_uri": f"file://{tmp_path}/jobs",
        "stages": {"score": "there"},
        "targets": {"there": {"kind": "dataproc", "subnetwork": "s", "properties": SIZE, **PLACE}},
        **dispatch,
    }
    return settings().model_copy(update={"dispatch": DispatchSettings.model_validate(values)})


@pytest.fixture
def service(toy_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Dataproc's service, in memory."""
    found = Service()
    monkeypatch.setattr(stage, "settings", lambda: current(tmp_path))
    monkeypatch.setattr(remote_run, "publish_code", lambda _: Code("w", "s", "b", "r", "l"))
    monkeypatch.setattr(remote_run, "jobs_of", lambda target, _: found)
    monkeypatch.setattr(triggers, "jobs_of", lambda target, _: found)
    yield found


def context(attempt: int = 1, run_id: str = "scheduled__1", day: int = 6) -> Any:
    names = {"dag_id": "toy__score", "run_id": run_id, "task_id": "score", "map_index": -1, "try_number": attempt}
    return {
        "ti": SimpleNamespace(**names, log_url="https://airflow/log"),
        "dag_run": SimpleNamespace(start_date=datetime(2024, 1, day, tzinfo=UTC), triggering_user_name=None),
    }


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


def resume(deferred: TaskDeferred, attempt: int = 1, **event: Any) -> dict[str, Any]:
    assert deferred.kwargs is not None
    return task().resume(context(attempt), {"name": deferred.trigger.name, "message": "", **event}, **deferred.kwargs)


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


def test_a_job_that_is_being_cancelled_is_not_taken_up(service: Service) -> None:
    first = submit(1)
    service.end(first.trigger.name, "cancelling")
    assert submit(2).trigger.name != first.trigger.name


def test_a_run_that_was_deleted_and_is_made_again_does_its_own_work(service: Service) -> None:
    first = submit(day=6)
    service.end(first.trigger.name, "succeeded")
    assert submit(day=6).trigger.name == first.trigger.name
    assert submit(day=7).trigger.name != first.trigger.name


def test_a_job_that_runs_is_taken_up_although_its_run_was_cleared_and_starts_anew(service: Service) -> None:
    first = submit(1, day=6)
    second = submit(2, day=7)
    assert second.trigger.name == first.trigger.name
    assert second.kwargs == first.kwargs


def test_a_job_that_runs_for_other_days_is_not_taken_up(service: Service) -> None:
    """A backfill that is planned anew may give a task of the same index another part of its range."""
    first = submit(1)
    other_days = StageOperator(
        task_id="score", verb="score", pipeline="toy", partition_from="2024-01-05", partition_to="2024-01-06"
    )
    with pytest.raises(TaskDeferred) as deferred:
        other_days.execute(context(2))
    assert deferred.value.trigger.name != first.trigger.name


def test_killing_the_task_ends_the_job(service: Service) -> None:
    running = task()
    with pytest.raises(TaskDeferred) as deferred:
        running.execute(context())
    running.on_kill()
    assert service.cancelled == [deferred.value.trigger.name]
    asyncio.run(deferred.value.trigger.on_kill())
    assert service.cancelled == [deferred.value.trigger.name] * 2


def test_a_task_that_is_killed_before_its_job_is_there_never_has_one(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = task()

    def publish(_: Settings) -> Code:
        running.on_kill()
        return Code("w", "s", "b", "r", "l")

    monkeypatch.setattr(remote_run, "publish_code", publish)
    with stopping(StageRefused, "was not submitted to dataproc: its task was ended"):
        running.execute(context())
    assert service.jobs == {}


@pytest.mark.parametrize("moment", ["asked", "made"])
def test_a_task_that_is_killed_while_it_submits_ends_its_job(service: Service, moment: str) -> None:
    running = task()

    def killed(at: str) -> None:
        if at == moment:
            running.on_kill()
            assert service.cancelled == list(service.jobs), "the process may be gone before it has its answer"

    service.watch = killed
    with stopping(StageRefused, "its task was ended while the job was submitted"):
        running.execute(context())
    assert set(service.cancelled) == set(service.jobs) != set()


def test_a_task_that_is_killed_while_its_service_does_not_answer_goes_on_to_end_its_job(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = task()

    def unavailable(_: str) -> None:
        raise google.ServiceUnavailable("later")

    def killed(_: str) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(service, "find", unavailable)
            running.on_kill()

    service.watch = killed
    with stopping(StageRefused, "its task was ended"):
        running.execute(context())
    assert service.cancelled == list(service.jobs)


def test_a_job_that_a_killed_task_had_lost_before_ends_too(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    first = submit(1)
    again = task()
    find = service.find

    def killed(job_id: str) -> RemoteJob | None:
        monkeypatch.setattr(service, "find", find)
        again.on_kill()
        assert service.cancelled == [first.trigger.name]
        return find(job_id)

    monkeypatch.setattr(service, "find", killed)
    with stopping(StageRefused, "its task was ended"):
        again.execute(context(2))
    assert set(service.cancelled) == {first.trigger.name}


def overdue(attempt: int = 1) -> None:
    task().resume_execution(TRIGGER_FAIL_REPR, {"error": TriggerFailureReason.TRIGGER_TIMEOUT}, context(attempt))


def test_a_wait_that_is_too_long_ends_the_job_and_names_the_limit(service: Service) -> None:
    deferred = submit()
    with stopping(StageRefused, r"its target's timeout_minutes (120) and 60 minutes for machines"):
        overdue()
    assert service.cancelled == [deferred.trigger.name]


def test_a_wait_that_is_too_long_for_a_job_of_an_earlier_attempt_ends_that_one(service: Service) -> None:
    first = submit(1)
    submit(2)
    with stopping(StageRefused, "timeout_minutes"):
        overdue(attempt=2)
    assert service.cancelled == [first.trigger.name]


def test_a_job_that_was_cancelled_is_a_failure(service: Service) -> None:
    deferred = submit()
    service.end(deferred.trigger.name, "cancelled")
    leave(deferred, 0, {"rows": 3})
    with stopping(StageRefused, "was cancelled"):
        resume(deferred, state="cancelled")


def test_a_job_that_was_cancelled_after_it_was_taken_up_is_submitted_again(service: Service) -> None:
    """Clearing a task that waits cancels its job; the next attempt may be there before that is seen."""
    submit(1)
    second = submit(2)
    service.end(second.trigger.name, "cancelled")
    with stopping(StageStopped, "was cancelled") as stopped:
        resume(second, attempt=2, state="cancelled")
    assert not isinstance(stopped.value, StageRefused)
    assert submit(3).trigger.name != second.trigger.name


def test_a_machine_that_is_taken_away_is_named_although_the_stage_was_asked_to_end(service: Service) -> None:
    deferred = submit()
    service.end(deferred.trigger.name, "failed", "The instance was preempted.")
    leave(deferred, -15, None, "round 100 of 500")
    with stopping(StageStopped, "the spot machine was taken away") as stopped:
        resume(deferred, state="failed", message="The instance was preempted.")
    assert not isinstance(stopped.value, StageRefused)


@pytest.mark.parametrize("state", ["failed", "cancelled"])
@pytest.mark.parametrize("code", [None, -15])
def test_a_job_that_its_time_limit_has_ended_is_not_tried_again(
    service: Service, state: State, code: int | None
) -> None:
    deferred = submit()
    service.end(deferred.trigger.name, state, overran=True)
    if code is not None:
        leave(deferred, code, None)
    with stopping(StageRefused, "timeout_minutes (120)"):
        resume(deferred, state=state)


def test_a_log_that_cannot_be_read_does_not_hide_why_a_job_ended(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any) -> list[str]:
        raise OSError("Forbidden: b/scratch/o")

    monkeypatch.setattr(remote_run, "read_tail", forbidden)
    deferred = submit()
    service.end(deferred.trigger.name, "failed", "The instance was preempted.")
    with stopping(StageStopped, "the spot machine was taken away") as stopped:
        resume(deferred, state="failed", message="The instance was preempted.")
    assert "Forbidden: b/scratch/o" in stopped.value.said
    assert "https://console/" in stopped.value.said


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
    assert not isinstance(stopped.value, StageRefused)


@pytest.mark.parametrize(
    ("message", "again", "words"),
    [
        ("The instance was preempted.", True, "spot machine"),
        ("RESOURCE_EXHAUSTED: insufficient 'CPUS' quota", True, "quota"),
        ("Permission 'storage.objects.get' denied", False, "permission"),
        ("Failed to pull image eu.pkg.dev/x: manifest unknown", False, "Artifact Registry"),
        ("File not found: gs://x/main.py", False, "not found"),
        ("The replica exited with status 137", True, "out of memory"),
        ("Insufficient permissions for the bucket lake", False, "permission"),
        ("Request had insufficient authentication scopes", False, "permission"),
        ("job of acme-spotlight-prod exited with status 1", True, "out of memory"),
    ],
)
def test_a_job_that_left_nothing_is_explained(service: Service, message: str, again: bool, words: str) -> None:
    deferred = submit()
    service.end(deferred.trigger.name, "failed", message, output="https://console/logs")
    with pytest.raises(StageStopped) as stopped:
        resume(deferred, state="failed", message=message)
    assert isinstance(stopped.value, StageRefused) is not again
    assert ending(message)[0] is again
    for said in (message, words, "https://console/logs"):
        assert said in stopped.value.said


@pytest.mark.parametrize(
    ("error", "again", "words"),
    [
        (google.PermissionDenied("dataproc.batches.create"), False, "permission"),
        (google.NotFound("subnetwork"), False, "not found"),
        (google.InvalidArgument("bad machine"), False, "refused"),
        (google.ResourceExhausted("quota"), True, "quota"),
        (google.ServiceUnavailable("try later"), True, "did not answer"),
        (google.InvalidArgument("Insufficient 'CPUS' quota. Requested 12.0"), True, "quota"),
        (DefaultCredentialsError("no credentials"), False, "permission"),
        (OSError("Forbidden: b/artifacts/o"), False, "permission"),
        (TransportError("connection reset"), True, "did not answer"),
        (HttpError({"code": 401, "message": "who"}), False, "permission"),
        (HttpError({"code": 429, "message": "slow down"}), True, "quota"),
        (HttpError({"code": 503, "message": "later"}), True, "did not answer"),
        (ChecksumError("the upload was cut"), True, "did not answer"),
        (FileNotFoundError("b/artifacts"), False, "not found"),
        (OSError("connection reset"), True, "did not answer"),
        (AirflowNotFoundException("The conn_id `google_cloud_default` isn't defined"), False, "no connection"),
    ],
)
def test_a_submission_that_fails_says_what_to_do(service: Service, error: Exception, again: bool, words: str) -> None:
    service.error = error
    with stopping(StageStopped, words) as stopped:
        task().execute(context())
    assert isinstance(stopped.value, StageRefused) is not again
    assert advice(error)[0] is again


def test_code_that_cannot_be_uploaded_says_what_to_do(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> None:
        raise FileNotFoundError("b/artifacts")

    monkeypatch.setattr(remote_run, "publish_code", code.publish_code)
    monkeypatch.setattr(code, "write_whole", missing)
    with stopping(StageRefused, "not found: the environment file names something that does not exist"):
        task().execute(context())


def test_the_log_that_a_job_kept_in_its_folder_is_shown_and_not_the_page_of_its_service(service: Service) -> None:
    deferred = submit()
    service.end(deferred.trigger.name, "failed", "The instance was preempted.", output="https://console/logs")
    assert deferred.kwargs is not None
    folder = Path(deferred.kwargs["folder"].removeprefix("file://"))
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text("round 100 of 500\n")
    with stopping(StageStopped, "round 100 of 500") as stopped:
        resume(deferred, state="failed", message="The instance was preempted.")
    assert "https://console/logs" not in stopped.value.said


def test_an_ended_job_that_cannot_be_looked_at_says_why(service: Service) -> None:
    deferred = submit()
    service.error = google.PermissionDenied("dataproc.batches.get")
    with stopping(StageStopped, "has succeeded, but its outcome could not be read: permission"):
        resume(deferred, state="succeeded")


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
    assert path == "contrail_airflow.remote.triggers.RemoteJobTrigger"
    again = triggers.RemoteJobTrigger(**{**arguments, "poll_seconds": 0.01})
    # A role that is taken away for a while says nothing of the job, which runs on.
    looks: list[Any] = [google.ServiceUnavailable("later"), "active", google.PermissionDenied("role"), "succeeded"]

    def look(name: str) -> RemoteJob:
        found = looks.pop(0)
        if isinstance(found, Exception):
            raise found
        return replace(service.jobs[name], state=found)

    monkeypatch.setattr(service, "look", look)
    assert wait(again) == {"name": trigger.name, "state": "succeeded", "message": ""}


def test_the_trigger_gives_up_on_a_service_that_never_answers(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggers, "_MAX_TROUBLE", 3)
    deferred = submit()
    service.error = google.PermissionDenied("no more")
    event = wait(triggers.RemoteJobTrigger(deferred.trigger.target, deferred.trigger.name, 0.01))
    assert "permission" in event["trouble"]
    with stopping(StageStopped, "could not be read"):
        resume(deferred, **event)


def test_a_target_travels_to_the_trigger_and_back() -> None:
    gpu = {"kind": "vertex", "machine_type": "a2-highgpu-1g", "accelerator_type": "NVIDIA_TESLA_A100", **PLACE}
    for values in ({"kind": "dataproc", "subnetwork": "s", **PLACE}, {**gpu, "accelerator_count": 1}):
        target = target_from(values)
        assert target_from(json.loads(json.dumps(describe(target)))) == target


# ---- what it costs ----

HOUR = BatchUsage(dcu_seconds=12 * 3600, shuffle_gb_seconds=0)
START = datetime(2026, 11, 21, 6, tzinfo=UTC)


@dataclass
class Priced:
    """The service where a DCU-hour costs 1 and a month may cost 40: a job of at most two hours, 24."""

    service: Service
    settings: Settings
    clock: list[datetime]

    @property
    def month(self) -> Month:
        receipts = Receipts.of(self.settings, "toy")
        assert receipts is not None
        return receipts.month("2026-11")

    def later(self, minutes: int) -> None:
        self.clock[0] += timedelta(minutes=minutes)


@pytest.fixture
def priced(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Priced:
    table = {
        "read_on": "2026-01-01", "region": "here", "currency": "EUR", "sources": ["https://x"],
        "dataproc": {"standard": {"dcu_hour": 1, "shuffle_gb_month": 1e-9}},
    }  # fmt: skip
    (tmp_path / "prices.yaml").write_text(yaml.safe_dump(table))
    found = Priced(service, current(tmp_path, prices=tmp_path / "prices.yaml", monthly_budget=40), [START])
    monkeypatch.setattr(stage, "settings", lambda: found.settings)
    monkeypatch.setattr(costs, "utc_now", lambda: found.clock[0])
    return found


def test_a_job_is_estimated_before_and_paid_for_after(priced: Priced, capsys: pytest.CaptureFixture[str]) -> None:
    deferred = submit()
    assert "estimated EUR 24.00, not known yet; at most this, by its limit of 120 minutes" in capsys.readouterr().out
    assert [one.state for one in priced.month.receipts] == ["open"]
    priced.service.end(deferred.trigger.name, "succeeded", usage=HOUR, seconds=3700.0)
    leave(deferred, 0, {"rows": 3})
    result = resume(deferred, state="succeeded")
    assert result == {
        "rows": 3,
        "cost": {"amount": pytest.approx(12), "estimate": pytest.approx(24), "currency": "EUR"},
    }
    assert (
        "cost EUR 12.00, estimated EUR 24.00 before. toy: EUR 12.00 on 1 job in 2026-11; EUR 28.00 are left"
        in capsys.readouterr().out
    )
    submit(run_id="scheduled__2")
    assert "estimated EUR 12.00, from 1 earlier job of 1 day" in capsys.readouterr().out


def test_a_job_over_the_budget_is_never_submitted_and_not_retried(priced: Priced) -> None:
    submit()
    with stopping(StageRefused, "Nothing was submitted") as refused:
        task().execute(context(run_id="scheduled__2"))
    assert len(priced.service.jobs) == 1
    assert refused.value.code == BudgetError.exit_code
    message = of_failure("toy score", refused.value.code, refused.value.said)
    assert message.kind is Kind.refusal
    assert "EUR 24.00 expected for 1 that runs" in message.happened


def test_a_job_that_is_taken_up_is_counted_once_and_never_refused(priced: Priced) -> None:
    first = submit(1)
    priced.settings = priced.settings.model_copy(
        update={"dispatch": priced.settings.dispatch.model_copy(update={"monthly_budget": 1.0})}
    )
    second = submit(2)
    assert second.trigger.name == first.trigger.name
    priced.service.end(first.trigger.name, "succeeded", usage=HOUR)
    leave(second, 0, {"rows": 3})
    assert resume(second, state="succeeded")["cost"]["amount"] == pytest.approx(12)
    assert [one.state for one in priced.month.receipts] == ["succeeded"]


@pytest.mark.parametrize(("state", "message"), [("failed", "The instance was preempted."), ("cancelled", "")])
def test_a_job_that_did_not_end_well_is_paid_for(priced: Priced, state: State, message: str) -> None:
    deferred = submit()
    priced.service.end(deferred.trigger.name, state, message, usage=HOUR)
    with pytest.raises(StageStopped):
        resume(deferred, state=state, message=message)
    (receipt,) = priced.month.receipts
    assert (receipt.state, receipt.cost) == (state, pytest.approx(12))


def test_an_end_that_nobody_saw_is_settled_before_the_next_job(priced: Priced) -> None:
    killed = submit()
    priced.service.end(killed.trigger.name, "cancelled", usage=HOUR)
    priced.later(16)
    submit(run_id="scheduled__2")
    assert [one.state for one in priced.month.receipts] == ["cancelled", "open"]
    assert priced.month.counted == pytest.approx(12 + 24)


def test_a_use_that_is_not_said_at_once_is_asked_for_again(priced: Priced) -> None:
    deferred = submit()
    priced.service.end(deferred.trigger.name, "succeeded")
    leave(deferred, 0, {"rows": 3})
    assert resume(deferred, state="succeeded") == {"rows": 3}
    assert [(one.state, one.counted) for one in priced.month.receipts] == [("open", pytest.approx(24))]
    priced.service.end(deferred.trigger.name, "succeeded", usage=HOUR)
    priced.later(16)
    submit(run_id="scheduled__2")
    assert [one.state for one in priced.month.receipts] == ["succeeded", "open"]
    assert priced.month.counted == pytest.approx(12 + 12)


def test_a_worker_that_is_lost_before_it_submits_leaves_no_cost(
    priced: Priced, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_: Any) -> Code:
        raise MemoryError

    with monkeypatch.context() as patched, pytest.raises(MemoryError):
        patched.setattr(remote_run, "publish_code", lost)
        task().execute(context())
    assert priced.month.counted == pytest.approx(24)
    priced.later(16)
    submit(2)
    assert [one.state for one in priced.month.receipts] == ["never submitted", "open"]


def test_a_service_in_trouble_leaves_a_lost_job_as_it_is(priced: Priced, monkeypatch: pytest.MonkeyPatch) -> None:
    submit()
    priced.later(16)
    receipts = Receipts.of(priced.settings, "toy")
    assert receipts is not None

    def unavailable(*_: Any) -> Service:
        raise google.ServiceUnavailable("later")

    JobCosts(receipts, unavailable, logging.getLogger())._look_at(priced.month.receipts[0])
    assert [one.state for one in priced.month.receipts] == ["open"]


def test_a_receipt_that_cannot_be_written_does_not_fail_a_job_that_did_its_work(
    priced: Priced, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deferred = submit()
    priced.service.end(deferred.trigger.name, "succeeded", usage=HOUR)
    leave(deferred, 0, {"rows": 3})

    def full(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(receipts_module, "write_whole", full)
    assert resume(deferred, state="succeeded") == {"rows": 3}
    assert "could not be written down: no space left" in capsys.readouterr().out


def test_what_a_batch_used_is_what_its_service_says() -> None:
    from google.cloud.dataproc_v1.types import Batch

    target = target_from({"kind": "dataproc", "subnetwork": "s", **PLACE})
    assert isinstance(target, DataprocTarget)
    used = {"milli_dcu_seconds": 720_500, "shuffle_storage_gb_seconds": 72_000}
    batch = Batch({"runtime_info": {"approximate_usage": used}})
    assert dataproc._used(batch, target, 60) == BatchUsage(dcu_seconds=720.5, shuffle_gb_seconds=72_000)
    assert dataproc._used(Batch({"runtime_info": {"output_uri": "gs://x"}}), target, 60) is None


def test_accelerators_of_which_the_service_says_nothing_count_as_the_target_has_them() -> None:
    from google.cloud.dataproc_v1.types import Batch

    gpus = {"spark.dataproc.executor.resource.accelerator.type": "l4", "spark.executor.instances": "4"}
    target = target_from({"kind": "dataproc", "subnetwork": "s", **PLACE, "properties": gpus})
    assert isinstance(target, DataprocTarget)

    def used(seconds: float | None, **reported: Any) -> tuple[float, str]:
        found = dataproc._used(Batch({"runtime_info": {"approximate_usage": reported}}), target, seconds)
        assert found is not None
        return found.accelerator_seconds, found.accelerator_type

    assert used(60, milli_dcu_seconds=1000) == (240, "l4")
    assert used(60, milli_dcu_seconds=1000, milli_accelerator_seconds=90_000, accelerator_type="l4") == (90, "l4")
    assert used(60) == (0, "l4"), "it never ran"
    assert used(None, milli_dcu_seconds=1000) == (0, "l4")


def test_a_custom_job_is_billed_from_its_first_running_on_the_machine_that_it_had() -> None:
    from google.cloud.aiplatform_v1.types import CustomJob

    machine = {"machine_type": "g2-standard-8", "accelerator_type": "NVIDIA_L4", "accelerator_count": 1}
    spec = {"worker_pool_specs": [{"machine_spec": machine, "replica_count": 1}], "scheduling": {"strategy": "SPOT"}}
    asked = {"create_time": START, "job_spec": spec}
    assert vertex._machine_usage(CustomJob(asked)) is None, "it has not ended"
    ended = {**asked, "start_time": START + timedelta(minutes=5), "end_time": START + timedelta(minutes=15)}
    used = vertex._machine_usage(CustomJob(ended))
    assert used == MachineUsage(**machine, spot=True, seconds=600.0)
    never_ran = vertex._machine_usage(CustomJob({**asked, "end_time": START + timedelta(minutes=15)}))
    assert never_ran is not None
    assert never_ran.seconds == 0
    on_demand = {**ended, "job_spec": {**spec, "scheduling": {"strategy": "STANDARD"}}}
    assert vertex._machine_usage(CustomJob(on_demand)) == used.model_copy(update={"spot": False})
