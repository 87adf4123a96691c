"""Vertex AI's custom jobs as a gRPC service that runs submitted jobs as processes here.

It checks requests against the documented limits (``tests.loopback.vertex_limits``). Without quota a job stays queued for
ever, and a container that failed is started again in the same place, as Vertex AI does
(https://cloud.google.com/vertex-ai/docs/training/understanding-training-service, read in 2026-11).
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

from tests.loopback.processes import Process
from tests.loopback.refusals import RefusedError, invalid, labelled, no_quota, not_running
from tests.loopback.vertex_limits import problems

JobState = job_state.JobState
_ALIVE = (JobState.JOB_STATE_QUEUED, JobState.JOB_STATE_PENDING, JobState.JOB_STATE_RUNNING)


class Vertex:
    """``JobService`` for custom jobs; an image is this interpreter, with the bootstrap where the image has it."""

    def __init__(self, folder: Path, image: str, bootstrap: Path, held: Path) -> None:
        self.folder, self.image, self.bootstrap, self.held = folder, image, bootstrap, held
        self.jobs: dict[str, custom_job.CustomJob] = {}
        self.processes: dict[str, Process] = {}

    def create(self, request: job_service.CreateCustomJobRequest) -> custom_job.CustomJob:
        job = custom_job.CustomJob(request.custom_job)
        self._check(job, request.parent.rsplit("/", 1)[1])
        job.name = f"{request.parent}/customJobs/{uuid.uuid4().int % 10**18}"
        job.create_time, job.state = datetime.now(UTC), JobState.JOB_STATE_QUEUED
        self.jobs[job.name] = job
        self.processes[job.name] = Process(lambda process: self._work(job, process))
        return job

    def _check(self, job: custom_job.CustomJob, region: str) -> None:
        if found := "; ".join(problems(job, region)):
            raise invalid(found)
        image = job.job_spec.worker_pool_specs[0].container_spec.image_uri
        if image != self.image:
            raise invalid(f"image not found: {image}")

    def _work(self, job: custom_job.CustomJob, process: Process) -> None:
        folder = self.folder / "custom" / job.name.rsplit("/", 1)[1]
        folder.mkdir(parents=True)
        time.sleep(0.3)
        self._wait_for_a_machine(job, process)
        if process.cancelled:
            self._end(job, JobState.JOB_STATE_CANCELLED)
            return
        job.state, job.start_time = JobState.JOB_STATE_RUNNING, datetime.now(UTC)
        code, tail = self._run(job, process, folder)
        if process.cancelled:
            self._end(job, JobState.JOB_STATE_CANCELLED)
        elif code:
            why = f"The replica workerpool0-0 exited with a non-zero status of {code}. {tail}"
            self._end(job, JobState.JOB_STATE_FAILED, why)
        else:
            self._end(job, JobState.JOB_STATE_SUCCEEDED)

    def _wait_for_a_machine(self, job: custom_job.CustomJob, process: Process) -> None:
        machine = job.job_spec.worker_pool_specs[0].machine_spec.machine_type
        missing = no_quota(self.folder, machine, spot=job.job_spec.scheduling.strategy.name == "SPOT")
        while missing.exists() and not process.cancelled:
            time.sleep(0.1)
        if not process.cancelled:
            job.state = JobState.JOB_STATE_PENDING
        while self.held.exists() and not process.cancelled:
            time.sleep(0.1)

    def _run(self, job: custom_job.CustomJob, process: Process, folder: Path) -> tuple[int, str]:
        """The exit status of the container's last start, and the end of its log."""
        container = job.job_spec.worker_pool_specs[0].container_spec
        stand_in = {"python": sys.executable, "/opt/contrail/bootstrap.py": str(self.bootstrap)}
        command = [stand_in.get(word, word) for word in [*container.command, *container.args]]
        variables = {entry.name: entry.value for entry in container.env}
        timeout, log = job.job_spec.scheduling.timeout, folder / "log"
        code = 0
        for _ in range(2):
            code = process.run(command, folder, variables, log, timeout.total_seconds() if timeout else None)
            if code == 0 or process.cancelled or process.timed_out:
                break
        return code, log.read_text(errors="replace")[-600:]

    @staticmethod
    def _end(job: custom_job.CustomJob, state: job_state.JobState, why: str = "") -> None:
        if why:
            job.error = status_pb2.Status(code=3, message=why)
        job.end_time, job.state = datetime.now(UTC), state

    def get(self, request: job_service.GetCustomJobRequest) -> custom_job.CustomJob:
        if request.name not in self.jobs:
            raise RefusedError(grpc.StatusCode.NOT_FOUND, request.name)
        return self.jobs[request.name]

    def list(self, request: job_service.ListCustomJobsRequest) -> job_service.ListCustomJobsResponse:
        found = [job for job in self.jobs.values() if job.name.startswith(request.parent)]
        return job_service.ListCustomJobsResponse(custom_jobs=labelled(found, request.filter))

    def cancel(self, request: job_service.CancelCustomJobRequest) -> empty_pb2.Empty:
        job = self.get(job_service.GetCustomJobRequest(name=request.name))
        if job.state not in _ALIVE:
            raise not_running(request.name)
        job.state = JobState.JOB_STATE_CANCELLING
        self.processes[request.name].cancel()
        return empty_pb2.Empty()
