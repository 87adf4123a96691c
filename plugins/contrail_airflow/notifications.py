"""Telling people: Airflow notifiers that hand Contrail's messages to a file, and to Slack and mail where connected.

Every message is in the task's log and a line of ``notifications.jsonl`` in Contrail's home; where the environment names
a log of Cloud Logging, it is an entry there, and so is each publication of predictions: alerts are made of them. With
a connection ``contrail_slack`` (Slack incoming webhook) or ``contrail_smtp`` (SMTP; the extra ``to`` holds the
addresses) it is sent there too. A message that cannot be sent is logged and never fails a task.
"""

import asyncio
import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, BaseNotifier
from airflow.sdk.exceptions import AirflowNotFoundException

from contrail.messages import Kind, Message, of_deadline, of_failure, of_result, of_timeout
from contrail.settings import settings
from contrail_airflow.operators import StageOperator, StageStopped

if TYPE_CHECKING:
    from airflow.sdk import Connection, Context

_log = logging.getLogger(__name__)
SLACK, SMTP = "contrail_slack", "contrail_smtp"


class StageNotifier(BaseNotifier):
    """Tell of a stage's end, when it is worth telling; for ``on_success_callback`` and ``on_failure_callback``."""

    def notify(self, context: "Context") -> None:
        """Send the message of this task, if there is one."""
        if message := _of_task(context):
            self.log.info("%s", message.text())
            deliver(message)
        _tell_of_publication(context)


class RunNotifier(BaseNotifier):
    """Tell of a run that took too long as a whole; for a DAG's ``on_failure_callback``, in the DAG processor.

    What its tasks had to say, they have said.
    """

    def notify(self, context: "Context") -> None:
        """Send the message when the run was ended for its time."""
        given: Any = context
        if given.get("reason") == "timed_out":
            instance = given.get("ti")
            where = f"{given['dag'].dag_id} {given['run_id']}"
            deliver(of_timeout(where, given["dag"].dagrun_timeout, instance.log_url if instance else ""))


class DeadlineNotifier(BaseNotifier):
    """Tell of a run that has missed its deadline; for ``DeadlineAlert``, in the triggerer."""

    def __init__(self, dag_id: str = "", minutes: int = 0, context: "Context | None" = None) -> None:
        super().__init__(context)
        self.dag_id = dag_id
        self.minutes = minutes

    async def async_notify(self, context: "Context") -> None:
        """Send the message; Airflow gives the run in the context."""
        run = dict(context).get("dag_run") or {}
        run_id = run.get("dag_run_id") or run.get("run_id") or "" if isinstance(run, dict) else run.run_id
        await asyncio.to_thread(deliver, of_deadline(f"{self.dag_id} {run_id}".strip(), self.minutes))


def _of_task(context: "Context") -> Message | None:
    task, instance = context["task"], context["ti"]
    if not isinstance(task, StageOperator):
        return None
    partitions = task.partition_from if task.partition_from == task.partition_to else (
        f"{task.partition_from}..{task.partition_to}"
    )  # fmt: skip
    where, link = f"{task.pipeline} {task.verb} {partitions}", instance.log_url
    if error := context.get("exception"):
        code, said = (error.code, error.said) if isinstance(error, StageStopped) else (1, str(error))
        return of_failure(where, code, said, link)
    result = instance.xcom_pull(task_ids=task.task_id)
    details = result.get("details", {}) if isinstance(result, dict) else {}
    return of_result(where, task.verb, task.pipeline, details, link)


def _tell_of_publication(context: "Context") -> None:
    """Predictions that were published are everyday news to people, and their absence an alert."""
    task = context["task"]
    if not isinstance(task, StageOperator) or task.verb != "score" or context.get("exception"):
        return
    where = {"pipeline": task.pipeline, "table": "predictions", "from": task.partition_from, "to": task.partition_to}
    try:
        _to_cloud_log({"kind": "published", **where})
    except Exception as error:  # as for messages
        _log.warning("The publication could not be logged: %s", error)


def _to_cloud_log(entry: dict[str, str], severity: str = "INFO") -> bool:
    log = settings().cloud_log
    if log is None:
        return False
    from google.cloud import logging as cloud

    client: Any = cloud.Client
    client(project=log.project).logger(log.name).log_struct(entry, severity=severity)
    return True


def _message_to_cloud_log(message: Message) -> bool:
    trouble = message.kind in (Kind.failure, Kind.refusal, Kind.deadline)
    return _to_cloud_log(message.as_dict(), "ERROR" if trouble else "NOTICE")


def deliver(message: Message) -> list[str]:
    """Hand a message to every channel; the names of those that took it."""
    taken = []
    channels = (("file", _to_file), ("cloud log", _message_to_cloud_log), (SLACK, _to_slack), (SMTP, _to_mail))
    for name, send in channels:
        try:
            if send(message):
                taken.append(name)
        except Exception as error:  # a channel's trouble is never the task's
            _log.warning("The message could not be sent to %s: %s", name, error)
    return taken


def _to_file(message: Message) -> bool:
    path = settings().home_path / "notifications.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **message.as_dict()}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")  # one write: lines of two tasks do not mix
    return True


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
