"""The promotion that waits for an approver, and what the answer means for the stage."""

from collections.abc import Mapping, Sequence
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


class PromoteOperator(StageOperator):
    """Run ``contrail promote``. Where the gate needs a person, first wait for an approver, without a worker.

    The task that waits also promotes, and it takes only the answer that Airflow itself has kept. A person who may
    clear a task may also write its XCom or mark it as done, and neither is an answer (docs/adr/0013). The task promotes
    the version that the question named. It refuses a candidate that nobody has answered for in time.

    Args:
        ask_if: Templated. The task waits for an approver unless this renders to nothing.
        subject: Templated; the question.
        body: Templated; the evidence, in Markdown.
        response_timeout: How long the task waits for an answer.
        **kwargs: As for ``StageOperator``.
    """

    template_fields: Sequence[str] = (*StageOperator.template_fields, "ask_if", "subject", "body")

    def __init__(
        self,
        *,
        ask_if: str,
        subject: str,
        body: str,
        response_timeout: timedelta,
        options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        # Until an answer comes, the approval is `none`. Without it, the command would be a person's own approval.
        super().__init__(options={**(options or {}), "approval": "none"}, **kwargs)
        self.ask_if = ask_if
        self.subject = subject
        self.body = body
        self.response_timeout = response_timeout

    @tells
    def execute(self, context: "Context") -> dict[str, Any]:
        """Ask, or promote at once.

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
        raise TaskAwaitingInput(
            method_name=self.answered.__name__, timeout=self.response_timeout, kwargs={"options": self.options}
        )

    @tells
    def answered(self, context: "Context", event: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
        """Promote or refuse as the approver answered. Refuse when nobody answered in time."""
        self.options = {**options, **answer(event)}
        return self.finished(context, self._dispatch(self.job(context)))


def answer(event: Mapping[str, Any]) -> dict[str, str]:
    """The options of ``contrail promote`` for an answer. ``event`` is the answer as Airflow has kept it."""
    user = event["responded_by_user"]
    approved = user is not None and list(event["chosen_options"]) == [APPROVE]
    person = user["name"] if user else "nobody, in time"
    reason = (event["params_input"] or {}).get("reason", "")
    return {"approval": "approved" if approved else "refused", "person": person, "reason": reason}
