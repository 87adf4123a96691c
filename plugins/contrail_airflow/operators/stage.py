"""The operators that run stages and backfills: the same commands that a person types, here or on Google Cloud.

Which stage runs where is the environment file's. No stage's work belongs here. The command's exit code says whether a
retry can help.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    TaskDeferralTimeout,
    TaskDeferred,
)

from contrail.config.settings import settings
from contrail.config.targets import LocalTarget, SparkTarget
from contrail.dispatch.code import publish_code
from contrail.dispatch.outcome import read_outcome, read_tail
from contrail.dispatch.payload import Job, job_folder, labels, render_process
from contrail.dispatch.receipts import Receipts
from contrail.errors import CommitConflictError, ContrailError
from contrail.files import as_name
from contrail.partitions import Partitions
from contrail.stages.flags import check_names, flags
from contrail_airflow.operators.results import plan_of
from contrail_airflow.operators.stage_process import StageProcess
from contrail_airflow.remote.costs import JobCosts
from contrail_airflow.remote.remote_jobs import (
    GoogleTarget,
    RemoteJob,
    RemoteJobs,
    advice,
    describe,
    ending,
    jobs_of,
    service_errors,
    target_from,
    work_key,
)
from contrail_airflow.remote.triggers import RemoteJobTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class StageStopped(AirflowException):
    """A stage ended with an error. ``code`` is its exit status, ``said`` the last lines that it printed."""

    def __init__(self, verb: str, code: int, said: str, hint: str) -> None:
        super().__init__(f"{verb} stopped with code {code}; {hint}. The lines above say why.")
        self.code = code
        self.said = said


class StageRefused(StageStopped, AirflowFailException):
    """It would end in the same way again, so that Airflow does not retry."""


RETRYABLE = CommitConflictError.exit_code
_ERROR_MARK = "✗"  # Contrail's own error begins with it; progress comes before
SHOWN_LINES = 12
# A job may wait so long for machines before its own time begins.
QUEUE_MINUTES = 60


class StageOperator(BaseOperator):
    """Run ``contrail VERB`` for a range of partitions.

    Args:
        verb: The stage.
        pipeline: The pipeline.
        partition_from: First partition, templated; by default the run's partition key.
        partition_to: Last partition, templated; by default the same.
        options: Options of the stage, see ``contrail.stages.options``; templated, and left out where empty.
        skip_unless: Templated; the task is skipped when it renders to nothing.
        no_partition: What to tell a person whose run has no partition.

    Returns (XCom): the stage's result, see ``contrail.stages.base.StageResult``; with ``cost`` (``amount``, ``estimate``,
    ``currency``) where it ran as a remote job that has a price.
    """

    template_fields: Sequence[str] = ("partition_from", "partition_to", "options", "arguments", "skip_unless")
    ui_color = "#e8f1f8"

    def __init__(
        self,
        *,
        verb: str,
        pipeline: str,
        partition_from: str = "{{ partition_key }}",
        partition_to: str = "{{ partition_key }}",
        options: Mapping[str, Any] | None = None,
        arguments: Sequence[str] = (),
        skip_unless: str = "yes",
        no_partition: str = "this run has no partition. Trigger it with a partition key, for example 2013-11-01.",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_names(verb, options or {})
        self.verb = verb
        self.pipeline = pipeline
        self.partition_from = partition_from
        self.partition_to = partition_to
        self.options = dict(options or {})
        self.arguments = list(arguments)
        self.skip_unless = skip_unless
        self.no_partition = no_partition
        self._end: Callable[[], None] | None = None
        self._killed = False

    def command(self, run_id: str) -> list[str]:
        """The arguments of ``contrail`` that do this task."""
        partitions = ["--from", self.partition_from, "--to", self.partition_to]
        return self._command(partitions, run_id)

    def _command(self, days: Sequence[str], run_id: str) -> list[str]:
        command = [self.verb, "--pipeline", self.pipeline, *days, "--run-id", run_id, "--json"]
        return [*command, *flags(self.verb, self.options), *(a for a in self.arguments if a)]

    def execute(self, context: "Context") -> dict[str, Any]:
        """Run the command, stream its progress into the task's log, and return its result.

        Raises:
            AirflowSkipException: if ``skip_unless`` rendered to nothing.
            StageRefused: for an error that the same call would meet again (data, spec, gate).
            StageStopped: for one that may pass (a lost commit, a killed process); Airflow retries.
        """
        if not self.skip_unless.strip():
            raise AirflowSkipException(f"{self.verb} was not asked for")
        if self.partition_from in ("", "None"):
            raise AirflowFailException(self.no_partition)
        return self._dispatch(self.job(context))

    def job(self, context: "Context") -> Job:
        """The command of this attempt, with what tells it from every other."""
        task_instance, started = context["ti"], context["dag_run"].start_date
        same = f"{self.partition_from}..{self.partition_to}"
        return Job(
            command=tuple(self.command(self.name_of(task_instance))),
            pipeline=self.pipeline,
            stage=self.verb,
            partitions=self.partition_from if self.partition_from == self.partition_to else same,
            run=as_name(task_instance.run_id),
            work=work_key(task_instance.dag_id, task_instance.run_id, task_instance.task_id, task_instance.map_index),
            started=str(started),
            attempt=task_instance.try_number,
        )

    def name_of(self, task_instance: Any) -> str:
        """The name of this attempt in the provenance."""
        return as_name(f"{task_instance.run_id}-{task_instance.try_number}")

    def _dispatch(self, job: Job) -> dict[str, Any]:
        target = settings().dispatch.target_of(job.pipeline, job.stage)
        if isinstance(target, LocalTarget | SparkTarget):
            return self._run_here(job, target)
        return self._run_there(job, target)

    # ---- a process on this machine ----

    def _run_here(self, job: Job, target: LocalTarget | SparkTarget) -> dict[str, Any]:
        payload = render_process(job, target)
        self.log.info("Running: contrail %s", " ".join(job.command))
        process = StageProcess(payload["command"], payload["environment"])
        self._end = process.end
        if self._killed:
            process.end()
        code, lines, printed = process.wait(self._teller())
        if code:
            self._fail(code, lines)
        result = self._result(printed)
        self.log.info("Done: %s", json.dumps(result))
        return result

    def _teller(self) -> Callable[[str], None]:
        """Logs lines; from an error on, as errors."""
        level = logging.INFO

        def tell(line: str) -> None:
            nonlocal level
            level = logging.ERROR if line.startswith(_ERROR_MARK) else level
            self.log.log(level, "%s", line)

        return tell

    def _result(self, printed: str) -> dict[str, Any]:
        """The stage's last line; a stage that says nothing has not kept its promise, and a retry would not help."""
        last = (printed.strip().splitlines() or [""])[-1]
        try:
            result = json.loads(last)
        except json.JSONDecodeError:
            result = None
        if not isinstance(result, dict):
            raise AirflowFailException(f"{self.verb} ended well but its last line is not a JSON object: {last[:200]!r}")
        return result

    def _fail(self, code: int, lines: Sequence[str], link: str = "") -> NoReturn:
        marked = [i for i, line in enumerate(lines) if line.startswith(_ERROR_MARK)]
        # Libraries may have more to say after it, when the process ends.
        shown = lines[marked[-1] :][:SHOWN_LINES] if marked else lines[-SHOWN_LINES:]
        said = "\n".join([*shown, *([link] if link else [])])
        if code == RETRYABLE or code < 0 or code > 128:
            raise StageStopped(self.verb, code, said, "a retry may pass")
        raise StageRefused(self.verb, code, said, "a retry would fail again")

    def on_kill(self) -> None:
        """End the stage, here or there, if it still runs; what it has not published is not visible to anybody."""
        self._killed = True
        if self._end:
            self._end()

    # ---- a job on Google Cloud ----

    def _run_there(self, job: Job, target: GoogleTarget) -> dict[str, Any]:
        """Submit the job, or take up one that runs for this task already, and wait for it in the triggerer."""
        try:
            jobs = jobs_of(target, settings())
            # Airflow asks for the end of a task in the midst of what it does, and waits for it some seconds.
            self._end = partial(self._cancel, jobs, job)
            remote = self._running(jobs, job) or self._submit(jobs, job, target)
        except service_errors() as error:
            again, what = advice(error)
            self._stop(again, f"✗ {job.id} was not submitted to {target.kind}: {what}\n{error}")
        except ContrailError as error:
            self._stop(error.retryable, f"✗ {type(error).__name__}: {error}", error.exit_code)
        self._end = partial(jobs.cancel, remote.name)
        if self._killed:
            self._end()
            self._stop(
                False, f"✗ {remote.name} was cancelled: its task was ended while it was submitted\n{remote.link}"
            )
        if remote.id != job.id:
            self.log.info("Taking up %s: its attempt was lost, the job was not", remote.id)
        self.log.info("%s runs: contrail %s\n%s", target.kind, " ".join(job.command), remote.link)
        described = describe(target)
        raise TaskDeferred(
            trigger=RemoteJobTrigger(described, remote.name),
            method_name=self.resume.__name__,
            kwargs={"target": described, "folder": job_folder(job.pipeline, remote.id, settings().dispatch)},
            timeout=timedelta(minutes=target.timeout_minutes + QUEUE_MINUTES),
        )

    def _submit(self, jobs: RemoteJobs, job: Job, target: GoogleTarget) -> RemoteJob:
        """Start the job, if the budget has room for it."""
        if costs := self._costs():
            costs.reserve(job, target)
        code = publish_code(settings())
        if self._killed:
            self._stop(False, f"✗ {job.id} was not submitted to {target.kind}: its task was ended")
        return jobs.submit(job, code)

    def _costs(self) -> JobCosts | None:
        """The costs of the pipeline's remote jobs; None where the environment has no price table."""
        receipts = Receipts.of(settings(), self.pipeline)
        return JobCosts(receipts, jobs_of, self.log) if receipts else None

    def _running(self, jobs: RemoteJobs, job: Job) -> RemoteJob | None:
        """The remote job of this attempt; or one that still does its work after another attempt has lost it.

        Two at once are never right, so that one which runs is taken up whatever became of its task and of its run.
        """
        if found := jobs.find(job.id):
            return found
        own = labels(job, settings().dispatch)
        same = {name: own[name] for name in ("contrail_task", "partition")}
        return next((one for one in jobs.of_run(own["contrail_run"]) if same.items() <= one.labels.items()), None)

    def _cancel(self, jobs: RemoteJobs, job: Job) -> None:
        """Ask for the end of the remote job of this work, if there is one; no trouble with it stops its task's own end."""
        try:
            if found := self._running(jobs, job):
                jobs.cancel(found.name)
        except service_errors() as error:
            self.log.warning("%s could not be cancelled: %s\n%s", job.id, advice(error)[1], error)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: "Context") -> Any:
        """Go on after a wait. Airflow calls nobody when a wait was too long: then the job is ended here.

        Raises:
            StageRefused: for a wait that was too long.
        """
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            job = self.job(context)
            target = settings().dispatch.target_of(job.pipeline, job.stage)
            if isinstance(target, GoogleTarget):
                self._cancel(jobs_of(target, settings()), job)
                limit = f"timeout_minutes ({target.timeout_minutes}) and {QUEUE_MINUTES} minutes for machines"
                self._stop(False, f"✗ {job.id} had not ended after its target's {limit}: it was asked to")
            raise

    def resume(self, context: "Context", event: dict[str, Any], target: dict[str, Any], folder: str) -> dict[str, Any]:
        """Give back what the remote job left, or say why it ended; Airflow calls this when the trigger has fired.

        Raises:
            StageRefused: as for a stage here; for a job that was cancelled; for one that cannot run as it is.
            StageStopped: as for a stage here; for a job that ended without a result and may pass another time.
        """
        name = event["name"]
        if trouble := event.get("trouble"):
            self._stop(True, f"✗ {name} could not be looked at: {trouble}")
        try:
            remote = jobs_of(target_from(target), settings()).look(name)
            outcome = read_outcome(folder)
        except service_errors() as error:
            self._stop(True, f"✗ {name} has {event['state']}, but could not be looked at: {advice(error)[1]}\n{error}")
        self.log.info("%s has %s\n%s", name, event["state"], remote.link)
        cost = self._settle(remote)  # however it ended, it is paid for
        if outcome and (outcome.code < 0 or (event["state"] == "failed" and not outcome.code)):
            outcome = None  # it was ended by a signal, or after its stage: its service knows why
        if event["state"] == "cancelled" and not remote.overran:
            # A task that is cleared while it waits may find its own earlier job, whose end is on its way.
            another = remote.id != self.job(context).id
            said = f"✗ {name} was cancelled; what it had not published is not visible\n{remote.link}"
            self._stop(another, said)
        if outcome is None:
            again, what = ending(event["message"])
            if remote.overran:
                again, what = False, f"it took longer than its target's timeout_minutes ({target['timeout_minutes']})"
            last = self._last_lines(remote.log_uri, f"{folder}/log.txt")
            self._stop(again, f"✗ {name}: {what}\n{event['message']}\n{last}\n{remote.link}")
        tell = self._teller()
        for line in outcome.said:
            tell(line)
        if outcome.code:
            self._fail(outcome.code, outcome.said, remote.link)
        result = self._result(outcome.result)
        return {**result, "cost": cost} if cost else result

    def _last_lines(self, *logs: str) -> str:
        """The end of the first log that there is; why it cannot be read, where it cannot."""
        try:
            return "\n".join(next(filter(None, (read_tail(log, SHOWN_LINES) for log in logs)), []))
        except service_errors() as error:
            return f"(its log could not be read: {error})"

    def _settle(self, remote: RemoteJob) -> dict[str, Any] | None:
        """The cost of a job that has ended. No trouble with it fails the task: a retry would pay for the work again."""
        try:
            return costs.settle(remote) if (costs := self._costs()) else None
        except Exception as error:
            self.log.warning("The cost of %s could not be written down: %s", remote.id, error)
            return None

    def _stop(self, again: bool, said: str, code: int = 1) -> NoReturn:
        self.log.error("%s", said)
        if again:
            raise StageStopped(self.verb, RETRYABLE, said, "a retry may pass")
        raise StageRefused(self.verb, code, said, "a retry would fail again")


