"""A stage that waits for an approver's answer, without a worker, before it does its work."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param
from airflow.sdk.exceptions import TaskAwaitingInput
from airflow.sdk.execution_time.hitl import upsert_hitl_detail

from contrail_airflow.operators.stage import StageOperator, tells
from contrail_airflow.roles import APPROVERS

if TYPE_CHECKING:
    from airflow.sdk import Context

APPROVE, REFUSE = "Approve", "Refuse"


class AskingOperator(StageOperator):
    """Run a stage after an approver has answered.

    The task that waits also does the work, and it takes only the answer that Airflow itself has kept. A person who may
    clear a task may also write its XCom or mark it as done, and neither is an answer (docs/adr/0013). The stage gets the
    options of the question, and what ``by_answer`` makes of the answer.

    Args:
        ask_if: Templated. The task waits for an approver unless this renders to nothing.
        subject: Templated; the question.
        body: Templated; the evidence, in Markdown.
        response_timeout: How long the task waits for an answer.
        on_question_callback: Is given the context of a task that has asked.
        **kwargs: As for ``StageOperator``.
    """

    template_fields: Sequence[str] = (*StageOperator.template_fields, "ask_if", "subject", "body")

    def __init__(
        self, *, ask_if: str, subject: str, body: str, response_timeout: timedelta,
        on_question_callback: "Callable[[Context], None] | None" = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.ask_if = ask_if
        self.subject = subject
        self.body = body
        self.response_timeout = response_timeout
        self.on_question_callback = on_question_callback

    def by_answer(self, event: Mapping[str, Any]) -> dict[str, str]:
        """The options of the stage for an answer. ``event`` is the answer as Airflow has kept it."""
        raise NotImplementedError

    @tells
    def execute(self, context: "Context") -> dict[str, Any]:
        """Ask, or do the work at once.

        Raises:
            StageRefused: as for every stage, before anybody is asked.
            TaskAwaitingInput: when it has asked. Airflow calls ``answered`` afterwards.
            AirflowSkipException: as for every stage.
        """
        if not (self.ask_if.strip() and self.skip_unless.strip()):
            return super().execute(context)
        self.check_given()
        why = "Why you decide so, for the record. Both buttons wait for it."
        upsert_hitl_detail(
            ti_id=context["ti"].id,
            subject=self.subject,
            body=self.body,
            options=[APPROVE, REFUSE],
            defaults=[REFUSE],
            params={"reason": Param("", type="string", title="Reason", description=why).serialize()},
            assigned_users=[{"id": name, "name": name} for name in APPROVERS],
        )
        if self.on_question_callback:
            try:
                self.on_question_callback(context)
            except Exception:  # a message that cannot be sent fails no task
                self.log.exception("The question could not be told")
        raise TaskAwaitingInput(
            method_name=self.answered.__name__, timeout=self.response_timeout, kwargs={"options": self.options}
        )

    @tells
    def answered(self, context: "Context", event: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
        """Go on as the approver answered, with the options of the question."""
        self.options = {**options, **self.by_answer(event)}
        return self.finished(context, self._dispatch(self.job(context)))


def approver_of(event: Mapping[str, Any]) -> str | None:
    """Who has approved; None where somebody refused, or nobody answered in time."""
    user = event["responded_by_user"]
    return user["name"] if user is not None and list(event["chosen_options"]) == [APPROVE] else None


def reason_of(event: Mapping[str, Any]) -> str:
    """The reason that came with an answer; empty without one."""
    return (event["params_input"] or {}).get("reason", "")
