"""Dataproc Serverless and Vertex AI's custom jobs as gRPC services that run submitted jobs as processes here.

They check requests where a mistake of ours could show: ids, labels, pairs of machine and accelerator, images.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from google.api_core.exceptions import NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.aiplatform_v1.types import custom_job, job_service, job_state
from google.cloud.dataproc_v1.types import batches
from google.cloud.dataproc_v1.types.shared import UsageMetrics
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.rpc import status_pb2

from contrail.config.targets import MACHINES
from contrail.revision import lock_hash

State, JobState = batches.Batch.State, job_state.JobState
# What a process of a job sees of this one's environment; nothing that tells it where it is tested.
_PASSED_ON = (
    "PATH", "HOME", "JAVA_HOME", "LANG", "TMPDIR", "STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS",
    "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "GOOGLE_CLOUD_PROJECT",
)  # fmt: skip
# Settings of the cluster's shape and of Google's own runtime: noted, not applied to one machine.
_OF_A_CLUSTER = ("spark.executor.", "spark.dynamicAllocation.", "spark.driver.", "spark.dataproc.", "dataproc.")
_LABEL = re.compile(r"[a-z0-9_-]{0,63}")
_MAX_REQUEST_ID = 40
_CHECKOUT = Path(__file__).resolve().parents[2]


class RefusedError(Exception):
    """A request that the service would refuse: a gRPC code and why."""

    def __init__(self, code: grpc.StatusCode, why: str) -> None:
        super().__init__(why)
        self.code = code


def _invalid(why: str) -> RefusedError:
    return RefusedError(grpc.StatusCode.INVALID_ARGUMENT, why)


def _not_running(name: str) -> RefusedError:
    return RefusedError(grpc.StatusCode.FAILED_PRECONDITION, f"{name} does not run")


def _labelled(jobs: list[Any], wanted: str) -> list[Any]:
    """Those that a filter asks for: by one label, or all."""
    if not wanted:
        return jobs
    known = re.fullmatch(r'labels\.([a-z0-9_]+)="([^"]*)"', wanted)
    if not known:
        raise _invalid(f"this filter is not known here: {shlex.quote(wanted)}")
    return [job for job in jobs if job.labels.get(known[1]) == known[2]]


def image_lock(folder: Path) -> Path:
    """What an image says of itself: here it is this interpreter, whose libraries are those of the checkout's lock."""
    path = folder / "requirements.sha256"
    path.write_text(lock_hash(_CHECKOUT))
    return path


class Process:
    """One job: a thread that runs ``work``, which may start one process at a time."""

    def __init__(self, work: Callable[["Process"], None]) -> None:
        self.cancelled = self.timed_out = False
        self._child: subprocess.Popen[bytes] | None = None
        threading.Thread(target=work, args=(self,), daemon=True).start()

    def run(self, command: list[str], folder: Path, variables: dict[str, str], log: Path, seconds: float | None) -> int:
        """Run a command to its end; its exit status."""
        own = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        own["CONTRAIL_IMAGE_LOCK"] = str(image_lock(folder))
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                command, cwd=folder, env={**own, **variables}, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
            if self.cancelled:
                self._end()
            try:
                return self._child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.timed_out = True
                self._end()
                return self._child.wait()

    def cancel(self) -> None:
        """End it."""
        self.cancelled = True
        self._end()

    def _end(self) -> None:
        if self._child and self._child.poll() is None:
            os.killpg(self._child.pid, signal.SIGTERM)


class Bucketeer:
    """Objects of the loopback storage."""

    def __init__(self, project: str) -> None:
        self.client = storage.Client(project=project, credentials=AnonymousCredentials())

    def fetch(self, uri: str, folder: Path) -> Path:
        """An object as a local file."""
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        path = folder / Path(name).name
        self.client.bucket(bucket).blob(name).download_to_filename(str(path))
        return path

    def put(self, path: Path, uri: str) -> None:
        """A local file as an object."""
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        if not self.client.bucket(bucket).exists():
            self.client.create_bucket(bucket)
        self.client.bucket(bucket).blob(name).upload_from_filename(str(path))


