"""The promotion that waits for an approver, and what the answer means for the stage."""

from collections.abc import Mapping
from typing import Any

from contrail_airflow.operators.asking import AskingOperator, approver_of, reason_of


class PromoteOperator(AskingOperator):
    """Run ``contrail promote``. Where the gate needs a person, first wait for an approver.

    The task promotes the version that the question named. It refuses a candidate that nobody has answered for in time.

    Args:
        **kwargs: As for ``AskingOperator``.
    """

    def __init__(self, *, options: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        # Until an answer comes, the approval is `none`. Without it, the command would be a person's own approval.
        super().__init__(options={**(options or {}), "approval": "none"}, **kwargs)

    def by_answer(self, event: Mapping[str, Any]) -> dict[str, str]:
        """Approved or refused, by whom and why. Refused when nobody answered in time."""
        user = event["responded_by_user"]
        person = user["name"] if user else "nobody, in time"
        return {
            "approval": "approved" if approver_of(event) else "refused",
            "person": person,
            "reason": reason_of(event),
        }
