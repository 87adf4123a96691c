"""The operator of a stage. It runs the command that a person types, here or on Google Cloud.

The environment file says which stage runs where. A stage's own work does not belong here, and neither do the details of
processes and remote jobs.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferralTimeout, TaskDeferred

from contrail.config.settings import PERSON_VARIABLE, settings
from contrail.config.targets import LocalTarget, SparkTarget
from contrail.dispatch.payload import Job, job_folder
from contrail.errors import DataError
from contrail.files import as_name
from contrail.lake.provenance import PIPELINE
from contrail.notify.messages import Message, of_failure
from contrail.stages.flags import check_names, flags
from contrail.stages.results import parse_result
from contrail.stages.sentences import sentence
from contrail_airflow.operators.ending import StageStopped, refuse
from contrail_airflow.operators.lineage import parent_of
from contrail_airflow.operators.local_run import LocalRun
from contrail_airflow.operators.remote_run import RemoteRun
from contrail_airflow.remote.remote_jobs import GoogleTarget, work_key
from contrail_airflow.remote.services import describe, target_from
from contrail_airflow.remote.triggers import RemoteJobTrigger
from contrail_airflow.scheduling.retries import JitteredBackoff

if TYPE_CHECKING:
    from airflow.sdk import Context

Method = TypeVar("Method", bound=Callable[..., Any])
NEW_RUN = "trigger a new run; a cleared task would be given the same again"


def tells(method: Method) -> Method:
    """Have a method of an operator say in the task's log what was kept and what to do, when its stage stops.

    A refusal of the gate is a decision, and no failure: it is on record, and the task is skipped.
    """

    @wraps(method)
    def told(self: "StageOperator", *arguments: Any, **named: Any) -> Any:
        try:
            return method(self, *arguments, **named)
        except StageStopped as stopped:
            context = next(one for one in [*arguments, *named.values()] if isinstance(one, Mapping) and "ti" in one)
            self.tell_failure(context["ti"], stopped)
            if stopped.is_decision:
                self.refusal = stopped.message
                raise AirflowSkipException("the gate refused the candidate; the champion stays") from None
            raise

    return told  # type: ignore[return-value]


def _started_by(dag_run: Any) -> str:
    """The user who has started a run, for the records; the pipeline, of a run that nobody has started."""
    return str(dag_run.triggering_user_name or PIPELINE)


class StageOperator(BaseOperator):
    """Run ``contrail VERB`` for a range of partitions.

    Args:
        verb: The stage.
        pipeline: The pipeline.
        partition_from: First partition, templated; by default the run's partition key.
        partition_to: Last partition, templated; by default the same.
        options: Options of the stage, see ``contrail.stages.options``; templated, and left out where empty.
        required: Options that may not render to nothing, each with what to tell a person then.
        skip_unless: Templated; the task is skipped when it renders to nothing.
        no_partition: The error's text for a run without a partition.

    Returns (XCom): the stage's result, see ``contrail.stages.base.StageResult``. A remote job that has a price adds
    ``cost`` (``amount``, ``estimate``, ``currency``).
    """

    template_fields: Sequence[str] = ("partition_from", "partition_to", "options", "skip_unless")
    # How a mended file comes to the stages after ingest.
    take_in = "clear `ingest` and what follows it, for the rows come from there"
    ui_color = "#e8f1f8"

    def __init__(
        self,
        *,
        verb: str,
        pipeline: str,
        partition_from: str = "{{ partition_key }}",
        partition_to: str = "{{ partition_key }}",
        options: Mapping[str, Any] | None = None,
        required: Mapping[str, str] | None = None,
        skip_unless: str = "yes",
        no_partition: str = "this run has no partition. Give it a day, for example 2013-11-01.",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"retry_policy": JitteredBackoff(), **kwargs})
        check_names(verb, options or {})
        self.verb = verb
        self.pipeline = pipeline
        self.partition_from = partition_from
        self.partition_to = partition_to
        self.options = dict(options or {})
        self.required = dict(required or {})
        self.skip_unless = skip_unless
        self.no_partition = no_partition
        self.refusal: Message | None = None  # what people are told of a decision against what the task was to do
        self._attempt: LocalRun | RemoteRun | None = None
        self._killed = False

    def command(self, run_id: str) -> list[str]:
        """The arguments of ``contrail`` that do this task."""
        partitions = ["--from", self.partition_from, "--to", self.partition_to]
        return self._command(partitions, run_id)

    def _command(self, days: Sequence[str], run_id: str) -> list[str]:
        command = [self.verb, "--pipeline", self.pipeline, *days, "--run-id", run_id, "--json"]
        return [*command, *flags(self.verb, self.options)]

    @tells
    def execute(self, context: "Context") -> dict[str, Any]:
        """Run the command, stream its progress into the task's log, and return its result.

        Raises:
            AirflowSkipException: if ``skip_unless`` rendered to nothing, or the gate refused a candidate.
            StageRefused: for an error that the same call would meet again (data, spec).
            StageStopped: for an error that may pass (a lost commit, a killed process). Airflow retries.
        """
        if not self.skip_unless.strip():
            raise AirflowSkipException(f"this run leaves {self.verb} out")
        self.check_given()
        return self.finished(context, self._dispatch(self.job(context)))

    def check_given(self) -> None:
        """Refuse a run that lacks what the task needs.

        Raises:
            StageRefused: without a partition, or for a required option that rendered to nothing.
        """
        if self.partition_from in ("", "None"):
            refuse(self.verb, f"✗ {self.no_partition}", self.log, NEW_RUN)
        for name, words in self.required.items():
            if not str(self.options.get(name) or "").strip():
                refuse(self.verb, f"✗ {words}", self.log)

    def where(self, task_instance: Any) -> str:
        """The pipeline, the stage and the partitions, for a message."""
        first, last = self.partition_from, self.partition_to
        # After the loss of a task's process, its fields are still templates.
        lost = "{{" in first or first in ("", "None")
        partitions = task_instance.run_id if lost else first if first == last else f"{first}..{last}"
        return f"{self.pipeline} {self.verb} {partitions}"

    def again(self, code: int) -> str:
        """How a person starts the stage again after an error."""
        if self.verb == "validate" and code == DataError.exit_code:
            return f"clear the task; after landing a file, {self.take_in}"
        return "clear the task"

    def tell_failure(self, task_instance: Any, stopped: StageStopped) -> None:
        """Say below the error what was kept and what to do. The message to people says the same."""
        if stopped.message:
            return
        again = stopped.again or self.again(stopped.code)
        stopped.message = of_failure(
            self.where(task_instance), stopped.code, stopped.said, task_instance.log_url, again
        )
        retried = not stopped.refused and task_instance.try_number <= (getattr(task_instance, "max_tries", 0) or 0)
        to_do = "nothing yet; Airflow tries the task again" if retried else stopped.message.to_do
        level = logging.WARNING if stopped.is_decision else logging.ERROR
        self.log.log(level, "What was kept: %s", stopped.message.kept)
        self.log.log(level, "What to do: %s", to_do)

    def finished(self, context: "Context", result: dict[str, Any]) -> dict[str, Any]:
        """Say in one line what was done. Name the partition of an outlet in a run to which Airflow gave none."""
        self.log.info("✓ %s", self.said(result))
        if self.outlets and not context["dag_run"].partition_key:
            for outlet in self.outlets:
                context["outlet_events"][outlet].add_partitions(self.partition_from)
        return result

    def said(self, result: dict[str, Any]) -> str:
        """The result as a sentence. One that cannot be read does not fail a stage that did its work."""
        try:
            return sentence(self.verb, parse_result(self.verb, result))
        except DataError:
            return f"{self.verb} {self.partition_from}..{self.partition_to} is done"

    def job(self, context: "Context") -> Job:
        """The command of this attempt, with the names that distinguish it from every other attempt."""
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
            variables={**parent_of(task_instance), PERSON_VARIABLE: _started_by(context["dag_run"])},
        )

    def name_of(self, task_instance: Any) -> str:
        """The name of this attempt in the provenance."""
        return as_name(f"{task_instance.run_id}-{task_instance.try_number}")

    def _dispatch(self, job: Job) -> dict[str, Any]:
        target = settings().dispatch.target_of(job.pipeline, job.stage)
        if isinstance(target, LocalTarget | SparkTarget):
            local = LocalRun(job, target, self.log)
            self._begin(local)
            return local.run()
        remote = RemoteRun(job, target, settings(), self.log)
        self._begin(remote)
        submitted, described = remote.start(), describe(target)
        folder = job_folder(job.pipeline, submitted.id, settings().dispatch)
        raise TaskDeferred(
            trigger=RemoteJobTrigger(described, submitted.name, folder=folder),
            method_name=self.resume.__name__,
            kwargs={"target": described, "folder": folder},
            timeout=timedelta(minutes=target.longest_minutes),
        )

    def _begin(self, attempt: LocalRun | RemoteRun) -> None:
        self._attempt = attempt
        if self._killed:
            attempt.end()

    def on_kill(self) -> None:
        """End the stage wherever it runs. Readers never see what it has not published."""
        self._killed = True
        if self._attempt:
            self._attempt.end()

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: "Context") -> Any:
        """Continue after a wait. After a wait that was too long, Airflow calls nothing else, so cancel the job here.

        Raises:
            StageRefused: for a wait that was too long.
        """
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            self._give_up(context)
            raise

    @tells
    def _give_up(self, context: "Context") -> None:
        job = self.job(context)
        target = settings().dispatch.target_of(job.pipeline, job.stage)
        if isinstance(target, GoogleTarget):
            RemoteRun(job, target, settings(), self.log).give_up()

    @tells
    def resume(self, context: "Context", event: dict[str, Any], target: dict[str, Any], folder: str) -> dict[str, Any]:
        """The result of the remote job. Airflow calls this when the trigger has fired.

        Raises:
            StageRefused: as for a local stage, for a cancelled job, and for a job that cannot run as it is.
            StageStopped: as for a local stage, and for a job that left no result and may succeed another time.
        """
        run = RemoteRun(self.job(context), target_from(target), settings(), self.log)
        return self.finished(context, run.give_back(event, folder))
