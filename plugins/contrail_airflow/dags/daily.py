"""The DAG ``daily``: a day's chain up to its features, at the day's cut-off."""

from typing import Any

from airflow.sdk import DAG

from contrail.config.pipeline import parse_pipeline
from contrail_airflow.dags.policy import asset, dag, day_form, stage, start
from contrail_airflow.operators.day import DayOperator
from contrail_airflow.scheduling.priority import EarlierPartitionFirst
from contrail_airflow.scheduling.timetables import ClosedPartitionTimetable


def daily(pipeline: str) -> DAG:
    """Late → ingest → validate → features, for each day of a pipeline; days pass each task in order."""
    spec = parse_pipeline(pipeline).spec
    at_cutoff = ClosedPartitionTimetable(
        spec.schedule.daily, timezone=spec.timezone, key_format="%Y-%m-%d", last=spec.last_partition
    )
    in_order: dict[str, Any] = {"max_active_tis_per_dag": 1, "weight_rule": EarlierPartitionFirst()}
    with dag(
        spec, "daily", stages=["ingest", "validate", "features"],
        schedule=at_cutoff, start_date=start(spec), max_active_runs=2, **day_form(spec),
    ) as made:  # fmt: skip
        late = stage(
            spec, "late", operator=DayOperator, retries=spec.schedule.retries,
            skip_unless="{{ '' if run_id.startswith('backfill__') else 'yes' }}", **in_order,
        )  # fmt: skip
        # A failure with a past day sends its own message, and this day still runs.
        ingest = stage(spec, "ingest", options={"as_of_cutoff": True}, trigger_rule="all_done", **in_order)
        validate = stage(spec, "validate", options={"as_of_cutoff": True}, **in_order)
        features = stage(spec, "features", outlets=[asset(spec, "features")], **in_order)
        late >> ingest >> validate >> features
    return made
