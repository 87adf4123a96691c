"""The operators of a day's run beside its stages: late files, the governor, a training that it starts, the analysts' tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk.exceptions import AirflowSkipException

from contrail_airflow.operators.stage import StageOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class PublishOperator(StageOperator):
    """Run ``contrail publish`` for a range of partitions.

    Returns (XCom): its result. ``details`` says what it replaced.
    """


class DayOperator(StageOperator):
    """Run ``contrail govern`` or ``contrail late`` for the run's partition.

    Returns (XCom): its result. ``details`` says what it decided or found.
    """

    def command(self, run_id: str) -> list[str]:
        """The arguments of ``contrail`` that do this task."""
        return self._command(["--on", self.partition_from], run_id)


class RetrainOperator(TriggerDagRunOperator):
    """Start a training run. Skip the task when ``skip_unless``, a template, renders to nothing."""

    template_fields: Sequence[str] = (*TriggerDagRunOperator.template_fields, "skip_unless")

    def __init__(self, *, skip_unless: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.skip_unless = skip_unless

    def execute(self, context: "Context") -> None:
        """Trigger the DAG without waiting for its run.

        Raises:
            AirflowSkipException: if ``skip_unless`` rendered to nothing, or the run exists already.
        """
        if not self.skip_unless.strip():
            raise AirflowSkipException("the governor did not decide to retrain; its task says why")
        super().execute(context)
