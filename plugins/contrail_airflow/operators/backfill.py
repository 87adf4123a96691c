"""The operators of a backfill: its parts, and the list of jobs that its plan has for a stage."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from contrail.errors import SpecError
from contrail.files import as_name
from contrail.partitions import Partitions
from contrail_airflow.operators.results import plan_of
from contrail_airflow.operators.stage import NEW_RUN, StageOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class BackfillOperator(StageOperator):
    """Run ``contrail backfill`` for a part of a backfill, or ``contrail difference`` at its end.

    The backfill is named after the run. Every task and every attempt of the run is a part of it. An attempt after a
    killed one continues where the killed one stopped.

    Args:
        verb: A stage; ``plan``, which shows what all chosen stages would do; or ``difference``.
        arguments: Further arguments of ``contrail backfill``, templated; empty ones are left out.
        **kwargs: As for ``StageOperator``.

    Returns (XCom): the plan, or the result of the part.
    """

    template_fields: Sequence[str] = (*StageOperator.template_fields, "arguments")
    take_in = "trigger a new run whose stages begin with `ingest`"  # a run without that stage skips its task

    def __init__(self, *, arguments: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.arguments = list(arguments)

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

    def again(self, code: int) -> str:
        """A wrong day, stage or model comes from the form, so a cleared task would be given it again."""
        return NEW_RUN if code == SpecError.exit_code else super().again(code)

    def said(self, result: dict[str, Any]) -> str:
        """The part that is done."""
        return f"{self.verb} {self.partition_from}..{self.partition_to} of the backfill is done"


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
        """The stage's jobs in the plan. The list is empty when the stage is not chosen, or has nothing to do."""
        if not self.skip_unless.strip():
            return []
        stages = plan_of(context["ti"]).stages
        jobs = [Partitions.from_text(job) for stage in stages if stage.stage == self.stage for job in stage.jobs]
        return [{"partition_from": str(job.start), "partition_to": str(job.end)} for job in jobs]
