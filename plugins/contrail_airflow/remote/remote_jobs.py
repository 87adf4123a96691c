"""Jobs on Google Cloud through the provider's hooks: find, submit, look, cancel. The same words for each service.

What is submitted comes from ``contrail.dispatch``; when to do so, from the operator.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from tenacity import retry, retry_if_exception, stop_after_delay, wait_random_exponential

from contrail.adapters.google_errors import as_ours
from contrail.config.settings import Settings
from contrail.config.targets import DataprocTarget, VertexTarget
from contrail.dispatch.payload import Code, Job, render_batch, render_custom_job
from contrail.errors import MissingInputError, SpecError
from contrail.methods.cost import BatchUsage, MachineUsage, tier_of

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.types import CustomJob
    from google.cloud.dataproc_v1.types import Batch

# ``cancelling`` has not ended, and no attempt takes it up.
State = Literal["active", "cancelling", "succeeded", "failed", "cancelled"]
GoogleTarget = DataprocTarget | VertexTarget
_CONSOLE = "https://console.cloud.google.com"


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


def jobs_of(target: GoogleTarget, settings: Settings) -> RemoteJobs:
    """The service of a target."""
    return DataprocJobs(target, settings) if isinstance(target, DataprocTarget) else VertexJobs(target, settings)


def run_key(dag_id: str, run_id: str) -> str:
    """A run of Airflow as the first part of ``Job.work``."""
    return f"{dag_id}/{run_id}"


def work_key(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """A task of Airflow as ``Job.work``: for who submits its job, and for who asks whether anybody still wants it."""
    return f"{run_key(dag_id, run_id)}/{task_id}/{map_index}"


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, service_errors()) and advice(error)[0]


# A job that nobody waits for any more costs until its time limit; Airflow gives `on_kill` of a trigger half a minute.
_patiently = retry(
    retry=retry_if_exception(_may_pass),
    wait=wait_random_exponential(multiplier=0.5, max=5),
    stop=stop_after_delay(20),
    reraise=True,
)


class DataprocJobs:
    """Batches of Dataproc Serverless; a batch's id is the job's."""

    def __init__(self, target: DataprocTarget, settings: Settings) -> None:
        from airflow.providers.google.cloud.hooks.dataproc import DataprocHook

        self.target, self.settings = target, settings
        self._hook = DataprocHook(gcp_conn_id=target.connection)
        self._place = {"region": target.region, "project_id": target.project}

    def find(self, job_id: str) -> RemoteJob | None:
        """The batch of an attempt."""
        from google.api_core.exceptions import NotFound

        try:
            return self.look(job_id)
        except NotFound:
            return None

    def of_run(self, run: str) -> list[RemoteJob]:
        """The batches of a run that have not ended."""
        found = self._hook.list_batches(filter=f'labels.contrail_run="{run}"', **self._place)
        return _active(map(self._known, found), run)

    def submit(self, job: Job, code: Code) -> RemoteJob:
        """Create the batch; one with its id is it."""
        from google.api_core.exceptions import AlreadyExists

        batch = render_batch(job, self.target, self.settings.dispatch, code, self.settings.variables)
        with suppress(AlreadyExists):
            self._hook.create_batch(batch=batch, batch_id=job.id, **self._place)
        return self.look(job.id)

    def look(self, name: str) -> RemoteJob:
        """The state of a batch."""
        return self._known(self._hook.get_batch(batch_id=name, **self._place))

    @_patiently
    def cancel(self, name: str) -> None:
        """Cancel the operation that runs the batch."""
        batch = self._hook.get_batch(batch_id=name, **self._place)
        if self._known(batch).state == "active":
            self._hook.get_batch_client(self.target.region).cancel_operation({"name": batch.operation})

    def _known(self, batch: "Batch") -> RemoteJob:
        name = batch.name.rsplit("/", 1)[1]
        states: dict[str, State] = {
            "SUCCEEDED": "succeeded", "FAILED": "failed", "CANCELLED": "cancelled", "CANCELLING": "cancelling",
        }  # fmt: skip
        link = f"{_CONSOLE}/dataproc/batches/{self.target.region}/{name}?project={self.target.project}"
        state = states.get(batch.state.name, "active")
        log, labels = batch.runtime_info.output_uri, dict(batch.labels)
        job = RemoteJob(name, name, state, batch.state_message, link, log, labels=labels)
        if not job.ended:
            return job
        used, seconds = _batch_usage(batch, self.target), _seconds(batch.create_time, batch.state_time)
        return replace(job, usage=used, seconds=seconds, overran=_beyond(self.target, seconds))


class VertexJobs:
    """Custom jobs of Vertex AI, which gives them ids of its own: a job is found by its label."""

    def __init__(self, target: VertexTarget, settings: Settings) -> None:
        from airflow.providers.google.cloud.hooks.vertex_ai.custom_job import CustomJobHook

        self.target, self.settings = target, settings
        self._hook = CustomJobHook(gcp_conn_id=target.connection)
        self._place = {"region": target.region, "project_id": target.project}

    def find(self, job_id: str) -> RemoteJob | None:
        """The custom job with an attempt's label."""
        return next((one for one in self._labelled("contrail_job", job_id) if one.id == job_id), None)

    def of_run(self, run: str) -> list[RemoteJob]:
        """The custom jobs of a run that have not ended."""
        return _active(self._labelled("contrail_run", run), run)

    def _labelled(self, label: str, value: str) -> Iterable[RemoteJob]:
        found = self._hook.list_custom_jobs(
            filter=f'labels.{label}="{value}"', page_size=None, page_token=None, read_mask=None, **self._place
        )
        return map(self._known, found)

    def submit(self, job: Job, code: Code) -> RemoteJob:
        """Create the custom job unless one has its label."""
        if found := self.find(job.id):
            return found
        body = render_custom_job(job, self.target, self.settings.dispatch, code, self.settings.variables)
        return self._known(self._hook.create_custom_job(custom_job=body, **self._place))

    def look(self, name: str) -> RemoteJob:
        """The state of a custom job."""
        return self._known(self._hook.get_custom_job(custom_job=name, **self._place))

    @_patiently
    def cancel(self, name: str) -> None:
        """Cancel a custom job."""
        if self.look(name).state == "active":
            self._hook.cancel_custom_job(custom_job=name, **self._place)

    def _known(self, job: "CustomJob") -> RemoteJob:
        name = job.name.rsplit("/", 1)[1]
        states: dict[str, State] = {
            "JOB_STATE_SUCCEEDED": "succeeded",
            "JOB_STATE_FAILED": "failed",
            "JOB_STATE_EXPIRED": "failed",
            "JOB_STATE_PARTIALLY_SUCCEEDED": "failed",
            "JOB_STATE_CANCELLED": "cancelled",
            "JOB_STATE_CANCELLING": "cancelling",
        }
        project = self.target.project
        link = f"{_CONSOLE}/vertex-ai/locations/{self.target.region}/training/{name}?project={project}"
        seconds = _seconds(job.create_time, job.end_time)
        state = states.get(job.state.name, "active")
        used = _machine_usage(job)
        overran = job.state.name == "JOB_STATE_EXPIRED" or _beyond(self.target, used.seconds if used else None)
        labels = dict(job.labels)
        known = labels.get("contrail_job", "")
        return RemoteJob(known, name, state, job.error.message, link, "", used, seconds, overran, labels)


