"""The payload of a job: pure functions from one command to the plain values that a target takes."""

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contrail.config.machines import boot_disk
from contrail.config.targets import DataprocTarget, DispatchSettings, LocalTarget, SparkTarget, VertexTarget

_MAX_LABEL = 63
_MAX_ID = 63
_SPARK_SUBMIT = "spark-submit"
_BOOTSTRAP_IN_IMAGE = "/opt/contrail/bootstrap.py"
# The labels by which jobs are found again. Dataproc refuses an underscore in a label, and a filter may read a dash as a
# minus, so these names have neither.
JOB_LABEL, RUN_LABEL, TASK_LABEL = "contrailjob", "contrailrun", "contrailtask"


@dataclass(frozen=True)
class Job:
    """One attempt at a piece of work: one command of ``contrail``.

    ``work`` is ``RUN/TASK/INDEX``: an orchestrator's run, whose name may contain slashes, and its task. It is the same for
    every attempt. ``started`` tells the run from a deleted run of the same name, so that no job takes the other's results.
    ``variables`` are environment variables of the command that change no result.
    """

    command: tuple[str, ...]
    pipeline: str
    stage: str
    partitions: str
    run: str
    work: str
    started: str
    attempt: int
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The job's id: 4 to 63 characters of ``[a-z0-9-]``, always the same for the same job."""
        tail = f"-{_digest(self.work, self.started)}-a{self.attempt}"
        stem = re.sub(r"[^a-z0-9]+", "-", f"contrail-{self.pipeline}-{self.stage}".lower())
        return stem[: _MAX_ID - len(tail)].rstrip("-") + tail


@dataclass(frozen=True)
class Code:
    """The code that a remote job runs: a wheel and the bootstrap, both named by their content."""

    wheel_uri: str
    wheel_sha256: str
    bootstrap_uri: str
    revision: str
    lock_sha256: str


def render_process(job: Job, target: LocalTarget | SparkTarget) -> dict[str, Any]:
    """Render ``command`` and ``environment`` of a process on this machine."""
    engine = {"CONTRAIL_ENGINE": target.master} if isinstance(target, SparkTarget) else {}
    return {"command": [sys.executable, "-m", "contrail", *job.command], "environment": {**job.variables, **engine}}


def job_folder(pipeline: str, job_id: str, dispatch: DispatchSettings) -> str:
    """Return the folder in which a remote job leaves its result and the end of its log."""
    return f"{dispatch.jobs_uri}/{pipeline}/{job_id}"


def render_batch(
    job: Job, target: DataprocTarget, dispatch: DispatchSettings, code: Code, variables: Mapping[str, str]
) -> dict[str, Any]:
    """Render a Dataproc Serverless batch, as the fields of ``google.cloud.dataproc_v1.Batch``.

    Args:
        job: The command to run.
        target: Where the command runs.
        dispatch: Gives the folder of jobs and the labels.
        code: The code that runs it.
        variables: Environment variables of the job.
    """
    execution = {
        "service_account": target.service_account,
        # Left out, a batch of these runtimes would run as the person or the account that submits it.
        "authentication_config": {"user_workload_authentication_type": "SERVICE_ACCOUNT"},
        "subnetwork_uri": target.subnetwork,
        "ttl": {"seconds": target.timeout_minutes * 60},
    }
    variables = {**variables, "CONTRAIL_ENGINE": _SPARK_SUBMIT}
    return {
        "labels": labels(job, dispatch),
        "pyspark_batch": {
            "main_python_file_uri": code.bootstrap_uri,
            "args": _arguments(job, dispatch, code, variables),
        },
        "runtime_config": {
            "version": target.runtime_version,
            "container_image": target.image,
            "properties": dict(target.properties),
        },
        "environment_config": {"execution_config": execution},
    }


def render_custom_job(
    job: Job, target: VertexTarget, dispatch: DispatchSettings, code: Code, variables: Mapping[str, str]
) -> dict[str, Any]:
    """Render a Vertex AI custom job, as the fields of ``google.cloud.aiplatform_v1.CustomJob``.

    The arguments are those of ``render_batch``.
    """
    place = target.place(job.attempt)
    machine: dict[str, Any] = {"machine_type": place.machine_type}
    if place.accelerator_type:
        machine |= {"accelerator_type": place.accelerator_type, "accelerator_count": place.accelerator_count}
    spec: dict[str, Any] = {
        "worker_pool_specs": [
            {
                "machine_spec": machine,
                "replica_count": 1,
                "disk_spec": {
                    "boot_disk_type": boot_disk(place.machine_type),
                    "boot_disk_size_gb": target.boot_disk_gb,
                },
                "container_spec": {
                    "image_uri": target.image,
                    "command": ["python", _BOOTSTRAP_IN_IMAGE],
                    "args": _arguments(job, dispatch, code, variables),
                },
            }
        ],
        "scheduling": {
            "strategy": "SPOT" if place.spot else "STANDARD",
            "timeout": {"seconds": target.timeout_minutes * 60},
            # A restart would be a second attempt. Only the orchestrator starts attempts. Vertex AI may all the same start a
            # failed container again, or one whose host is maintained: the bootstrap then leaves with the recorded result.
            "disable_retries": True,
        },
        "service_account": target.service_account,
    }
    if place.network:
        spec |= {"network": place.network, "reserved_ip_ranges": [*target.ip_ranges]}
    if place.network_attachment:
        spec["psc_interface_config"] = {"network_attachment": place.network_attachment}
    return {"display_name": job.id, "job_spec": spec, "labels": labels(job, dispatch)}


def labels(job: Job, dispatch: DispatchSettings) -> dict[str, str]:
    """Return the labels of a remote job: what it does, for whom, and who pays. Names and values are legal everywhere."""
    own = {
        "app": "contrail",
        "pipeline": job.pipeline,
        "stage": job.stage,
        "partition": job.partitions,
        "run": job.run,
        "attempt": str(job.attempt),
        JOB_LABEL: job.id,
        RUN_LABEL: key_label(job.work.rsplit("/", 2)[0], dispatch),
        TASK_LABEL: key_label(job.work, dispatch),
    }
    return {**dispatch.labels, **{name: _label(value) for name, value in own.items()}}


def key_label(key: str, dispatch: DispatchSettings) -> str:
    """Return the label of a task (``Job.work``) or of its run (the first part). All attempts have the same."""
    return _digest(str(dispatch.jobs_uri), key)


def _digest(*parts: str) -> str:
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:12]


def _label(value: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:_MAX_LABEL].rstrip("-")


def _arguments(job: Job, dispatch: DispatchSettings, code: Code, variables: Mapping[str, str]) -> list[str]:
    given = [f"--variable={name}={value}" for name, value in sorted({**job.variables, **variables}.items())]
    return [
        f"--wheel={code.wheel_uri}",
        f"--sha256={code.wheel_sha256}",
        f"--revision={code.revision}",
        f"--lock={code.lock_sha256}",
        f"--folder={job_folder(job.pipeline, job.id, dispatch)}",
        *given,
        "--",
        *job.command,
    ]
