"""Jobs without a machine: Airflow's operator and trigger, Google's hook, and the loopback's Vertex AI without quota."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.providers.google.cloud.hooks.vertex_ai.custom_job import CustomJobHook
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
from airflow.sdk.exceptions import TaskDeferred
from google.cloud.aiplatform_v1.types import CustomJob, job_service
from tests.loopback.vertex import JobState, Vertex
from tests.unit.plugins.operators.test_remote_stages import context, resume, stopping, task
from tests.unit.plugins.remote.test_remote_jobs import Client, Held

from contrail.config.settings import Settings, settings
from contrail.config.targets import DispatchSettings
from contrail.dispatch.outcome import read_wait, record_wait
from contrail.dispatch.payload import Code, key_label
from contrail.dispatch.receipts import Receipts, utc_now
from contrail_airflow.operators import remote_run, stage
from contrail_airflow.operators.ending import StageRefused, StageStopped
from contrail_airflow.remote import triggers
from contrail_airflow.remote.services import jobs_of, target_from
from contrail_airflow.remote.triggers import RemoteJobTrigger

GPU = {
    "kind": "vertex", "project": "demo", "region": "europe-west1", "service_account": "a@demo", "image": "i",
    "machine_type": "g2-standard-8", "accelerator_type": "NVIDIA_L4", "accelerator_count": 1,
    "spot_attempts": 1, "fallbacks": [{"region": "europe-west4"}],
}  # fmt: skip
PRICES = {
    "read_on": "2026-01-01", "region": "here", "currency": "EUR", "sources": ["https://x"],
    "vertex": {"machines": {"g2-standard-8": {"hour": 6, "spot_hour": 3}}},
}  # fmt: skip


@dataclass
class Cloud:
    """Vertex AI, which gives no job a machine, and the environment that uses it."""

    vertex: Vertex
    current: Settings

    @property
    def jobs(self) -> list[CustomJob]:
        return list(self.vertex.jobs.values())

    def waited(self, minutes: float) -> None:
        """The newest job was made so long ago."""
        self.jobs[-1].create_time = datetime.now(UTC) - timedelta(minutes=minutes)

    def begins(self, minutes_ago: float) -> None:
        """The newest job got its machine so long ago."""
        job = self.jobs[-1]
        job.state, job.start_time = JobState.JOB_STATE_RUNNING, datetime.now(UTC) - timedelta(minutes=minutes_ago)

    def a_person_cancels(self) -> None:
        """In the console."""
        self.vertex.cancel(job_service.CancelCustomJobRequest(name=self.jobs[-1].name))

    def ends_what_is_cancelled(self) -> None:
        for job in self.jobs:
            if job.state == JobState.JOB_STATE_CANCELLING:
                job.state, job.end_time = JobState.JOB_STATE_CANCELLED, datetime.now(UTC)

    def asked(self) -> list[tuple[str, str]]:
        """The region of each job, and how it was to be scheduled."""
        return [(job.name.split("/")[3], job.job_spec.scheduling.strategy.name) for job in self.jobs]

    def costs(self) -> list[tuple[str, float | None]]:
        receipts = Receipts.of(self.current, "toy")
        assert receipts is not None
        return [(one.state, one.cost) for one in receipts.recent(utc_now())]


@pytest.fixture
def cloud(toy_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setattr("tests.loopback.vertex.Process", Held)
    vertex = Vertex(tmp_path, "i", tmp_path, tmp_path / "held")
    client = Client(
        {
            "create_custom_job": (vertex.create, job_service.CreateCustomJobRequest),
            "get_custom_job": (vertex.get, job_service.GetCustomJobRequest),
            "list_custom_jobs": (lambda asked: vertex.list(asked).custom_jobs, job_service.ListCustomJobsRequest),
            "cancel_custom_job": (vertex.cancel, job_service.CancelCustomJobRequest),
        },
        [],
    )
    (tmp_path / "prices.yaml").write_text(yaml.safe_dump(PRICES))
    values = {
        "jobs_uri": f"file://{tmp_path}/jobs", "stages": {"score": "gpu"}, "targets": {"gpu": GPU},
        "prices": tmp_path / "prices.yaml",
    }  # fmt: skip
    current = settings().model_copy(update={"dispatch": DispatchSettings.model_validate(values)})
    monkeypatch.setattr(CustomJobHook, "get_job_service_client", lambda *_: client)
    monkeypatch.setattr(CustomJobHook, "__init__", lambda *_, **__: None)
    for module in (stage, triggers):
        monkeypatch.setattr(module, "settings", lambda: current)
    monkeypatch.setattr(remote_run, "publish_code", lambda _: Code("w", "s", "b", "r", "l"))
    yield Cloud(vertex, current)


def submit(attempt: int = 1) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferred:
        task().execute(context(attempt))
    return deferred.value


def fire(cloud: Cloud, deferred: TaskDeferred) -> dict[str, Any]:
    """What a triggerer that has just taken the trigger over sees, from its stored form on, until the job has ended."""

    async def first() -> dict[str, Any]:
        _, arguments = deferred.trigger.serialize()
        events = RemoteJobTrigger(**{**json.loads(json.dumps(arguments)), "poll_seconds": 0.01}).run()
        event = asyncio.ensure_future(anext(events))
        while not event.done():
            cloud.ends_what_is_cancelled()
            await asyncio.sleep(0.005)
        return dict(event.result().payload)

    return asyncio.run(asyncio.wait_for(first(), 20))


def look(deferred: TaskDeferred) -> None:
    """One look of the trigger."""
    deferred.trigger._look()


def test_spot_without_quota_falls_back_to_on_demand_and_then_to_another_region(cloud: Cloud) -> None:
    said = []
    for attempt in (1, 2, 3):
        deferred = submit(attempt)
        cloud.waited(minutes=16)
        with stopping(StageStopped, "it got no machine in 16 minutes (queue_minutes: 15)") as stopped:
            resume(deferred, attempt, **fire(cloud, deferred))
        assert not isinstance(stopped.value, StageRefused), "it counts as an attempt"
        said.append(stopped.value.said)
    assert cloud.asked() == [("europe-west1", "SPOT"), ("europe-west1", "STANDARD"), ("europe-west4", "STANDARD")]
    assert "g2-standard-8 with 1 NVIDIA_L4 on spot in europe-west1" in said[0]
    assert "the quota custom_model_training_preemptible_nvidia_l4_gpus of europe-west1: https://console" in said[0]
    assert "g2-standard-8 with 1 NVIDIA_L4 in europe-west1" in said[1]
    assert "the quota custom_model_training_nvidia_l4_gpus of europe-west4" in said[2]
    assert "fallbacks" in said[2] and "/locations/europe-west4/training/" in said[2]
    assert cloud.costs() == [("cancelled", 0.0)] * 3, "a job that never had a machine costs nothing"


def test_a_job_may_wait_as_long_as_its_target_says(cloud: Cloud) -> None:
    deferred = submit()
    cloud.waited(minutes=14.9)
    look(deferred)
    assert cloud.jobs[0].state == JobState.JOB_STATE_QUEUED
    cloud.waited(minutes=15.1)
    look(deferred)
    assert cloud.jobs[0].state == JobState.JOB_STATE_CANCELLING


def test_a_job_that_has_its_machine_waits_for_none(cloud: Cloud) -> None:
    """However long it waited before; also where Vertex AI prepares it anew, after maintenance of its host."""
    deferred = submit()
    cloud.waited(minutes=500)
    cloud.begins(minutes_ago=100)
    for state in (JobState.JOB_STATE_RUNNING, JobState.JOB_STATE_PENDING):
        cloud.jobs[0].state = state
        look(deferred)
        assert cloud.jobs[0].state == state


@pytest.mark.parametrize("minutes", [3, 14.9])
def test_a_waiting_job_that_a_person_cancels_is_not_tried_again(cloud: Cloud, minutes: float) -> None:
    deferred = submit()
    cloud.waited(minutes)
    cloud.a_person_cancels()
    cloud.waited(minutes + 5)  # to be cancelled takes its time
    with stopping(StageRefused, "was cancelled"):
        resume(deferred, **fire(cloud, deferred))


def test_who_cancelled_is_known_although_the_triggerer_is_killed_before_it_could(cloud: Cloud) -> None:
    deferred = submit()
    cloud.waited(minutes=16)
    record_wait(deferred.trigger.folder, 16)
    with stopping(StageStopped, "it got no machine in 16 minutes") as stopped:
        resume(deferred, **fire(cloud, deferred))
    assert not isinstance(stopped.value, StageRefused)


def test_who_cancelled_is_known_although_the_triggerer_is_killed_after_it_did(cloud: Cloud) -> None:
    deferred = submit()
    cloud.waited(minutes=16)
    look(deferred)
    cloud.ends_what_is_cancelled()
    with stopping(StageStopped, "it got no machine in 16 minutes") as stopped:
        resume(deferred, **fire(cloud, deferred))
    assert not isinstance(stopped.value, StageRefused)


@pytest.mark.parametrize(("ran", "again"), [(0.2, True), (10, False)])
def test_a_job_that_began_after_all_is_a_persons_to_cancel(cloud: Cloud, ran: float, again: bool) -> None:
    """The triggerer was killed before it could cancel, or it cancelled the job in the moment in which that began."""
    deferred = submit()
    cloud.waited(minutes=30)
    record_wait(deferred.trigger.folder, 16)
    cloud.begins(minutes_ago=ran)
    cloud.a_person_cancels()
    with stopping(StageStopped, "") as stopped:
        resume(deferred, **fire(cloud, deferred))
    assert isinstance(stopped.value, StageRefused) is not again


def test_a_job_that_is_taken_up_has_waited_since_it_was_made(cloud: Cloud) -> None:
    first = submit(1)
    cloud.waited(minutes=16)
    second = submit(2)
    assert (second.trigger.name, second.trigger.folder) == (first.trigger.name, first.trigger.folder)
    with stopping(StageStopped, "NVIDIA_L4 on spot in europe-west1"):
        resume(second, 2, **fire(cloud, second))
    submit(3)
    assert cloud.asked() == [("europe-west1", "SPOT"), ("europe-west4", "STANDARD")]


def test_a_job_in_another_region_is_found_taken_up_and_ended(cloud: Cloud) -> None:
    third = submit(3)
    cloud.begins(minutes_ago=1)
    assert third.trigger.name.startswith("europe-west4/")
    fourth = submit(4)  # its own place is in europe-west1 again
    assert fourth.trigger.name == third.trigger.name
    assert len(cloud.jobs) == 1
    jobs = jobs_of(target_from(fourth.trigger.target), cloud.current)
    (found,) = jobs.of_run(key_label("toy__score/scheduled__1", cloud.current.dispatch))
    assert "/locations/europe-west4/training/" in found.link
    jobs.cancel(found.name)
    assert cloud.jobs[0].state == JobState.JOB_STATE_CANCELLING


def overdue() -> None:
    task().resume_execution(TRIGGER_FAIL_REPR, {"error": TriggerFailureReason.TRIGGER_TIMEOUT}, context())


def test_a_waiting_job_counts_as_an_attempt_although_no_triggerer_runs(cloud: Cloud) -> None:
    submit()
    cloud.waited(minutes=200)
    with stopping(StageStopped, "it got no machine in 200 minutes") as stopped:
        overdue()
    assert not isinstance(stopped.value, StageRefused)
    assert cloud.jobs[0].state == JobState.JOB_STATE_CANCELLING
    submit(2)
    assert cloud.asked()[1] == ("europe-west1", "STANDARD")


def test_a_wait_that_is_too_long_for_a_job_with_a_machine_is_none_for_a_machine(cloud: Cloud) -> None:
    submit()
    cloud.begins(minutes_ago=190)
    with stopping(StageRefused, "timeout_minutes (120) and 75 minutes for machines"):
        overdue()


def test_the_trigger_of_an_earlier_release_goes_on_waiting(cloud: Cloud) -> None:
    deferred = submit()
    cloud.waited(minutes=16)
    _, arguments = deferred.trigger.serialize()
    assert arguments.pop("folder").endswith(cloud.jobs[0].display_name)
    arguments["name"] = arguments["name"].rpartition("/")[2]  # it had no region in it
    look(TaskDeferred(trigger=RemoteJobTrigger(**arguments), method_name="resume"))
    assert cloud.jobs[0].state == JobState.JOB_STATE_QUEUED


def test_a_store_in_trouble_ends_no_job(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would know later who had cancelled it."""
    deferred = submit()
    cloud.waited(minutes=16)

    def full(*_: Any) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="no space left"):
        patched.setattr("contrail.dispatch.outcome.write_whole", full)
        look(deferred)
    assert cloud.jobs[0].state == JobState.JOB_STATE_QUEUED
    look(deferred)
    assert read_wait(deferred.trigger.folder) == pytest.approx(16, abs=0.2)