def _active(jobs: Iterable[RemoteJob], run: str) -> list[RemoteJob]:
    return [job for job in jobs if job.state == "active" and job.labels.get("contrail_run") == run]


def _seconds(start: Any, end: Any) -> float | None:
    """Between two moments of a service; None while it has not said both."""
    return (end - start).total_seconds() if start and end else None


def _beyond(target: GoogleTarget, seconds: float | None) -> bool:
    return seconds is not None and seconds >= target.timeout_minutes * 60


def _batch_usage(batch: "Batch", target: DataprocTarget) -> BatchUsage | None:
    """What an ended batch used, approximately, as its service says; None when it has not said so."""
    if "approximate_usage" not in batch.runtime_info:
        return None
    used = batch.runtime_info.approximate_usage
    return BatchUsage(
        tier=tier_of(target), dcu_seconds=used.milli_dcu_seconds / 1000,
        shuffle_gb_seconds=used.shuffle_storage_gb_seconds, accelerator_type=used.accelerator_type,
        accelerator_seconds=used.milli_accelerator_seconds / 1000,
    )  # fmt: skip


def _machine_usage(job: "CustomJob") -> MachineUsage | None:
    """The machine of an ended custom job from its first running to its end; no seconds when it never ran."""
    if not job.end_time:
        return None
    machine = job.job_spec.worker_pool_specs[0].machine_spec
    return MachineUsage(
        machine_type=machine.machine_type,
        accelerator_type=machine.accelerator_type.name if machine.accelerator_count else "",
        accelerator_count=machine.accelerator_count,
        spot=job.job_spec.scheduling.strategy.name == "SPOT",
        seconds=_seconds(job.start_time, job.end_time) or 0.0,
    )


