"""Waiting for a remote job in the triggerer, where a thousand waits cost as much as one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from contrail.config.settings import settings
from contrail_airflow.remote.remote_jobs import RemoteJobs
from contrail_airflow.remote.services import jobs_of, target_from
from contrail_airflow.remote.trouble import advice, service_errors

_POLL_SECONDS = 10.0
# After this many failed looks in a row (half an hour), the trigger stops waiting.
_MAX_TROUBLE = 180


class RemoteJobTrigger(BaseTrigger):
    """Poll a job until it has ended.

    The event is ``{"name", "state", "message"}``, or ``{"name", "trouble"}`` after half an hour of errors. The trigger
    does not give up sooner, because the job runs on whatever its service answers, even after Airflow has lost its role.
    Another triggerer that takes the trigger over polls on. A person who ends the waiting task ends the job.
    """

    def __init__(self, target: dict[str, Any], name: str, poll_seconds: float = _POLL_SECONDS) -> None:
        super().__init__()
        self.target = target
        self.name = name
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments, as the triggerer keeps them."""
        arguments = {"target": self.target, "name": self.name, "poll_seconds": self.poll_seconds}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    def _jobs(self) -> RemoteJobs:
        return jobs_of(target_from(self.target), settings())

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll the job. The hooks are synchronous, so each call has a thread."""
        trouble = 0
        while True:
            try:
                job = await asyncio.to_thread(lambda: self._jobs().look(self.name))
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