class Dataproc:
    """``BatchController`` and ``Operations``."""

    def __init__(self, folder: Path, storage_root: Path, buckets: Bucketeer, held: Path) -> None:
        self.folder, self.storage_root, self.buckets, self.held = folder, storage_root, buckets, held
        self.batches: dict[str, batches.Batch] = {}
        self.processes: dict[str, Process] = {}
        self._lock = threading.RLock()

    def create(self, request: batches.CreateBatchRequest) -> operations_pb2.Operation:
        self._check(request)
        # Airflow's hook says regions/ here and locations/ when it asks for the batch.
        parent = request.parent.replace("/regions/", "/locations/")
        name = f"{parent}/batches/{request.batch_id}"
        with self._lock:
            if name in self.batches:
                raise RefusedError(grpc.StatusCode.ALREADY_EXISTS, f"Already exists: Batch {name}")
            batch = batches.Batch(request.batch)
            batch.name, batch.uuid, batch.create_time = name, str(uuid.uuid4()), datetime.now(UTC)
            batch.operation = f"{parent.replace('locations', 'regions')}/operations/{uuid.uuid4()}"
            bucket = batch.environment_config.execution_config.staging_bucket or "dataproc-staging"
            batch.runtime_info.output_uri = f"gs://{bucket}/google-cloud-dataproc-metainfo/{batch.uuid}/driveroutput"
            batch.state = State.PENDING
            self.batches[name] = batch
            self.processes[name] = Process(lambda process: self._work(batch, process))
        self._wait_while_held()
        return self._operation(batch)

    def _wait_while_held(self) -> None:
        while self.held.exists():
            time.sleep(0.1)

    def _check(self, request: batches.CreateBatchRequest) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{2,61}[a-z0-9]", request.batch_id):
            raise _invalid(f"batch_id {request.batch_id!r} must be 4-63 of /[a-z][0-9]-/")
        if len(request.request_id) > _MAX_REQUEST_ID:
            raise _invalid(f"request_id {request.request_id!r} has more than {_MAX_REQUEST_ID} characters")
        if not re.fullmatch(r"projects/[^/]+/(regions|locations)/[^/]+", request.parent):
            raise _invalid(f"bad parent {request.parent}")
        if bad := [v for v in request.batch.labels.values() if not _LABEL.fullmatch(v)]:
            raise _invalid(f"label values {bad} are not allowed")
        for name in request.batch.runtime_config.properties:
            if not re.match(r"(spark|dataproc)\.", name) or name in ("spark.master", "spark.submit.deployMode"):
                raise _invalid(f"unsupported property {name}")

    def _work(self, batch: batches.Batch, process: Process) -> None:
        folder = self.folder / "batches" / batch.name.rsplit("/", 1)[1]
        folder.mkdir(parents=True)
        log = folder / "driveroutput"
        self._wait_while_held()
        batch.state = State.RUNNING
        ttl = batch.environment_config.execution_config.ttl
        try:
            main = self.buckets.fetch(batch.pyspark_batch.main_python_file_uri, folder)
            command = [*self._spark_submit(batch), str(main), *batch.pyspark_batch.args]
            variables = {"PYSPARK_PYTHON": sys.executable}
            code = process.run(command, folder, variables, log, ttl.total_seconds() if ttl else None)
        except NotFound as error:
            self._end(batch, State.FAILED, f"File not found: {error.message}")
            return
        self.buckets.put(log, batch.runtime_info.output_uri + ".000000000")
        if process.cancelled:
            self._end(batch, State.CANCELLED, "cancelled by user")
        elif code:
            self._end(batch, State.FAILED, f"driver exited with code {code}")
        else:
            self._end(batch, State.SUCCEEDED, "")

    def _spark_submit(self, batch: batches.Batch) -> list[str]:
        view, raw = (
            "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme",
            "org.apache.hadoop.fs.RawLocalFileSystem",
        )
        settings = {
            "spark.ui.enabled": "false",
            "spark.hadoop.fs.gs.impl": view,
            "spark.hadoop.fs.viewfs.overload.scheme.target.file.impl": raw,
            "spark.hadoop.fs.file.impl": raw,
        }
        for bucket in self.buckets.client.list_buckets():
            link = f"spark.hadoop.fs.viewfs.mounttable.{bucket.name}.linkFallback"
            settings[link] = f"file://{self.storage_root}/{bucket.name}/"
        for name, value in batch.runtime_config.properties.items():
            if not name.startswith(_OF_A_CLUSTER):
                settings[name] = value
        command = [str(Path(sys.executable).with_name("spark-submit")), "--master", "local[2]", "--driver-memory", "1g"]
        for name, value in settings.items():
            command += ["--conf", f"{name}={value}"]
        return command

    def _end(self, batch: batches.Batch, state: State, message: str) -> None:
        with self._lock:
            batch.state_message = message
            batch.state_time = datetime.now(UTC)
            # As the service does for a batch that ran at all: the size that it starts with, for as long as it was there.
            seconds = max(60, (batch.state_time - batch.create_time).total_seconds())
            nodes = 1 + int(batch.runtime_config.properties.get("spark.executor.instances", 2))
            batch.runtime_info.approximate_usage = UsageMetrics(
                milli_dcu_seconds=round(nodes * 4_000 * seconds),
                shuffle_storage_gb_seconds=round(nodes * 400 * seconds),
            )
            batch.state = state

    def _operation(self, batch: batches.Batch) -> operations_pb2.Operation:
        done = batch.state in (State.SUCCEEDED, State.FAILED, State.CANCELLED)
        found = operations_pb2.Operation(name=batch.operation, done=done)
        metadata = batches.Batch.pb(batch)
        if batch.state == State.SUCCEEDED:
            found.response.Pack(metadata)
        elif done:
            found.error.CopyFrom(status_pb2.Status(code=10, message=batch.state_message))
        return found

    def get(self, request: batches.GetBatchRequest) -> batches.Batch:
        if request.name not in self.batches:
            raise RefusedError(grpc.StatusCode.NOT_FOUND, f"Not found: Batch {request.name}")
        return self.batches[request.name]

    def list(self, request: batches.ListBatchesRequest) -> batches.ListBatchesResponse:
        parent = request.parent.replace("/regions/", "/locations/")
        found = [batch for name, batch in self.batches.items() if name.startswith(parent)]
        return batches.ListBatchesResponse(batches=_labelled(found, request.filter))

    def _of(self, operation: str) -> batches.Batch:
        found = next((b for b in self.batches.values() if b.operation == operation), None)
        if found is None:
            raise RefusedError(grpc.StatusCode.NOT_FOUND, operation)
        return found

    def get_operation(self, request: operations_pb2.GetOperationRequest) -> operations_pb2.Operation:
        return self._operation(self._of(request.name))

    def cancel_operation(self, request: operations_pb2.CancelOperationRequest) -> empty_pb2.Empty:
        batch = self._of(request.name)
        if batch.state not in (State.PENDING, State.RUNNING):
            raise _not_running(batch.name)
        batch.state = State.CANCELLING
        self.processes[batch.name].cancel()
        return empty_pb2.Empty()


