"""Airflow notifiers that tell people how tasks and runs ended, also by Slack and mail where connected.

Every message is in the task's log and wherever ``contrail.notify.delivery`` keeps it. With a connection
``contrail_slack`` (Slack incoming webhook) or ``contrail_smtp`` (SMTP; the extra ``to`` holds the addresses) it goes
there too. A message that cannot be sent is logged and never fails a task. The cloud's log also has each publication of
the newest day's predictions, and its absence raises an alert.
"""

import asyncio
import logging
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, BaseNotifier
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowTaskTimeout,
    TaskDeferralTimeout,
)

from contrail.config.closed_days import newest_closed
from contrail.config.pipeline import parse_pipeline
from contrail.notify import delivery
from contrail.notify.messages import (
    Message,
    of_deadline,
    of_failure,
    of_no_training,
    of_overtime,
    of_question,
    of_result,
    of_timeout,
)
from contrail_airflow.operators.backfill import BackfillOperator
from contrail_airflow.operators.day import RetrainOperator
from contrail_airflow.operators.ending import RETRYABLE, StageStopped
from contrail_airflow.operators.results import result_of
from contrail_airflow.operators.stage import StageOperator

if TYPE_CHECKING:
    from airflow.sdk import Connection, Context

_log = logging.getLogger(__name__)
SLACK, SMTP = "contrail_slack", "contrail_smtp"


class StageNotifier(BaseNotifier):
    """Report what a stage found, when people should know; for ``on_success_callback``."""

    def notify(self, context: "Context") -> None:
        """Send the message of this task, if there is one."""
        if isinstance(context["task"], StageOperator):
            # First: the alert of a missing day must not depend on what the result says.
            _tell_of_publication(context["task"])
            if message := _of_result(context["task"], context["ti"]):
                self.log.info("%s", message.text())
                deliver(message)


class FailureNotifier(BaseNotifier):
    """Report a failed task of any kind; for ``on_failure_callback``.

    When Airflow has lost the task's process, the DAG processor calls this, without an exception.
    """

    def notify(self, context: "Context") -> None:
        """Send the message of this task."""
        error = context.get("exception")
        told = error.message if isinstance(error, StageStopped) else None  # the task's log has it already
        message = told or _of_failure(context)
        if not told:
            self.log.info("%s", message.text())
        deliver(message)


class DecisionNotifier(BaseNotifier):
    """Report a decision against what a task was to do; for ``on_skipped_callback``. Other skipped tasks are no news."""

    def notify(self, context: "Context") -> None:
        """Send the message of this task, if a stage of it decided."""
        if message := getattr(context["task"], "refusal", None):
            deliver(message)


class QuestionNotifier(BaseNotifier):
    """Report a task that waits for an approver; for ``on_question_callback`` of an ``AskingOperator``."""

    def notify(self, context: "Context") -> None:
        """Send the question, with the place where it is answered."""
        task, instance = context["task"], context["ti"]
        place = f"{instance.log_url.partition('?')[0]}/required_actions"
        message = of_question(_where(task, instance), task.subject, task.response_timeout, place)
        self.log.info("%s", message.text())
        deliver(message)


class RunNotifier(BaseNotifier):
    """Report a run that took too long as a whole; for a DAG's ``on_failure_callback``, in the DAG processor.

    The run's tasks report their own failures.
    """

    def notify(self, context: "Context") -> None:
        """Send the message when Airflow ended the run because it took too long."""
        given: Any = context
        if given.get("reason") == "timed_out":
            instance = given.get("ti")
            where = f"{given['dag'].dag_id} {given['run_id']}"
            deliver(of_timeout(where, given["dag"].dagrun_timeout, instance.log_url if instance else ""))


class DeadlineNotifier(BaseNotifier):
    """Report a run that has missed its deadline; for ``DeadlineAlert``, in the triggerer."""

    def __init__(self, dag_id: str = "", minutes: int = 0, context: "Context | None" = None) -> None:
        super().__init__(context)
        self.dag_id = dag_id
        self.minutes = minutes

    async def async_notify(self, context: "Context") -> None:
        """Send the message; Airflow gives the run in the context."""
        run = dict(context).get("dag_run") or {}
        run_id = run.get("dag_run_id") or run.get("run_id") or "" if isinstance(run, dict) else run.run_id
        await asyncio.to_thread(deliver, of_deadline(f"{self.dag_id} {run_id}".strip(), self.minutes))


def _where(task: Any, instance: Any) -> str:
    if isinstance(task, StageOperator):
        return task.where(instance)
    return f"{instance.dag_id} {instance.task_id} {instance.run_id}"


def _of_failure(context: "Context") -> Message:
    task, instance, error = context["task"], context["ti"], context.get("exception")
    where, link = _where(task, instance), instance.log_url
    if isinstance(error, AirflowTaskTimeout | TaskDeferralTimeout):
        return of_overtime(where, task.execution_timeout if isinstance(error, AirflowTaskTimeout) else None, link)
    if isinstance(error, StageStopped):
        return of_failure(where, error.code, error.said, link)
    said = f"{type(error).__name__}: {error}" if error else "its process was lost: it was killed, or its machine failed"
    if isinstance(task, RetrainOperator):
        return of_no_training(where, said, task.trigger_dag_id, link)
    return of_failure(where, 1 if isinstance(error, AirflowFailException) else RETRYABLE, said, link)


def _of_result(task: StageOperator, instance: Any) -> Message | None:
    if isinstance(task, BackfillOperator):
        return None  # a person started it, and reads its report
    result = result_of(instance, task.task_id, task.verb)
    return of_result(_where(task, instance), task.pipeline, result.details, instance.log_url) if result else None


def _tell_of_publication(task: StageOperator) -> None:
    """Log the publication of the newest day's predictions. People get no message of it, but its absence raises an alert.

    Older days that are made again say nothing of today's.
    """
    if task.verb != "score":
        return
    where = {"pipeline": task.pipeline, "table": "predictions", "from": task.partition_from, "to": task.partition_to}
    try:
        spec = parse_pipeline(task.pipeline).spec
        if date.fromisoformat(task.partition_to) >= newest_closed(spec, datetime.now(UTC)):
            delivery.log_entry({"kind": "published", **where})
    except Exception as error:  # like a message, it never fails a task
        _log.warning("The publication could not be logged: %s", error)


def deliver(message: Message) -> list[str]:
    """Send a message to every channel, and return the names of the channels that took it."""
    return delivery.deliver(message, ((SLACK, _to_slack), (SMTP, _to_mail)))


def _connection(name: str) -> "Connection | None":
    try:
        return BaseHook.get_connection(name)
    except AirflowNotFoundException:
        return None


def _to_slack(message: Message) -> bool:
    if _connection(SLACK) is None:
        return False
    from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

    SlackWebhookHook(slack_webhook_conn_id=SLACK).send_text(message.text())
    return True


def _to_mail(message: Message) -> bool:
    connection: Any = _connection(SMTP)
    if connection is None:
        return False
    from html import escape

    from airflow.providers.smtp.hooks.smtp import SmtpHook

    if not (to := connection.extra_dejson.get("to")):
        raise ValueError(f'the connection {SMTP} has no receiver: set its extra to {{"to": "team@example.org"}}')
    body = f"<pre>{escape(message.text())}</pre>"
    with SmtpHook(smtp_conn_id=SMTP) as hook:
        hook.send_email_smtp(to=to, subject=message.title, html_content=body)
    return True
