"""Jobs on Google Cloud through the provider's hooks: find, submit, look, cancel. The same five words for each service.

What is submitted comes from ``contrail.dispatch``; when to do so, from the operator.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from contrail.dispatch.payload import Code, Job, render_batch, render_custom_job
from contrail.settings import Settings
from contrail.targets import DataprocTarget, VertexTarget

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.types import CustomJob
    from google.cloud.dataproc_v1.types import Batch

State = Literal["active", "succeeded", "failed", "cancelled"]
GoogleTarget = DataprocTarget | VertexTarget
_CONSOLE = "https://console.cloud.google.com"


@dataclass(frozen=True)
class RemoteJob:
    """A job as its service knows it. ``name`` finds it again; ``log_uri`` is where its driver's log lies, if anywhere."""

    name: str
    state: State
    message: str
    link: str
    log_uri: str = ""


class RemoteJobs(Protocol):
    """What the operator and its trigger ask of a service. Errors are those of ``google.api_core.exceptions``."""

    def find(self, job: Job) -> RemoteJob | None:
        """The job that was submitted for this attempt; None when there is none."""

    def submit(self, job: Job, code: Code) -> RemoteJob:
        """Start it. One that was started for this attempt before is given back instead."""

    def look(self, name: str) -> RemoteJob:
        """How it is now."""

    def cancel(self, name: str) -> None:
        """Ask for its end."""


def jobs_of(target: GoogleTarget, settings: Settings) -> RemoteJobs:
    """The service of a target."""
    return DataprocJobs(target, settings) if isinstance(target, DataprocTarget) else VertexJobs(target, settings)


class DataprocJobs:
    """Batches of Dataproc Serverless; a batch's id is the job's."""

    def __init__(self, target: DataprocTarget, settings: Settings) -> None:
        from airflow.providers.google.cloud.hooks.dataproc import DataprocHook

        self.target, self.settings = target, settings
        self._hook = DataprocHook(gcp_conn_id=target.connection)
        self._place = {"region": target.region, "project_id": target.project}

    def find(self, job: Job) -> RemoteJob | None:
        """The batch of this attempt."""
        from google.api_core.exceptions import NotFound

        try:
            return self.look(job.id)
        except NotFound:
            return None

    def submit(self, job: Job, code: Code) -> RemoteJob:
        """Create the batch; one with its id is it."""
        from google.api_core.exceptions import AlreadyExists

        batch = render_batch(job, self.target, self.settings.dispatch, code, self.settings.variables)
        with suppress(AlreadyExists):
            self._hook.create_batch(batch=batch, batch_id=job.id, request_id=job.id, **self._place)
        return self.look(job.id)

    def look(self, name: str) -> RemoteJob:
        """The state of a batch."""
        batch: Batch = self._hook.get_batch(batch_id=name, **self._place)
        states: dict[str, State] = {"SUCCEEDED": "succeeded", "FAILED": "failed", "CANCELLED": "cancelled"}
        link = f"{_CONSOLE}/dataproc/batches/{self.target.region}/{name}?project={self.target.project}"
        state = states.get(batch.state.name, "active")
        return RemoteJob(name, state, batch.state_message, link, batch.runtime_info.output_uri)

    def cancel(self, name: str) -> None:
        """Cancel the operation that runs the batch."""
        client = self._hook.get_batch_client(self.target.region)
        client.cancel_operation({"name": self._hook.get_batch(batch_id=name, **self._place).operation})


class VertexJobs:
    """Custom jobs of Vertex AI, which gives them ids of its own: a job is found by its label."""

    def __init__(self, target: VertexTarget, settings: Settings) -> None:
        from airflow.providers.google.cloud.hooks.vertex_ai.custom_job import CustomJobHook

        self.target, self.settings = target, settings
        self._hook = CustomJobHook(gcp_conn_id=target.connection)
        self._place = {"region": target.region, "project_id": target.project}

    def find(self, job: Job) -> RemoteJob | None:
        """The custom job with this attempt's label."""
        wanted = f'labels.contrail_job="{job.id}"'
        found = self._hook.list_custom_jobs(
            filter=wanted, page_size=None, page_token=None, read_mask=None, **self._place
        )
        return next((self._known(one) for one in found if one.labels.get("contrail_job") == job.id), None)

    def submit(self, job: Job, code: Code) -> RemoteJob:
        """Create the custom job unless one has its label."""
        if found := self.find(job):
            return found
        body = render_custom_job(job, self.target, self.settings.dispatch, code, self.settings.variables)
        return self._known(self._hook.create_custom_job(custom_job=body, **self._place))

    def look(self, name: str) -> RemoteJob:
        """The state of a custom job."""
        return self._known(self._hook.get_custom_job(custom_job=name, **self._place))

    def cancel(self, name: str) -> None:
        """Cancel a custom job."""
        self._hook.cancel_custom_job(custom_job=name, **self._place)

    def _known(self, job: "CustomJob") -> RemoteJob:
        name = job.name.rsplit("/", 1)[1]
        states: dict[str, State] = {
            "JOB_STATE_SUCCEEDED": "succeeded",
            "JOB_STATE_FAILED": "failed",
            "JOB_STATE_EXPIRED": "failed",
            "JOB_STATE_PARTIALLY_SUCCEEDED": "failed",
            "JOB_STATE_CANCELLED": "cancelled",
        }
        project = self.target.project
        link = f"{_CONSOLE}/vertex-ai/locations/{self.target.region}/training/{name}?project={project}"
        return RemoteJob(name, states.get(job.state.name, "active"), job.error.message, link)


def advice(error: Exception) -> tuple[bool, str]:
    """Whether trying again may help with an error of Google's API, and what to do about it."""
    from google.api_core import exceptions as google

    if isinstance(error, google.Forbidden | google.Unauthorized):
        return False, "permission: give the account of Airflow's connection the role that the message names"
    if isinstance(error, google.NotFound):
        return False, "not found: the environment file names something that is not there"
    if isinstance(error, google.TooManyRequests):
        return True, "quota: it is used up for now; ask for more, or choose another machine or region"
    if isinstance(error, google.BadRequest):
        return False, "the request was refused: see the target in the environment file"
    return True, "the service did not answer as it should"


# What services say of a job that ended without leaving its result: (words, may a retry help, what to do).
_ENDINGS: tuple[tuple[tuple[str, ...], bool, str], ...] = (
    (("preempt", "spot"), True, "the spot machine was taken away"),
    (("quota", "resource_exhausted", "stockout", "insufficient"), True, "quota or stock: not enough machines now"),
    (("permission", "denied", "forbidden"), False, "permission: see what the job's service account may do"),
    (("image",), False, "image: is it in Artifact Registry, and may the job's service account read it?"),
    (("not found", "404", "no such object"), False, "not found: something that the job reads is not there"),
)


def ending(message: str) -> tuple[bool, str]:
    """Whether trying again may help after a job that left no result, by what its service says of it."""
    said = message.lower()
    for words, again, what in _ENDINGS:
        if any(word in said for word in words):
            return again, what
    return True, "it ended without leaving a result; the machine may have run out of memory"


def describe(target: GoogleTarget) -> dict[str, Any]:
    """The target as plain values, for a trigger; ``target_from`` is its inverse."""
    return target.model_dump()


def target_from(values: dict[str, Any]) -> GoogleTarget:
    """The target that ``describe`` wrote down."""
    return (DataprocTarget if values["kind"] == "dataproc" else VertexTarget).model_validate(values)
