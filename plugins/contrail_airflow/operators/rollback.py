"""The operators of a rollback: its plan, and the rollback itself, for which an approver answers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from contrail.errors import SpecError
from contrail.files import as_name
from contrail_airflow.operators.asking import AskingOperator, approver_of, reason_of
from contrail_airflow.operators.stage import NEW_RUN, StageOperator
from contrail_airflow.roles import APPROVERS

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

_VERB = "rollback-model"
# It is of no day of the pipeline. Messages name the day on which it ran.
_TODAY = "{{ dag_run.run_after.date() }}"


class RollbackPlanOperator(StageOperator):
    """Run ``contrail rollback-model --dry-run``.

    Args:
        **kwargs: As for ``StageOperator``.

    Returns (XCom): the plan, as ``contrail.stages.results.RollbackModelResult``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(verb=_VERB, partition_from=_TODAY, partition_to=_TODAY, **kwargs)

    def _command(self, days: Sequence[str], run_id: str) -> list[str]:
        return [*super()._command((), run_id), "--dry-run"]

    def again(self, code: int) -> str:
        """A wrong version comes from the form, so a cleared task would be given it again."""
        return NEW_RUN if code == SpecError.exit_code else super().again(code)


class RollbackOperator(AskingOperator):
    """Run ``contrail rollback-model`` after an approver has answered. An attempt after a killed one ends what that began.

    Args:
        **kwargs: As for ``AskingOperator``.

    Returns (XCom): what was done, as ``contrail.stages.results.RollbackModelResult``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(verb=_VERB, partition_from=_TODAY, partition_to=_TODAY, **kwargs)

    def _command(self, days: Sequence[str], run_id: str) -> list[str]:
        return super()._command((), run_id)

    def name_of(self, task_instance: Any) -> str:
        """The name of the rollback, the same for each attempt."""
        return as_name(task_instance.run_id)

    def again(self, code: int) -> str:
        """Another champion needs another plan."""
        return NEW_RUN if code == SpecError.exit_code else super().again(code)

    def by_answer(self, event: Mapping[str, Any]) -> dict[str, str]:
        """Who answers for it. The approver's reason counts, and without one that of the form.

        Raises:
            AirflowSkipException: when an approver refused, or nobody answered in time.
        """
        person, reason = approver_of(event), reason_of(event)
        if person is None:
            raise AirflowSkipException(
                f"no approver wanted it. Nothing was changed.{f' Reason: {reason}' if reason else ''}"
            )
        return {"person": person, **({"reason": reason} if reason.strip() else {})}


def has_read(dag_run: "DagRunProtocol", version: str | None, take_back: str | None) -> bool:
    """Whether an approver started this run and named both versions, and so has read the plan; a template macro.

    Whoever may clear a run would otherwise repeat what an approver once wanted. So after that, an approver is asked again.
    """
    named = bool(version and take_back)
    return named and dag_run.triggering_user_name in APPROVERS and not dag_run.clear_number
