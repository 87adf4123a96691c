"""The results of a run's tasks as the models of ``contrail``, for operators and templates.

Airflow keeps a result as JSON. ``contrail.stages.results`` says what a result holds.
"""

import json
from typing import Any

from contrail.config.validation_errors import parse_json
from contrail.operations.backfill_result import BackfillResult, PlanSummary
from contrail.stages.results import Result, parse_result


def result_of(ti: Any, task_id: str, verb: str = "") -> Result | None:
    """The result of a task of this run; None when it was skipped, or has not ended.

    A template macro: ``{{ result_of(ti, 'govern').details.decision }}``.

    Args:
        ti: The task instance that asks.
        task_id: The task that has run a stage.
        verb: The stage; by default it has the task's name.

    Raises:
        DataError: for a result that another version of Contrail has left.
    """
    returned = ti.xcom_pull(task_ids=task_id)
    return parse_result(verb or task_id, returned) if returned else None


def plan_of(ti: Any) -> PlanSummary:
    """The plan of a backfill, which its task ``plan`` has returned.

    A template macro: ``{{ plan_of(ti).model }}``.
    """
    return parse_json(BackfillResult, json.dumps(ti.xcom_pull(task_ids="plan")), "the result of plan").plan