class PublishOperator(StageOperator):
    """Run ``contrail publish`` for a range of partitions.

    Returns (XCom): its result; what was replaced is in ``details``.
    """


class DayOperator(StageOperator):
    """Run ``contrail govern`` or ``contrail late`` for the run's partition.

    Returns (XCom): its result; what was decided or found is in ``details``.
    """

    def command(self, run_id: str) -> list[str]:
        """The arguments of ``contrail`` that do this task."""
        return self._command(["--on", self.partition_from], run_id)


class RetrainOperator(TriggerDagRunOperator):
    """Start a training run; the task is skipped when ``skip_unless``, templated, renders to nothing."""

    template_fields: Sequence[str] = (*TriggerDagRunOperator.template_fields, "skip_unless")

    def __init__(self, *, skip_unless: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.skip_unless = skip_unless

    def execute(self, context: "Context") -> None:
        """Trigger the DAG and go on without waiting for it.

        Raises:
            AirflowSkipException: if ``skip_unless`` rendered to nothing, or the run is there already.
        """
        if not self.skip_unless.strip():
            raise AirflowSkipException("the governor did not decide to retrain; its task says why")
        super().execute(context)


class BackfillOperator(StageOperator):
    """Run ``contrail backfill`` for a part of a backfill, or ``contrail difference`` at its end.

    Every task and every attempt of a run is a part of the one backfill that is named after the run; an attempt after one
    that was killed goes on where that one stopped.

    Args:
        verb: A stage; ``plan``, which shows what all stages asked for would do; or ``difference``.
        **kwargs: As for ``StageOperator``.

    Returns (XCom): the plan, or what was done.
    """

    def command(self, run_id: str) -> list[str]:
        """The arguments of ``contrail`` that do this task."""
        if self.verb == "difference":
            return ["difference", "--pipeline", self.pipeline, "--id", run_id, "--json"]
        range_ = ["--pipeline", self.pipeline, "--from", self.partition_from, "--to", self.partition_to]
        part = [] if self.verb == "plan" else ["--stages", self.verb, "--no-report"]
        return ["backfill", *range_, *part, "--id", run_id, "--json", *(a for a in self.arguments if a)]

    def name_of(self, task_instance: Any) -> str:
        """The name of the backfill, the same for each of its tasks and attempts."""
        return as_name(task_instance.run_id)


class JobsOperator(BaseOperator):
    """The jobs that a backfill's plan has for a stage.

    Args:
        stage: The stage.
        skip_unless: Templated; there are no jobs when it renders to nothing.
        **kwargs: As for every operator.

    Returns (XCom): the arguments of a ``BackfillOperator`` for each.
    """

    template_fields: Sequence[str] = ("skip_unless",)

    def __init__(self, *, stage: str, skip_unless: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stage = stage
        self.skip_unless = skip_unless

    def execute(self, context: "Context") -> list[dict[str, str]]:
        """Read the plan; an empty list when the stage was not asked for, or has nothing to do."""
        if not self.skip_unless.strip():
            return []
        stages = plan_of(context["ti"]).stages
        jobs = [Partitions.from_text(job) for stage in stages if stage.stage == self.stage for job in stage.jobs]
        return [{"partition_from": str(job.start), "partition_to": str(job.end)} for job in jobs]
