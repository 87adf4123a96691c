"""Batches of Dataproc Serverless, through the provider's hook."""

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from contrail.config.settings import Settings
from contrail.config.targets import DataprocTarget
from contrail.dispatch.payload import RUN_LABEL, Code, Job, render_batch
from contrail.methods.cost import BatchUsage, batch_usage, tier_of
from contrail_airflow.remote.remote_jobs import CONSOLE, RemoteJob, State, active, beyond, seconds_between
from contrail_airflow.remote.trouble import patiently

if TYPE_CHECKING:
    from google.cloud.dataproc_v1.types import Batch


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
        found = self._hook.list_batches(filter=f'labels.{RUN_LABEL}="{run}"', **self._place)
        return active(map(self._known, found), run)

    def submit(self, job: Job, code: Code) -> RemoteJob:
        """Create the batch, unless one with its id exists."""
        from google.api_core.exceptions import AlreadyExists

        batch = render_batch(job, self.target, self.settings.dispatch, code, self.settings.variables)
        with suppress(AlreadyExists):
            self._hook.create_batch(batch=batch, batch_id=job.id, **self._place)
        return self.look(job.id)

    def look(self, name: str) -> RemoteJob:
        """The state of a batch."""
        return self._known(self._hook.get_batch(batch_id=name, **self._place))

    @patiently
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
        link = f"{CONSOLE}/dataproc/batches/{self.target.region}/{name}?project={self.target.project}"
        state = states.get(batch.state.name, "active")
        output = _output_page(self.target.project, name)
        job = RemoteJob(name, name, state, batch.state_message, link, output, labels=dict(batch.labels))
        if not job.ended:
            return job
        seconds = seconds_between(batch.create_time, batch.state_time)
        used = _used(batch, self.target, seconds)
        # A batch whose driver could not begin for ten minutes has a shortage or a missing role to tell of, and no limit.
        began = any(one.state.name == "RUNNING" for one in batch.state_history)
        return replace(job, usage=used, seconds=seconds, overran=began and beyond(self.target, seconds))


def _output_page(project: str, name: str) -> str:
    """The page of Cloud Logging with what a batch's driver printed. Runtimes since 3.0 write it nowhere else."""
    asked = (
        'resource.type="cloud_dataproc_batch"',
        f'resource.labels.batch_id="{name}"',
        f'log_name="projects/{project}/logs/dataproc.googleapis.com%2Foutput"',
    )
    return f"{CONSOLE}/logs/query;query={quote(chr(10).join(asked), safe='')}?project={project}"


def _used(batch: "Batch", target: DataprocTarget, seconds: float | None) -> BatchUsage | None:
    """The approximate usage of an ended batch of ``seconds``. None while its service has not reported it.

    Runtimes from 3.0 on report accelerators in fields that this client does not know. Their use is then the target's.
    """
    if "approximate_usage" not in batch.runtime_info:
        return None
    used = batch.runtime_info.approximate_usage
    planned = batch_usage(target, (seconds or 0.0) if used.milli_dcu_seconds else 0.0)
    return BatchUsage(
        tier=tier_of(target), dcu_seconds=used.milli_dcu_seconds / 1000,
        shuffle_gb_seconds=used.shuffle_storage_gb_seconds,
        accelerator_seconds=used.milli_accelerator_seconds / 1000 or planned.accelerator_seconds,
        accelerator_type=used.accelerator_type or planned.accelerator_type,
    )  # fmt: skip
