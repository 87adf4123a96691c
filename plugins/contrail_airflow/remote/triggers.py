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
# A service that does not answer for so many looks in a row (half an hour) is not waited for any longer.
_MAX_TROUBLE = 180


class RemoteJobTrigger(BaseTrigger):
    """Look at a job until it has ended.

    The event is ``{"name", "state", "message"}``, or ``{"name", "trouble"}`` when the service could not be asked for long:
    the job runs on whatever the service answers, a role that was taken away included, so that it is not given up for less.
    Restarted in another triggerer, it goes on looking; a person who ends the task while it waits ends the job.
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
        """Poll; the hooks are synchronous, so each look is a thread's."""
        trouble = 0
        while True:
            try:
                job = await asyncio.to_thread(lambda: self._jobs().look(self.name))
            except service_errors() as error:
                trouble += 1
                what = advice(error)[1]
                self.log.warning("Could not look at %s (%s): %s", self.name, what, error)
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
        """End the job: a person has ended its task. A restart of the triggerer does not come here."""
        await asyncio.to_thread(lambda: self._jobs().cancel(self.name))
