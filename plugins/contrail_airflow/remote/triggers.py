"""Waiting for a remote job in the triggerer, where a thousand waits cost as much as one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from contrail.config.settings import settings
from contrail_airflow.remote.remote_jobs import RemoteJob, RemoteJobs
from contrail_airflow.remote.services import jobs_of, target_from
from contrail_airflow.remote.trouble import advice, service_errors
from contrail_airflow.remote.waiting import end_if_too_long

_POLL_SECONDS = 10.0
# After this many failed looks in a row (half an hour), the trigger stops waiting.
_MAX_TROUBLE = 180


class RemoteJobTrigger(BaseTrigger):
    """Poll a job until it has ended.

    The event is ``{"name", "state", "message"}``, or ``{"name", "trouble"}`` after half an hour of errors. The trigger
    does not give up sooner, because the job runs on whatever its service answers, even after Airflow has lost its role.
    Another triggerer that takes the trigger over polls on. A person who ends the waiting task ends the job. A job that
    waits too long for a machine is cancelled, and its end waited for; ``folder`` is the job's.
    """

    def __init__(
        self, target: dict[str, Any], name: str, poll_seconds: float = _POLL_SECONDS, folder: str = ""
    ) -> None:
        super().__init__()
        self.target = target
        self.name = name
        self.poll_seconds = poll_seconds
        self.folder = folder

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments, as the triggerer keeps them."""
        arguments = {
            "target": self.target, "name": self.name, "poll_seconds": self.poll_seconds, "folder": self.folder,
        }  # fmt: skip
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    def _jobs(self) -> RemoteJobs:
        return jobs_of(target_from(self.target), settings())

    def _look(self) -> RemoteJob:
        """The job as it is. A trigger of an earlier release has no folder; its job waits as long as its task."""
        jobs = self._jobs()
        job = jobs.look(self.name)
        if self.folder and end_if_too_long(jobs, job, target_from(self.target), self.folder):
            self.log.warning("%s has waited too long for a machine, and is being cancelled", self.name)
        return job

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll the job. The hooks are synchronous, so each call has a thread."""
        trouble = 0
        while True:
            try:
                job = await asyncio.to_thread(self._look)
            except service_errors() as error:
                trouble += 1
                what = advice(error)[1]
                self.log.warning("The state of %s could not be read (%s): %s", self.name, what, error)
                if trouble >= _MAX_TROUBLE:
                    yield TriggerEvent({"name": self.name, "trouble": f"{what}: {error}"})
                    return
            else:
                trouble = 0
                if job.ended:
                    yield TriggerEvent({"name": self.name, "state": job.state, "message": job.message})
                    return
            await asyncio.sleep(self.poll_seconds)

    async def on_kill(self) -> None:
        """Cancel the job, because a person has ended its task. A restart of the triggerer does not call this."""
        await asyncio.to_thread(lambda: self._jobs().cancel(self.name))