class Vertex:
    """``JobService`` for custom jobs; an image is this interpreter, with the bootstrap where the image has it."""

    def __init__(self, folder: Path, image: str, bootstrap: Path, held: Path) -> None:
        self.folder, self.image, self.bootstrap, self.held = folder, image, bootstrap, held
        self.jobs: dict[str, custom_job.CustomJob] = {}
        self.processes: dict[str, Process] = {}

    def create(self, request: job_service.CreateCustomJobRequest) -> custom_job.CustomJob:
        job = custom_job.CustomJob(request.custom_job)
        self._check(job)
        job.name = f"{request.parent}/customJobs/{uuid.uuid4().int % 10**18}"
        job.create_time, job.state = datetime.now(UTC), JobState.JOB_STATE_PENDING
        self.jobs[job.name] = job
        self.processes[job.name] = Process(lambda process: self._work(job, process))
        return job

    def _check(self, job: custom_job.CustomJob) -> None:
        if not job.display_name or len(job.job_spec.worker_pool_specs) != 1:
            raise _invalid("display_name and one of job_spec.worker_pool_specs are required")
        if bad := [v for v in job.labels.values() if not _LABEL.fullmatch(v)]:
            raise _invalid(f"label values {bad} are not allowed")
        pool = job.job_spec.worker_pool_specs[0]
        machine = pool.machine_spec
        has = (machine.accelerator_type.name, machine.accelerator_count)
        wanted = MACHINES.get(machine.machine_type, ("ACCELERATOR_TYPE_UNSPECIFIED", 0))
        if has != wanted:
            raise _invalid(f"{machine.machine_type} has {wanted}, not {has}")
        if pool.container_spec.image_uri != self.image:
            raise _invalid(f"image not found: {pool.container_spec.image_uri}")

    def _work(self, job: custom_job.CustomJob, process: Process) -> None:
        folder = self.folder / "custom" / job.name.rsplit("/", 1)[1]
        folder.mkdir(parents=True)
        container = job.job_spec.worker_pool_specs[0].container_spec
        time.sleep(0.3)
        while self.held.exists() and not process.cancelled:
            time.sleep(0.1)
        job.state, job.start_time = JobState.JOB_STATE_RUNNING, datetime.now(UTC)
        stand_in = {"python": sys.executable, "/opt/contrail/bootstrap.py": str(self.bootstrap)}
        command = [stand_in.get(word, word) for word in [*container.command, *container.args]]
        variables = {entry.name: entry.value for entry in container.env}
        timeout = job.job_spec.scheduling.timeout
        log = folder / "log"
        code = process.run(command, folder, variables, log, timeout.total_seconds() if timeout else None)
        tail = log.read_text(errors="replace")[-600:]
        job.end_time = datetime.now(UTC)
        if process.cancelled:
            job.state = JobState.JOB_STATE_CANCELLED
        elif code:
            why = f"The replica workerpool0-0 exited with a non-zero status of {code}. {tail}"
            job.error = status_pb2.Status(code=3, message=why)
            job.state = JobState.JOB_STATE_FAILED
        else:
            job.state = JobState.JOB_STATE_SUCCEEDED

    def get(self, request: job_service.GetCustomJobRequest) -> custom_job.CustomJob:
        if request.name not in self.jobs:
            raise RefusedError(grpc.StatusCode.NOT_FOUND, request.name)
        return self.jobs[request.name]

    def list(self, request: job_service.ListCustomJobsRequest) -> job_service.ListCustomJobsResponse:
        found = [job for job in self.jobs.values() if job.name.startswith(request.parent)]
        return job_service.ListCustomJobsResponse(custom_jobs=_labelled(found, request.filter))

    def cancel(self, request: job_service.CancelCustomJobRequest) -> empty_pb2.Empty:
        job = self.get(job_service.GetCustomJobRequest(name=request.name))
        if job.state not in (JobState.JOB_STATE_PENDING, JobState.JOB_STATE_RUNNING):
            raise _not_running(request.name)
        job.state = JobState.JOB_STATE_CANCELLING
        self.processes[request.name].cancel()
        return empty_pb2.Empty()


