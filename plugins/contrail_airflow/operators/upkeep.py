"""The operator of upkeep, which is of no day."""

from collections.abc import Sequence
from typing import Any

from contrail_airflow.operators.stage import StageOperator


class MaintainOperator(StageOperator):
    """Run ``contrail maintain`` for a pipeline. A retry goes on where a killed attempt stopped.

    Args:
        dry_run: Templated; nothing is removed when it renders to anything.
        **kwargs: As for ``StageOperator``.

    Returns (XCom): its result. ``details`` says what went, place by place.
    """

    template_fields: Sequence[str] = (*StageOperator.template_fields, "dry_run")

    def __init__(self, *, dry_run: str = "", **kwargs: Any) -> None:
        # Messages name the day on which it ran.
        day = "{{ dag_run.run_after.date() }}"
        super().__init__(verb="maintain", partition_from=day, partition_to=day, **kwargs)
        self.dry_run = dry_run

    def command(self, run_id: str) -> list[str]:
        """The arguments of ``contrail`` that do this task."""
        return ["maintain", "--pipeline", self.pipeline, "--json", *(["--dry-run"] if self.dry_run.strip() else [])]
