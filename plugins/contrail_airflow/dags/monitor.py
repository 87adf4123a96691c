"""The DAG ``monitor``: how a day's features and the newest labels look, and whether to train again."""

from functools import partial

from airflow.sdk import DAG, PartitionedAssetTimetable

from contrail.config.pipeline import parse_pipeline
from contrail_airflow.dags.policy import DAY, RUN_DAY, asset, dag, day_form, days_before, publish, stage
from contrail_airflow.operators.day import DayOperator, RetrainOperator
from contrail_airflow.operators.results import result_of

_DECIDED_SO = "result_of(ti, 'govern').details.decision == 'retrain'"


def monitor(pipeline: str) -> DAG:
    """Drift and performance → govern → retrain, and → publish, for each day whose predictions are new."""
    spec = parse_pipeline(pipeline).spec
    after_predictions = PartitionedAssetTimetable(assets=asset(spec, "predictions"))
    days, back = spec.label.mature_after_days, spec.measured_again_days
    first = "{{ days_before(" + RUN_DAY + ", " + str(days + back) + ") }}"
    with dag(
        spec, "monitor", stages=["drift", "performance"],
        schedule=after_predictions, max_active_runs=2,
        **day_form(spec, days_before=partial(days_before, "performance"), result_of=result_of),
    ) as made:  # fmt: skip
        drift = stage(spec, "drift")
        # Up to the day itself: those that wait for labels are estimated.
        performance = stage(spec, "performance", partition_from=first, options={"only_stale": True})
        # One day at a time: each must see what the others decided.
        govern = stage(spec, "govern", operator=DayOperator, max_active_tis_per_dag=1)
        retrain = RetrainOperator(
            task_id="retrain",
            trigger_dag_id=f"{spec.name}__train",
            trigger_run_id="governor__" + DAY,
            conf={"as_of": DAY},
            logical_date=None,
            skip_when_already_exists=True,
            skip_unless="{{ 'yes' if " + _DECIDED_SO + " else '' }}",
        )
        [drift, performance] >> govern >> retrain
        for published in publish(spec, first, DAY):
            [drift, performance] >> published
    return made
