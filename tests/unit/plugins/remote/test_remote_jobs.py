"""Airflow's hooks, unmodified, on the loopback's services, which accept our requests."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from airflow.providers.google.cloud.hooks.dataproc import DataprocHook
from airflow.providers.google.cloud.hooks.vertex_ai.custom_job import CustomJobHook
from google.api_core import exceptions as google
from google.cloud.aiplatform_v1.types import job_service
from google.cloud.dataproc_v1.types import batches
from google.longrunning import operations_pb2
from tests.conftest import PROJECT
from tests.loopback.batch_checks import check_batch
from tests.loopback.dataproc import Dataproc
from tests.loopback.refusals import RefusedError
from tests.loopback.vertex import JobState, Vertex

from contrail.config.settings import settings
from contrail.config.targets import DispatchSettings
from contrail.dispatch.payload import JOB_LABEL, RUN_LABEL, Code, Job, labels, render_batch
from contrail_airflow.remote.remote_jobs import RemoteJobs
from contrail_airflow.remote.services import jobs_of, target_from

PLACE = {
    "project": "demo", "region": "europe-west1", "service_account": "jobs-of-demo@demo.iam.gserviceaccount.com",
    "image": "europe-west1-docker.pkg.dev/demo/contrail/job:1",
}  # fmt: skip
TARGETS = {
    "dataproc": {"kind": "dataproc", "subnetwork": "jobs", **PLACE},
    "vertex": {"kind": "vertex", "machine_type": "n2-standard-8", **PLACE},
}
EXECUTION, PROPERTIES = "batch.environment_config.execution_config", "batch.runtime_config.properties"
# Of a pipeline that is shipped: ids are as long as those of production.
JOB = Job(
    ("features",),
    "flight_delay",
    "features",
    "2013-11-01",
    "scheduled__1",
    "daily/scheduled__1/features/-1",
    "06:00",
    1,
)
CODE = Code("w", "s", "gs://b/bootstrap.py", "r", "l")


class Held:
    """A job's process that is never started."""

    def __init__(self, *_: Any) -> None:
        pass

    def cancel(self) -> None:
        pass


@dataclass
class Client:
    """Google's client of a service of the loopback, without the wire between them."""

    calls: dict[str, tuple[Callable[[Any], Any], Any]]
    errors: list[Exception]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call, request_type = self.calls[name]

        def ask(request: dict[str, Any], **_: Any) -> Any:
            if self.errors:
                raise self.errors.pop()
            try:
                return call(request_type(**{k: v for k, v in request.items() if v is not None}))
            except RefusedError as refused:
                raise google.from_grpc_status(refused.code, str(refused)) from refused

        return ask


@dataclass
class Place:
    """Both services, and the errors that their clients meet first."""

    of: dict[str, RemoteJobs]
    errors: list[Exception]
    dataproc: Dataproc
    vertex: Vertex


