"""A task that waits for an approver, and what its answer means for the task after it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import AirflowSkipException

from contrail_airflow.roles import APPROVERS

if TYPE_CHECKING:
    from airflow.sdk import Context

APPROVE, REFUSE = "Approve", "Refuse"
TASK_ID = "approve"


class ApprovalOperator(HITLOperator):
    """Show ``body`` to the approvers and wait for one of them; refuse when none has answered in time.

    Not Airflow's operator of this name: there a refusal skips what follows, and here it must be recorded.

    Args:
        skip_unless: Templated; the task is skipped when it renders to nothing.

    Returns (XCom): ``chosen_options``, ``params_input`` with the ``reason``, ``responded_by_user``, ``responded_at``.
    """

    template_fields: Sequence[str] = (*HITLOperator.template_fields, "skip_unless")

    def __init__(self, *, skip_unless: str = "yes", **kwargs: Any) -> None:
        super().__init__(
            options=[APPROVE, REFUSE],
            defaults=[REFUSE],
            assigned_users=[{"id": name, "name": name} for name in APPROVERS],
            **{**kwargs, "execution_timeout": None},
        )
        # Set here, or the form would ask for the DAG's own parameters too.
        why = "Why, for the record. Both buttons wait for it."
        self.params = ParamsDict({"reason": Param("", type="string", title="Reason", description=why)})
        self.skip_unless = skip_unless

    def execute(self, context: "Context") -> Any:
        """Ask, and wait without a worker.

        Raises:
            AirflowSkipException: if ``skip_unless`` rendered to nothing.
        """
        if not self.skip_unless.strip():
            raise AirflowSkipException("no person was asked for")
        return super().execute(context)


def answer(task_instance: Any) -> list[str]:
    """Arguments of ``contrail stage promote`` that say what the approver answered; empty ones when none was asked."""
    given = task_instance.xcom_pull(task_ids=TASK_ID)
    if not given:
        return ["", "", ""]
    approved = list(given["chosen_options"]) == [APPROVE]
    user = given["responded_by_user"]
    person = user["name"] if user else "nobody, in time"
    reason = (given["params_input"] or {}).get("reason", "")
    return [
        f"--approval={'approved' if approved else 'refused'}",
        f"--person={person}",
        f"--reason={reason}" if reason else "",
    ]
