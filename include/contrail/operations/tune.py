"""Search for better parameters, and train the best trial as a candidate by the ordinary training.

The search is the stage ``tune``, and the training the stage ``train``. ``promote`` judges the candidate like any other.
"""

from collections.abc import Callable, Mapping

from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.config.tune_spec import OTHER_NAMES, Value
from contrail.partitions import Partitions
from contrail.stages.base import silent
from contrail.stages.details import TuneDetails
from contrail.stages.options import TrainOptions, TuneOptions
from contrail.stages.results import StageResult
from contrail.stages.runner import run_stage
from contrail.stages.tuning.records import StudyFolder


def tune(
    pipeline: str,
    partitions: Partitions,
    options: TuneOptions,
    *,
    run_id: str | None = None,
    progress: Callable[[str], None] = silent,
) -> StageResult[TuneDetails]:
    """Run a study to its end, and train its best trial on the whole range, unless today's parameters are the best.

    The same call again goes on with the study, and trains the same trial only once.

    Args:
        pipeline: Name of the pipeline.
        partitions: The days that the search and the training may read.
        options: As for the stage. Without ``registered`` nothing is trained after the search.
        run_id: Name of the run in the records.
        progress: Takes one line for a person at a time.

    Raises:
        ContrailError: as the stages do. What the study has by then stays.
    """
    found: StageResult[TuneDetails] = run_stage(
        "tune", pipeline, partitions, run_id=run_id, options=options, progress=progress
    )
    details = found.details
    if not (options.registered and details.best) or details.model_version:
        return found
    progress(f"training trial {details.best} on {partitions}, as a candidate")
    trained = run_stage(
        "train",
        pipeline,
        partitions,
        run_id=run_id,
        options=TrainOptions(
            params={**options.params, **own_names(pipeline, details.params)},
            person=options.person,
            reason="; ".join(filter(None, (options.reason, why(details)))),
            parent=details.mlflow_run,
        ),
        progress=progress,
    )
    version = trained.details.model_version
    _keep(pipeline, details, version)
    return found.model_copy(
        update={
            "details": details.model_copy(update={"model_version": version}),
            "seconds": round(found.seconds + trained.seconds, 3),
        }
    )


def why(details: TuneDetails) -> str:
    """Why a candidate was trained, for the record that an approver reads."""
    estimate, low, high = details.gain
    return (
        f"trial {details.best} of the study {details.study}: {details.metric} {details.value:.5f} out of time, better than "
        f"the parameters of then by {estimate:.5f} [{low:.5f}, {high:.5f}]"
    )


def own_names(pipeline: str, params: Mapping[str, Value]) -> dict[str, Value]:
    """Parameters by the names that the pipeline has for them. Under both of its names, XGBoost would get two values."""
    known = load_pipeline(pipeline).spec.train.params
    own = {OTHER_NAMES.get(name, name): name for name in known}
    return {own.get(name, name): value for name, value in params.items()}


def _keep(pipeline: str, details: TuneDetails, version: str | None) -> None:
    folder = StudyFolder(settings(), pipeline, details.study)
    if study := folder.study():
        folder.keep_study(study.model_copy(update={"trained": details.best, "candidate": version}))