@pytest.fixture
def place(toy_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for service in ("dataproc", "vertex"):
        monkeypatch.setattr(f"tests.loopback.{service}.Process", Held)
    dataproc = Dataproc(tmp_path, tmp_path, None, tmp_path / "held")  # type: ignore[arg-type]
    vertex = Vertex(tmp_path, PLACE["image"], tmp_path, tmp_path / "held")
    errors: list[Exception] = []
    batch_client = Client(
        {
            "create_batch": (dataproc.create, batches.CreateBatchRequest),
            "get_batch": (dataproc.get, batches.GetBatchRequest),
            "list_batches": (lambda asked: dataproc.list(asked).batches, batches.ListBatchesRequest),
            "cancel_operation": (dataproc.cancel_operation, operations_pb2.CancelOperationRequest),
        },
        errors,
    )
    job_client = Client(
        {
            "create_custom_job": (vertex.create, job_service.CreateCustomJobRequest),
            "get_custom_job": (vertex.get, job_service.GetCustomJobRequest),
            "list_custom_jobs": (lambda asked: vertex.list(asked).custom_jobs, job_service.ListCustomJobsRequest),
            "cancel_custom_job": (vertex.cancel, job_service.CancelCustomJobRequest),
        },
        errors,
    )
    monkeypatch.setattr(DataprocHook, "get_batch_client", lambda *_: batch_client)
    monkeypatch.setattr(CustomJobHook, "get_job_service_client", lambda *_: job_client)
    monkeypatch.setattr(DataprocHook, "__init__", lambda *_, **__: None)
    monkeypatch.setattr(CustomJobHook, "__init__", lambda *_, **__: None)
    current = settings().model_copy(update={"dispatch": DispatchSettings(jobs_uri="gs://b/jobs")})
    return Place(
        {kind: jobs_of(target_from(values), current) for kind, values in TARGETS.items()}, errors, dataproc, vertex
    )


SERVICES = pytest.mark.parametrize("kind", TARGETS)


@SERVICES
def test_a_job_of_a_shipped_pipeline_is_taken_once(place: Place, kind: str) -> None:
    jobs = place.of[kind]
    assert jobs.find(JOB.id) is None
    submitted = jobs.submit(JOB, CODE)
    assert submitted.state == "active"
    assert jobs.submit(JOB, CODE) == jobs.find(JOB.id) == jobs.look(submitted.name) == submitted


@SERVICES
def test_the_jobs_of_a_run_are_known_while_they_work(place: Place, kind: str) -> None:
    jobs = place.of[kind]
    first = jobs.submit(JOB, CODE)
    assert first.id == JOB.id
    assert jobs.submit(replace(JOB, work="another/score/-1"), CODE).id != JOB.id
    assert jobs.of_run(first.labels[RUN_LABEL]) == [first]
    cleared = labels(replace(JOB, started="07:00", attempt=2), DispatchSettings(jobs_uri="gs://b/jobs"))
    assert {name for name, value in first.labels.items() if value != cleared[name]} == {"attempt", JOB_LABEL}
    jobs.cancel(first.name)
    assert jobs.of_run(first.labels[RUN_LABEL]) == [], "it is being cancelled"


@SERVICES
def test_a_cancelling_that_is_not_answered_is_asked_for_again(place: Place, kind: str) -> None:
    jobs = place.of[kind]
    name = jobs.submit(JOB, CODE).name
    place.errors.append(google.ServiceUnavailable("later"))
    jobs.cancel(name)
    assert jobs.look(name).state == "cancelling"
    place.errors.append(google.PermissionDenied("role"))
    with pytest.raises(google.PermissionDenied):
        jobs.cancel(name)


@SERVICES
def test_a_job_that_does_not_run_is_not_asked_to_end(place: Place, kind: str) -> None:
    """Two may end a job: the triggerer, and the process in which its task was ended."""
    jobs = place.of[kind]
    name = jobs.submit(JOB, CODE).name
    jobs.cancel(name)
    jobs.cancel(name)
    assert jobs.look(name).state == "cancelling"


@SERVICES
@pytest.mark.parametrize(("minutes", "overran"), [(119, False), (121, True)])
def test_a_job_that_ended_after_its_time_limit_is_known(place: Place, kind: str, minutes: int, overran: bool) -> None:
    name = place.of[kind].submit(JOB, CODE).name
    took = timedelta(minutes=minutes)
    for batch in place.dataproc.batches.values():
        batch.state_history = [{"state": "PENDING"}, {"state": "RUNNING"}]
        batch.state, batch.state_time = batches.Batch.State.FAILED, batch.create_time + took
    for job in place.vertex.jobs.values():
        job.state, job.start_time = JobState.JOB_STATE_FAILED, job.create_time + timedelta(minutes=50)
        job.end_time = job.start_time + took
    assert place.of[kind].look(name).overran is overran


def test_a_custom_job_that_is_said_to_have_expired_has_overrun(place: Place) -> None:
    name = place.of["vertex"].submit(JOB, CODE).name
    (job,) = place.vertex.jobs.values()
    job.state, job.end_time = JobState.JOB_STATE_EXPIRED, job.create_time
    found = place.of["vertex"].look(name)
    assert (found.state, found.overran) == ("failed", True)


def test_a_batch_that_never_began_has_not_overrun(place: Place) -> None:
    jobs = place.of["dataproc"]
    name = jobs.submit(JOB, CODE).name
    (batch,) = place.dataproc.batches.values()
    batch.state_history = [{"state": "PENDING"}]
    batch.state, batch.state_time = batches.Batch.State.FAILED, batch.create_time + timedelta(minutes=121)
    assert jobs.look(name).overran is False


def test_what_a_driver_printed_is_a_page_of_cloud_logging(place: Place) -> None:
    job = place.of["dataproc"].submit(JOB, CODE)
    address, _, rest = job.output.partition(";query=")
    query, _, project = rest.partition("?project=")
    assert (address, project) == ("https://console.cloud.google.com/logs/query", "demo")
    assert unquote(query).splitlines() == [
        'resource.type="cloud_dataproc_batch"',
        f'resource.labels.batch_id="{JOB.id}"',
        'log_name="projects/demo/logs/dataproc.googleapis.com%2Foutput"',
    ]


RUNTIME = "spark.dataproc.executor"
GPU = {f"{RUNTIME}.compute.tier": "premium", f"{RUNTIME}.disk.tier": "premium"}
CARD = f"{RUNTIME}.resource.accelerator.type"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("batch_id", "Contrail", "batch_id"),
        ("batch_id", "abc", "batch_id"),
        ("parent", "projects/demo/locations/europe-west99", "bad parent"),
        ("batch.labels", {"pipeline": "flight_delay"}, 'Not a valid value: "flight_delay"'),
        ("batch.labels", {"cost_centre": "x"}, 'Not a valid value: "cost_centre"'),
        ("batch.labels", {"run": "-x"}, "must start with"),
        ("batch.labels", {f"k{n}": "v" for n in range(33)}, "no more than 32"),
        (f"{EXECUTION}.authentication_config", {}, "runs the workload as its creator"),
        (f"{EXECUTION}.staging_bucket", "b", "staging_bucket"),
        (f"{EXECUTION}.ttl", {"seconds": 599}, "ttl"),
        (f"{EXECUTION}.ttl", {"seconds": 14 * 24 * 3600 + 1}, "ttl"),
        (f"{EXECUTION}.ttl", None, "ttl"),
        (f"{EXECUTION}.service_account", "someone@example.com", "service_account"),
        (f"{EXECUTION}.subnetwork_uri", "projects/demo/regions/us-east1/subnetworks/jobs", "none of europe-west1"),
        ("batch.runtime_config.version", "3.0.14", "no major.minor"),
        ("batch.runtime_config.container_image", "docker.io/library/python:3.12", "Artifact Registry"),
        (PROPERTIES, {"spark.master": "yarn"}, "unsupported property"),
        (PROPERTIES, {"spark.shuffle.service.enabled": "true"}, "unsupported property"),
        (PROPERTIES, {"hive.x": "1"}, "unsupported property"),
        (PROPERTIES, {"spark.executor.cores": "2"}, "one of 4, 8, 16"),
        (PROPERTIES, {"spark.driver.memory": "32g"}, "memory of the driver"),
        (PROPERTIES, {"spark.executor.memory": "22g"}, "memory of the executor"),
        (PROPERTIES, {"spark.executor.instances": "1"}, "from 2 to 2000"),
        (PROPERTIES, {"spark.dynamicAllocation.maxExecutors": "2001"}, "from 2 to 2000"),
        (PROPERTIES, {f"{RUNTIME}.disk.size": "100g"}, "at least 250g"),
        (PROPERTIES, {f"{RUNTIME}.disk.tier": "premium"}, "premium compute tier"),
        (PROPERTIES, {f"{RUNTIME}.compute.tier": "gold"}, "tiers of the executor"),
        (PROPERTIES, {CARD: "l4"}, "premium tiers of compute and disk"),
        (PROPERTIES, {**GPU, CARD: "h100"}, "takes no accelerator h100"),
        (PROPERTIES, {**GPU, CARD: "a100-40", "spark.executor.cores": "8"}, "one of 12"),
    ],
)
def test_dataproc_refuses_what_google_would_refuse(place: Place, path: str, value: Any, words: str) -> None:
    body = render_batch(JOB, target_from(TARGETS["dataproc"]), DispatchSettings(jobs_uri="gs://b/jobs"), CODE, {})  # type: ignore[arg-type]
    request: dict[str, Any] = {"parent": "projects/demo/locations/europe-west1", "batch_id": JOB.id, "batch": body}
    check_batch(batches.CreateBatchRequest(request))
    *parents, last = path.split(".")
    inner = request
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    with pytest.raises(RefusedError, match=re.escape(words)):
        check_batch(batches.CreateBatchRequest(request))


def test_dataproc_takes_the_targets_that_the_docs_show() -> None:
    shown = re.findall(r"^ *(spark\.[\w.]+): \"?([\w-]+)", (PROJECT / "docs" / "gcp.md").read_text(), re.MULTILINE)
    assert len(shown) > 5
    body = render_batch(JOB, target_from(TARGETS["dataproc"]), DispatchSettings(jobs_uri="gs://b/jobs"), CODE, {})  # type: ignore[arg-type]
    body["runtime_config"]["properties"] = dict(shown)
    parent = "projects/demo/locations/europe-west1"
    check_batch(batches.CreateBatchRequest({"parent": parent, "batch_id": JOB.id, "batch": body}))
