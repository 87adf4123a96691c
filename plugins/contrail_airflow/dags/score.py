"""The DAG ``score``: the predictions of a day, as soon as its features are published."""

from functools import partial

from airflow.sdk import DAG, PartitionedAssetTimetable

from contrail.config.pipeline import parse_pipeline
from contrail_airflow.dags.policy import DAY, RUN_DAY, asset, dag, day_form, days_before, publish, stage


def score(pipeline: str) -> DAG:
    """Score → publish, for each day whose features are new; publish only where analysts have a warehouse."""
    spec = parse_pipeline(pipeline).spec
    after_features = PartitionedAssetTimetable(assets=asset(spec, "features"))
    # Where late data cause new scores for past days, the analysts get those days with this one.
    back = spec.schedule.late_days if spec.score.late_data == "rescore" else 0
    first = "{{ days_before(" + RUN_DAY + ", " + str(back) + ") }}"
    with dag(
        spec, "score", stages=["score"],
        schedule=after_features, max_active_runs=2, **day_form(spec, days_before=partial(days_before, "publish")),
    ) as made:  # fmt: skip
        predictions = stage(spec, "score", outlets=[asset(spec, "predictions")])
        predictions >> publish(spec, first, DAY)
    return made
