"""The DAG ``maintain``: once a week, what nothing needs any more goes."""

from airflow.sdk import DAG, CronTriggerTimetable, Param

from contrail.config.pipeline import parse_pipeline
from contrail_airflow.dags.policy import dag, start
from contrail_airflow.operators.upkeep import MaintainOperator


def maintain(pipeline: str) -> DAG:
    """One task, on a schedule that goes on after the pipeline's last day: trainings and backfills of its days do too."""
    spec = parse_pipeline(pipeline).spec
    cron = spec.schedule.maintain
    dry_run = Param(
        False, type="boolean", title="Dry run", description="Say what would go and how much, and remove nothing."
    )
    with dag(
        spec, "maintain", stages=[],
        schedule=CronTriggerTimetable(cron, timezone=spec.timezone) if cron else None,
        start_date=start(spec), max_active_runs=1, params={"dry_run": dry_run},
    ) as made:  # fmt: skip
        MaintainOperator(task_id="maintain", pipeline=pipeline, dry_run="{{ 'yes' if params.dry_run else '' }}")
    return made
