"""A stage as a job on Google Cloud. A task submits the job or takes up a running one, and later returns its result.

``contrail_airflow.remote`` has the services, and explains their errors.
"""

import logging
from typing import Any, NoReturn

from contrail.config.settings import Settings
from contrail.dispatch.code import publish_code
from contrail.dispatch.outcome import Outcome, read_outcome, read_tail
from contrail.dispatch.payload import RUN_LABEL, TASK_LABEL, Job, labels
from contrail.dispatch.receipts import Receipts
from contrail.errors import ContrailError
from contrail.stages.results import JobCost
from contrail_airflow.operators.ending import SHOWN_LINES, fail, printed_result, stop, teller
from contrail_airflow.remote.costs import JobCosts
from contrail_airflow.remote.remote_jobs import GoogleTarget, RemoteJob, RemoteJobs
from contrail_airflow.remote.services import jobs_of
from contrail_airflow.remote.trouble import advice, ending, service_errors
from contrail_airflow.remote.waiting import minutes_waited, no_machine, waited_too_long


class RemoteRun:
    """One attempt of a task on Google Cloud."""

    def __init__(self, job: Job, target: GoogleTarget, settings: Settings, log: logging.Logger) -> None:
        self._job, self._target, self._settings, self._log = job, target, settings, log
        self._submitted: RemoteJob | None = None
        self._jobs: RemoteJobs | None = None
        self._killed = False

    # ---- before the wait ----

    def start(self) -> RemoteJob:
        """Submit the job, or take up one that runs for this task already.

        Raises:
            StageStopped: when the job was not submitted. It is a ``StageRefused`` where a retry would not help.
        """
        job, kind = self._job, self._target.kind
        try:
            # Airflow may call `on_kill` in the middle of this, and waits only some seconds for it.
            jobs = self._jobs = jobs_of(self._target, self._settings)
            remote = self._running(jobs) or self._submit(jobs)
        except service_errors() as error:
            again, what = advice(error)
            self._stop(again, f"✗ {job.id} was not submitted to {kind}: {what}\n{error}")
        except ContrailError as error:
            self._stop(error.retryable, f"✗ {type(error).__name__}: {error}", error.exit_code)
        self._submitted = remote
        if self._killed:
            jobs.cancel(remote.name)
            said = f"✗ {remote.name} was cancelled: its task was ended while the job was submitted\n{remote.link}"
            self._stop(False, said)
        if remote.id != job.id:
            self._log.info("Taking up %s, which still runs: only the attempt that submitted it was lost", remote.id)
        self._log.info("%s runs: contrail %s\n%s", kind, " ".join(job.command), remote.link)
        return remote

    def _running(self, jobs: RemoteJobs) -> RemoteJob | None:
        """The remote job of this attempt, or a running job that a lost attempt has left.

        Two jobs must never do the same work at once. So this attempt takes up a running job, whatever became of the
        task and the run that submitted it.
        """
        if found := jobs.find(self._job.id):
            return found
        own = labels(self._job, self._settings.dispatch)
        same = {name: own[name] for name in (TASK_LABEL, "partition")}
        return next((one for one in jobs.of_run(own[RUN_LABEL]) if same.items() <= one.labels.items()), None)

    def _submit(self, jobs: RemoteJobs) -> RemoteJob:
        """Start the job, if the budget has room for it."""
        if costs := self._costs():
            costs.reserve(self._job, self._target)
        code = publish_code(self._settings)
        if self._killed:
            self._stop(False, f"✗ {self._job.id} was not submitted to {self._target.kind}: its task was ended")
        return jobs.submit(self._job, code)

    # ---- its end ----

    def end(self) -> None:
        """Cancel the job now, or as soon as it is submitted."""
        self._killed = True
        if self._jobs and self._submitted:
            self._jobs.cancel(self._submitted.name)
        elif self._jobs:
            self._cancel(self._jobs)

    def give_up(self) -> NoReturn:
        """Cancel a job that has not ended in time, and fail its task.

        Raises:
            StageStopped: for a job that still waited for a machine, because no triggerer has cancelled it before.
            StageRefused: for any other job.
        """
        found = self._cancel(jobs_of(self._target, self._settings))
        if found and found.state == "active" and found.waits_since:
            self._stop(True, f"✗ {found.name}: {no_machine(found, self._target, minutes_waited(found))}\n{found.link}")
        own = self._target.timeout_minutes
        limit = f"timeout_minutes ({own}) and {self._target.longest_minutes - own} minutes for machines"
        self._stop(False, f"✗ {self._job.id} had not ended after its target's {limit}, so it is being cancelled")

    def _cancel(self, jobs: RemoteJobs) -> RemoteJob | None:
        """Cancel the remote job of this work, and return it as it was; None without one.

        An error of its service does not stop the task's end.
        """
        found = None
        try:
            if found := self._running(jobs):
                jobs.cancel(found.name)
        except service_errors() as error:
            self._log.warning("%s could not be cancelled: %s\n%s", self._job.id, advice(error)[1], error)
        return found

    # ---- after the wait ----

    def give_back(self, event: dict[str, Any], folder: str) -> dict[str, Any]:
        """The result that the job left in its folder. ``event`` comes from the trigger.

        Raises:
            StageStopped: when the job left an error or nothing. It is a ``StageRefused`` where a retry would not help.
        """
        name = event["name"]
        if trouble := event.get("trouble"):
            self._stop(True, f"✗ the state of {name} could not be read: {trouble}")
        try:
            remote = jobs_of(self._target, self._settings).look(name)
            outcome = read_outcome(folder)
            waited = waited_too_long(remote, folder)
        except service_errors() as error:
            what = advice(error)[1]
            self._stop(True, f"✗ {name} has {event['state']}, but its outcome could not be read: {what}\n{error}")
        self._log.info("%s has %s\n%s", name, event["state"], remote.link)
        cost = self._settle(remote)  # however it ended, it is paid for
        if waited is not None:
            self._stop(True, f"✗ {name}: {no_machine(remote, self._target, waited)}\n{remote.link}")
        outcome = self._checked(outcome, remote, event, folder)
        tell = teller(self._log)
        for line in outcome.said:
            tell(line)
        if outcome.code:
            fail(self._job.stage, outcome.code, outcome.said, remote.link)
        result = printed_result(self._job.stage, outcome.result)
        return {**result, "cost": cost.as_dict()} if cost else result

    def _checked(self, outcome: Outcome | None, remote: RemoteJob, event: dict[str, Any], folder: str) -> Outcome:
        """The outcome of a job whose stage ran to its own end. For any other job, fail the task and say why."""
        name, state = event["name"], event["state"]
        if outcome and (outcome.code < 0 or (state == "failed" and not outcome.code)):
            outcome = None  # a signal ended the stage, or the job failed after it: its service knows why
        if state == "cancelled" and not remote.overran:
            # A task that is cleared while it waits may find its own earlier job, which is being cancelled.
            another = remote.id != self._job.id
            said = f"✗ {name} was cancelled; what it had not published is not visible\n{remote.link}"
            self._stop(another, said)
        if outcome is None:
            again, what = ending(event["message"])
            if remote.overran:
                limit = f"timeout_minutes ({self._target.timeout_minutes})"
                again, what = False, f"it took longer than its target's {limit}"
            last = self._last_lines(folder) or remote.output
            self._stop(again, f"✗ {name}: {what}\n{event['message']}\n{last}\n{remote.link}")
        return outcome

    def _last_lines(self, folder: str) -> str:
        """The last lines that the job left in its folder, or the reason why they cannot be read."""
        try:
            return "\n".join(read_tail(folder, SHOWN_LINES))
        except service_errors() as error:
            return f"(its log could not be read: {error})"

    # ---- shared ----

    def _costs(self) -> JobCosts | None:
        """The costs of the pipeline's remote jobs; None where the environment has no price table."""
        receipts = Receipts.of(self._settings, self._job.pipeline)
        return JobCosts(receipts, jobs_of, self._log) if receipts else None

    def _settle(self, remote: RemoteJob) -> JobCost | None:
        """The cost of an ended job. An error here does not fail the task: a retry would pay for the work again."""
        try:
            return costs.settle(remote) if (costs := self._costs()) else None
        except Exception as error:
            self._log.warning("The cost of %s could not be written down: %s", remote.id, error)
            return None

    def _stop(self, again: bool, said: str, code: int = 1) -> NoReturn:
        stop(self._job.stage, again, said, self._log, code)