def service_errors() -> tuple[type[Exception], ...]:
    """What the services, their storage and Airflow's connection to them raise."""
    from airflow.exceptions import AirflowNotFoundException
    from gcsfs.retry import RETRIABLE_EXCEPTIONS, HttpError
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError

    of_storage = (OSError, HttpError, *RETRIABLE_EXCEPTIONS)
    return GoogleAPICallError, RetryError, GoogleAuthError, AirflowNotFoundException, *of_storage


def advice(error: Exception) -> tuple[bool, str]:
    """Whether trying again may help with an error of Google's API or storage, and what to do about it."""
    from airflow.exceptions import AirflowNotFoundException

    if isinstance(error, AirflowNotFoundException):
        return False, "no connection: make the one that the target names, as airflow_settings.yaml does"
    meant, status = as_ours(error), getattr(error, "code", None)
    if isinstance(error, FileNotFoundError) or isinstance(meant, MissingInputError):
        return False, "not found: the environment file names something that is not there"
    if isinstance(meant, SpecError):
        return False, "permission: give the account of Airflow's connection the role that the message names"
    if status == 429 or (status == 400 and "quota" in str(error)):
        return True, "quota: it is used up for now; ask for more, or choose another machine or region"
    if status == 400:
        return False, "the request was refused: see the target in the environment file"
    return True, "the service did not answer as it should"


# What services say of a job that ended without leaving its result: (words, may a retry help, what to do).
_ENDINGS: tuple[tuple[str, bool, str], ...] = (
    (r"permissions?|denied|forbidden|scopes", False, "permission: see what the job's service account may do"),
    (r"preempt(ed|ion)|spot (vm|machine|instance)s?", True, "the spot machine was taken away"),
    (r"quotas?|resource_exhausted|stockout|insufficient", True, "quota or stock: not enough machines now"),
    (r"image", False, "image: is it in Artifact Registry, and may the job's service account read it?"),
    (r"not found|404|no such object", False, "not found: something that the job reads is not there"),
)


def ending(message: str) -> tuple[bool, str]:
    """Whether trying again may help after a job that left no result, by what its service says of it."""
    for words, again, what in _ENDINGS:
        if re.search(rf"\b({words})\b", message, re.IGNORECASE):
            return again, what
    return True, "it ended without leaving a result; the machine may have run out of memory"


def describe(target: GoogleTarget) -> dict[str, Any]:
    """The target as plain values, for a trigger; ``target_from`` is its inverse."""
    return target.model_dump()


def target_from(values: dict[str, Any]) -> GoogleTarget:
    """The target that ``describe`` wrote down."""
    return (DataprocTarget if values["kind"] == "dataproc" else VertexTarget).model_validate(values)
