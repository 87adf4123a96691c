"""Custom jobs of Vertex AI, through the provider's hook."""

from collections.abc import Iterable
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
    """Custom jobs of Vertex AI. Vertex AI gives them ids of its own, so their label finds them."""

    def __init__(self, target: VertexTarget, settings: Settings) -> None:
        from airflow.providers.google.cloud.hooks.vertex_ai.custom_job import CustomJobHook

        self.target, self.settings = target, settings
        self._hook = CustomJobHook(gcp_conn_id=target.connection)
        self._place = {"region": target.region, "project_id": target.project}

    def find(self, job_id: str) -> RemoteJob | None:
        """The custom job with an attempt's label."""
        return next((one for one in self._labelled(JOB_LABEL, job_id) if one.id == job_id), None)

    def of_run(self, run: str) -> list[RemoteJob]:
        """The custom jobs of a run that have not ended."""
        return active(self._labelled(RUN_LABEL, run), run)

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

    @patiently
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
        link = f"{CONSOLE}/vertex-ai/locations/{self.target.region}/training/{name}?project={project}"
        seconds = seconds_between(job.create_time, job.end_time)
        state = states.get(job.state.name, "active")
        used = _machine_usage(job)
        overran = job.state.name == "JOB_STATE_EXPIRED" or beyond(self.target, used.seconds if used else None)
        labels = dict(job.labels)
        known = labels.get(JOB_LABEL, "")
        return RemoteJob(known, name, state, job.error.message, link, "", used, seconds, overran, labels)


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
