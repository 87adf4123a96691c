"""The commands of a DAG's tasks as Airflow would run them.

``python -m tests.unit.plugins.dags.rendering`` writes the goldens.
"""

import json
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.sdk.definitions.mappedoperator import MappedOperator

from contrail.config.pipeline import pipeline_names
from contrail.operations.backfill_result import BackfillResult, PlanSummary
from contrail.stages import RANGE_STAGES
from contrail.stages.details import StageDetails
from contrail.stages.results import (
    GovernDetails,
    PromoteDetails,
    RecordedEvidence,
    RollbackModelResult,
    StageResult,
    TrainDetails,
)
from contrail_airflow.dags.backfill import backfill
from contrail_airflow.dags.daily import daily
from contrail_airflow.dags.maintain import maintain
from contrail_airflow.dags.monitor import monitor
from contrail_airflow.dags.replay import replay
from contrail_airflow.dags.rollback import rollback
from contrail_airflow.dags.score import score
from contrail_airflow.dags.train import train
from contrail_airflow.dags.tune import tune
from contrail_airflow.operators.asking import AskingOperator
from contrail_airflow.operators.backfill import JobsOperator

ROLLBACK = RollbackModelResult.model_validate({
    "pipeline": "toy", "bad_version": "3", "to_version": "2", "effective_from": "2024-02-25", "partitions": 4, "rows": 240,
    "jobs": [{"from": "2024-02-26", "to": "2024-02-29", "rows": 240}], "dry_run": True,
})  # fmt: skip
GOLDEN = Path(__file__).parent / "golden"
DAYS = {"flight_delay": "2013-11-01", "bike_demand": "2019-07-01"}


def build_dags(pipeline: str) -> dict[str, Any]:
    """The DAGs of a pipeline by their id, as a DAG file makes them."""
    makers = (daily, score, monitor, train, tune, backfill, replay, rollback, maintain)
    return {dag.dag_id: dag for dag in (make(pipeline) for make in makers)}


def _returned(decision: Any) -> dict[str, Any]:
    """What the tasks of a run have returned, as Airflow keeps it."""
    details: dict[str, StageDetails] = {
        "govern": GovernDetails(
            decision=decision, trigger=None, model_version=None, reasons=(), evidence=RecordedEvidence()
        ),
        "train": TrainDetails(
            model_name="toy", model_version="3", mlflow_run="", rounds=1, device="cpu", workers=1, training_set_md5="",
            model_sha256="", validation={}, baselines={},
        ),
        "judge": PromoteDetails(
            record="the record", model_name="toy", model_version="3", verdict="waits", champion_before=None, metrics={}
        ),
    }  # fmt: skip
    of = {"pipeline": "toy", "partitions": "2024-01-05", "run_id": "RUN"}
    plan = PlanSummary(
        pipeline="toy", partitions="2024-01-05", days=1, publish="whole", model="3", models=(), stages=(),
        nothing_to_do=False, expected_difference={}, estimated_minutes=None, cost="",
    )  # fmt: skip
    results = {task: StageResult(stage=task, details=found, **of).as_dict() for task, found in details.items()}
    return {**results, "plan": BackfillResult(plan=plan).as_dict()}


def render(
    dag: Any, decision: str = "retrain", answered: Any = None, run_id: str = "scheduled__x", person: str = "scientist",
    judged: bool = True, **params: Any,
) -> str:  # fmt: skip
    """A line for each task: its id, and its command or that it is skipped.

    The run is of the pipeline's day above, at 02:00 in New York, when a scheduled training run begins.
    """
    pipeline, _, suffix = dag.dag_id.partition("__")
    day = DAYS[pipeline]
    forms: dict[str, dict[str, Any]] = {
        "backfill": {"from": day, "to": day, "stages": list(RANGE_STAGES)},
        "replay": {"rows": "_file,_line\n", "reason": "misspelt"},
        "rollback": {"reason": "mistake"},
    }
    given = forms.get(suffix, {})
    returned = _returned(decision)
    if suffix == "rollback":
        returned["plan"] = ROLLBACK.as_dict()
    if run_id.startswith("governor__"):
        del returned["govern"]
    if not judged:
        del returned["judge"]
    context = {
        "partition_key": day,
        "run_id": run_id,
        "params": {**dag.params.dump(), **given, **params},
        "dag_run": SimpleNamespace(
            run_after=datetime.fromisoformat(f"{day}T06:00:00+00:00"), triggering_user_name=person, clear_number=0
        ),
        "ti": SimpleNamespace(xcom_pull=lambda task_ids: returned.get(task_ids)),
    }
    lines = []
    for task in dag.tasks:
        if isinstance(task, JobsOperator):
            continue
        if isinstance(task, MappedOperator):  # one job, of the day
            chosen = context["params"]
            jobs = task.task_id in chosen["stages"] and not chosen["dry_run"]
            task = task.unmap({"partition_from": day, "partition_to": day, "skip_unless": "yes" if jobs else ""})
        task.render_template_fields(context)
        if isinstance(task, AskingOperator) and task.ask_if.strip() and task.skip_unless.strip():
            lines.append(_question(task))
            task.options |= task.by_answer(answered) if answered else {}
        command = _SHOWN[task.task_id](task) if task.task_id in _SHOWN else " ".join(["contrail", *task.command("RUN")])
        lines.append(f"{task.task_id}: {command if task.skip_unless.strip() else '(skipped)'}\n")
    return "".join(lines)


def _trigger(task: Any) -> str:
    return f"airflow dags trigger {task.trigger_dag_id} --run-id {task.trigger_run_id} --conf {json.dumps(task.conf)}"


def _question(task: AskingOperator) -> str:
    return f"{task.task_id}: airflow waits {task.response_timeout}: {task.subject} {task.body}\n"


_SHOWN = {"retrain": _trigger}


def main() -> None:
    """Write a golden file for each DAG."""
    GOLDEN.mkdir(exist_ok=True)
    for name in pipeline_names():
        for dag_id, dag in build_dags(name).items():
            (GOLDEN / f"{dag_id}.txt").write_text(render(dag))


if __name__ == "__main__":
    main()
