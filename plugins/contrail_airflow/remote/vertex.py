"""Custom jobs of Vertex AI, through the provider's hook."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from contrail.config.settings import Settings
from contrail.config.targets import VertexTarget
from contrail.dispatch.payload import JOB_LABEL, RUN_LABEL, Code, Job, render_custom_job
from contrail.methods.cost import MachineUsage
from contrail_airflow.remote.remote_jobs import CONSOLE, RemoteJob, State, active, beyond, seconds_between
from contrail_airflow.remote.trouble import patiently

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.types import CustomJob


class VertexJobs:
    """Custom jobs of Vertex AI. Vertex AI gives them ids of its own, so their label finds them.

    A target may have places in several regions. A job's name is ``REGION/ID``. Whoever looks for a job asks every region,
    because an earlier attempt may run elsewhere. A region that does not answer fails the search: two jobs must never do
    the same work.
    """

    def __init__(self, target: VertexTarget, settings: Settings) -> None:
        from airflow.providers.google.cloud.hooks.vertex_ai.custom_job import CustomJobHook

        self.target, self.settings = target, settings
        self._hook = CustomJobHook(gcp_conn_id=target.connection)

    def find(self, job_id: str) -> RemoteJob | None:
        """The custom job with an attempt's label."""
        return next((one for one in self._labelled(JOB_LABEL, job_id) if one.id == job_id), None)

    def of_run(self, run: str) -> list[RemoteJob]:
        """The custom jobs of a run that have not ended."""
        return active(self._labelled(RUN_LABEL, run), run)

    def _labelled(self, label: str, value: str) -> Iterator[RemoteJob]:
        for region in self.target.regions:
            found = self._hook.list_custom_jobs(
                filter=f'labels.{label}="{value}"', page_size=None, page_token=None, read_mask=None,
                region=region, project_id=self.target.project,
            )  # fmt: skip
            yield from map(self._known, found)

    def submit(self, job: Job, code: Code) -> RemoteJob:
        """Create the custom job at the place of its attempt, unless one has its label."""
        if found := self.find(job.id):
            return found
        body = render_custom_job(job, self.target, self.settings.dispatch, code, self.settings.variables)
        region = self.target.place(job.attempt).region
        return self._known(self._hook.create_custom_job(custom_job=body, region=region, project_id=self.target.project))

    def look(self, name: str) -> RemoteJob:
        """The state of a custom job."""
        return self._known(self._hook.get_custom_job(**self._called(name)))

    @patiently
    def cancel(self, name: str) -> None:
        """Cancel a custom job."""
        if self.look(name).state == "active":
            self._hook.cancel_custom_job(**self._called(name))

    def _called(self, name: str) -> dict[str, str]:
        region, _, own = name.rpartition("/")
        return {"custom_job": own, "region": region or self.target.region, "project_id": self.target.project}

    def _known(self, job: "CustomJob") -> RemoteJob:
        _, _, _, region, _, own = job.name.split("/")
        states: dict[str, State] = {
            "JOB_STATE_SUCCEEDED": "succeeded",
            "JOB_STATE_FAILED": "failed",
            "JOB_STATE_EXPIRED": "failed",
            "JOB_STATE_PARTIALLY_SUCCEEDED": "failed",
            "JOB_STATE_CANCELLED": "cancelled",
            "JOB_STATE_CANCELLING": "cancelling",
        }
        used, labels = _machine_usage(job), dict(job.labels)
        return RemoteJob(
            id=labels.get(JOB_LABEL, ""),
            name=f"{region}/{own}",
            state=states.get(job.state.name, "active"),
            message=job.error.message,
            link=f"{CONSOLE}/vertex-ai/locations/{region}/training/{own}?project={self.target.project}",
            usage=used,
            seconds=seconds_between(job.create_time, job.end_time),
            overran=job.state.name == "JOB_STATE_EXPIRED" or beyond(self.target, used.seconds if used else None),
            labels=labels,
            waits_since=None if job.start_time else job.create_time,
        )


def _machine_usage(job: "CustomJob") -> MachineUsage | None:
    """The machine of an ended custom job, for the seconds that the job ran: 0 when it never ran."""
    if not job.end_time:
        return None
    machine = job.job_spec.worker_pool_specs[0].machine_spec
    return MachineUsage(
        machine_type=machine.machine_type,
        accelerator_type=machine.accelerator_type.name if machine.accelerator_count else "",
        accelerator_count=machine.accelerator_count,
        spot=job.job_spec.scheduling.strategy.name == "SPOT",
        seconds=seconds_between(job.start_time, job.end_time) or 0.0,
    )