def handlers(dataproc: Dataproc, vertex: Vertex) -> list[grpc.GenericRpcHandler]:
    """The three services for a gRPC server."""
    operation, empty = operations_pb2.Operation.SerializeToString, empty_pb2.Empty.SerializeToString

    def of(type_: Any) -> Any:
        return type_.deserialize, None

    def method(call: Any, request: Any, answer: Any) -> Any:
        read = request.deserialize if hasattr(request, "deserialize") else request.FromString
        return grpc.unary_unary_rpc_method_handler(
            _answering(call), request_deserializer=read, response_serializer=answer
        )

    controller = {
        "CreateBatch": method(dataproc.create, batches.CreateBatchRequest, operation),
        "GetBatch": method(dataproc.get, batches.GetBatchRequest, batches.Batch.serialize),
        "ListBatches": method(dataproc.list, batches.ListBatchesRequest, batches.ListBatchesResponse.serialize),
    }
    operations = {
        "GetOperation": method(dataproc.get_operation, operations_pb2.GetOperationRequest, operation),
        "CancelOperation": method(dataproc.cancel_operation, operations_pb2.CancelOperationRequest, empty),
    }
    own = custom_job.CustomJob.serialize
    jobs = {
        "CreateCustomJob": method(vertex.create, job_service.CreateCustomJobRequest, own),
        "GetCustomJob": method(vertex.get, job_service.GetCustomJobRequest, own),
        "ListCustomJobs": method(
            vertex.list, job_service.ListCustomJobsRequest, job_service.ListCustomJobsResponse.serialize
        ),
        "CancelCustomJob": method(vertex.cancel, job_service.CancelCustomJobRequest, empty),
    }
    named = {
        "google.cloud.dataproc.v1.BatchController": controller,
        "google.longrunning.Operations": operations,
        "google.cloud.aiplatform.v1.JobService": jobs,
    }
    return [grpc.method_handlers_generic_handler(name, methods) for name, methods in named.items()]


def _answering(call: Any) -> Any:
    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        bearer = dict(context.invocation_metadata()).get("authorization", "")
        # A token of the token server, or one that the account signed itself: Google's clients use either.
        if not str(bearer).startswith("Bearer "):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no bearer token")
        try:
            return call(request)
        except RefusedError as refused:
            context.abort(refused.code, str(refused))

    return answer
