"""Vertex AI's custom jobs as a gRPC service that runs submitted jobs as processes here.

It checks requests where a mistake of ours could show: labels, pairs of machine and accelerator, images.
"""

import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import grpc
from google.cloud.aiplatform_v1.types import custom_job, job_service, job_state
from google.protobuf import empty_pb2
from google.rpc import status_pb2

from contrail.config.targets import MACHINES
from tests.loopback.processes import Process
from tests.loopback.refusals import LABEL, RefusedError, invalid, labelled, not_running

JobState = job_state.JobState


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
            raise invalid("display_name and one of job_spec.worker_pool_specs are required")
        if bad := [v for v in job.labels.values() if not LABEL.fullmatch(v)]:
            raise invalid(f"label values {bad} are not allowed")
        pool = job.job_spec.worker_pool_specs[0]
        machine = pool.machine_spec
        has = (machine.accelerator_type.name, machine.accelerator_count)
        wanted = MACHINES.get(machine.machine_type, ("ACCELERATOR_TYPE_UNSPECIFIED", 0))
        if has != wanted:
            raise invalid(f"{machine.machine_type} has {wanted}, not {has}")
        if pool.container_spec.image_uri != self.image:
            raise invalid(f"image not found: {pool.container_spec.image_uri}")

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
        return job_service.ListCustomJobsResponse(custom_jobs=labelled(found, request.filter))

    def cancel(self, request: job_service.CancelCustomJobRequest) -> empty_pb2.Empty:
        job = self.get(job_service.GetCustomJobRequest(name=request.name))
        if job.state not in (JobState.JOB_STATE_PENDING, JobState.JOB_STATE_RUNNING):
            raise not_running(request.name)
        job.state = JobState.JOB_STATE_CANCELLING
        self.processes[request.name].cancel()
        return empty_pb2.Empty()
