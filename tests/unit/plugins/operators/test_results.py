"""Templates and operators read what tasks have returned as models."""

from types import SimpleNamespace
from typing import Any

import jinja2
import pytest

from contrail.errors import DataError
from contrail.operations.backfill_result import BackfillResult, PlanSummary, StageSummary
from contrail.stages.results import PromoteDetails, StageResult
from contrail_airflow.operators.backfill import JobsOperator
from contrail_airflow.operators.results import plan_of, result_of

JUDGED = StageResult(
    stage="promote", pipeline="toy", partitions="2024-02-10", run_id="r1",
    details=PromoteDetails(
        record="the record", model_name="toy", model_version="3", verdict="waits", champion_before=None, metrics={}
    ),
)  # fmt: skip
SCORE = StageSummary(
    stage="score", jobs=("2024-02-10..2024-02-11", "2024-02-13"), partitions=(), estimated_seconds=None,
    estimated_from="no history yet",
)  # fmt: skip
PLAN = PlanSummary(
    pipeline="toy", partitions="2024-02-10..2024-02-13", days=4, publish="chunk", model="3", models=(),
    stages=(SCORE,), nothing_to_do=False, expected_difference={}, estimated_minutes=None, cost="0 on this machine",
)  # fmt: skip


def instance(**returned: Any) -> Any:
    return SimpleNamespace(xcom_pull=lambda task_ids: returned.get(task_ids))


def rendered(template: str, **returned: Any) -> str:
    """As Airflow renders a template of a DAG with these macros."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=True)
    environment.globals |= {"result_of": result_of, "plan_of": plan_of}
    return environment.from_string(template).render(ti=instance(**returned))


def test_a_template_reads_attributes() -> None:
    asked = "{{ result_of(ti, 'judge', 'promote').details.record }}"
    assert rendered(asked, judge=JUDGED.as_dict()) == "the record"
    assert rendered("{{ plan_of(ti).model }}", plan=BackfillResult(plan=PLAN).as_dict()) == "3"


def test_a_task_has_the_name_of_its_stage_unless_it_is_said() -> None:
    read = result_of(instance(promote=JUDGED.as_dict()), "promote")
    assert read and read.details == JUDGED.details
    with pytest.raises(DataError, match="the result of train is not valid"):
        result_of(instance(train=JUDGED.as_dict()), "train")


def test_a_task_that_was_skipped_has_no_result() -> None:
    assert result_of(instance(judge=None), "judge", "promote") is None


def test_the_jobs_of_a_stage_are_those_of_the_plan() -> None:
    jobs = JobsOperator(task_id="score_jobs", stage="score", skip_unless="yes")
    context: Any = {"ti": instance(plan=BackfillResult(plan=PLAN).as_dict())}
    assert jobs.execute(context) == [
        {"partition_from": "2024-02-10", "partition_to": "2024-02-11"},
        {"partition_from": "2024-02-13", "partition_to": "2024-02-13"},
    ]
    assert JobsOperator(task_id="features_jobs", stage="features", skip_unless="yes").execute(context) == []
