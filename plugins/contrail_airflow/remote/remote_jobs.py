"""A job on Google Cloud, whichever service runs it: what is known of it, and what a service is asked.

What is submitted comes from ``contrail.dispatch``; when to do so, from the operator.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from contrail.config.targets import DataprocTarget, VertexTarget
from contrail.dispatch.payload import Code, Job
from contrail.methods.cost import BatchUsage, MachineUsage

# ``cancelling`` has not ended, and no attempt takes it up.
State = Literal["active", "cancelling", "succeeded", "failed", "cancelled"]
GoogleTarget = DataprocTarget | VertexTarget
CONSOLE = "https://console.cloud.google.com"


@dataclass(frozen=True)
class RemoteJob:
    """A job as its service knows it. ``name`` finds it again, ``id`` is its submitter's name for it.

    ``log_uri`` is where its driver's log lies, if anywhere. ``usage`` is what it is billed for, None while the service does
    not say; ``seconds`` from its creation to its end. ``overran``: it ended after its target's time limit.
    """

    id: str
    name: str
    state: State
    message: str
    link: str
    log_uri: str = ""
    usage: BatchUsage | MachineUsage | None = None
    seconds: float | None = None
    overran: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether it is over, however it ended."""
        return self.state not in ("active", "cancelling")


class RemoteJobs(Protocol):
    """What the operator and its trigger ask of a service. Errors are those of ``google.api_core.exceptions``."""

    def find(self, job_id: str) -> RemoteJob | None:
        """The job that was submitted for an attempt; None when there is none."""

    def of_run(self, run: str) -> list[RemoteJob]:
        """The jobs with this ``contrail_run`` that work now, whichever attempts submitted them."""

    def submit(self, job: Job, code: Code) -> RemoteJob:
        """Start it. One that was started for this attempt before is given back instead."""

    def look(self, name: str) -> RemoteJob:
        """How it is now."""

    def cancel(self, name: str) -> None:
        """Ask for its end, unless it has ended or was asked to."""


def run_key(dag_id: str, run_id: str) -> str:
    """A run of Airflow as the first part of ``Job.work``."""
    return f"{dag_id}/{run_id}"


def work_key(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """A task of Airflow as ``Job.work``: for who submits its job, and for who asks whether anybody still wants it."""
    return f"{run_key(dag_id, run_id)}/{task_id}/{map_index}"


def active(jobs: Iterable[RemoteJob], run: str) -> list[RemoteJob]:
    """Those that work for a run; a service may list others too."""
    return [job for job in jobs if job.state == "active" and job.labels.get("contrail_run") == run]


def seconds_between(start: Any, end: Any) -> float | None:
    """Between two moments of a service; None while it has not said both."""
    return (end - start).total_seconds() if start and end else None


def beyond(target: GoogleTarget, seconds: float | None) -> bool:
    """Whether a job took as long as its target lets it."""
    return seconds is not None and seconds >= target.timeout_minutes * 60
