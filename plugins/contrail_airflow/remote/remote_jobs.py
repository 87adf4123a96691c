"""A job on Google Cloud, whichever service runs it, and the calls that each service offers.

``contrail.dispatch`` writes what is submitted. The operator decides when.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from contrail.config.targets import DataprocTarget, VertexTarget
from contrail.dispatch.payload import RUN_LABEL, Code, Job
from contrail.methods.cost import BatchUsage, MachineUsage

# ``cancelling`` has not ended, and no attempt takes it up.
State = Literal["active", "cancelling", "succeeded", "failed", "cancelled"]
GoogleTarget = DataprocTarget | VertexTarget
CONSOLE = "https://console.cloud.google.com"


@dataclass(frozen=True)
class RemoteJob:
    """A job as its service knows it. ``name`` is the service's name for it, ``id`` is ours.

    ``output`` is the page of Cloud Logging with what it printed, where its service has one. ``usage`` is what it is
    billed for; None while the service has not reported it. ``seconds`` counts from its creation to its end.
    ``overran``: it ended after its target's time limit. ``waits_since`` is the time of its creation, while it has no
    machine and never had one.
    """

    id: str
    name: str
    state: State
    message: str
    link: str
    output: str = ""
    usage: BatchUsage | MachineUsage | None = None
    seconds: float | None = None
    overran: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    waits_since: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether it is over: succeeded, failed or cancelled."""
        return self.state not in ("active", "cancelling")


class RemoteJobs(Protocol):
    """The calls of a service. They raise the errors of ``google.api_core.exceptions``."""

    def find(self, job_id: str) -> RemoteJob | None:
        """The job that was submitted for an attempt; None when there is none."""

    def of_run(self, run: str) -> list[RemoteJob]:
        """The active jobs with the label of a run, of all attempts."""

    def submit(self, job: Job, code: Code) -> RemoteJob:
        """Start the job of an attempt. If the attempt has a job already, return that one."""

    def look(self, name: str) -> RemoteJob:
        """The job in its present state."""

    def cancel(self, name: str) -> None:
        """Cancel the job, unless it has ended or is being cancelled."""


def run_key(dag_id: str, run_id: str) -> str:
    """A run of Airflow as the first part of ``Job.work``."""
    return f"{dag_id}/{run_id}"


def work_key(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """A task of Airflow as ``Job.work``. It tells which task a job belongs to."""
    return f"{run_key(dag_id, run_id)}/{task_id}/{map_index}"


def active(jobs: Iterable[RemoteJob], run: str) -> list[RemoteJob]:
    """The active jobs of a run. A service may list others too."""
    return [job for job in jobs if job.state == "active" and job.labels.get(RUN_LABEL) == run]


def seconds_between(start: Any, end: Any) -> float | None:
    """Seconds between two times that a service reports. None while one is missing."""
    return (end - start).total_seconds() if start and end else None


def beyond(target: GoogleTarget, seconds: float | None) -> bool:
    """Whether a job used up the time limit of its target."""
    return seconds is not None and seconds >= target.timeout_minutes * 60
