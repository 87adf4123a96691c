"""Search for better parameters, and train the best trial as a candidate by the ordinary training.

The search is the stage ``tune``, and the training the stage ``train``. ``promote`` judges the candidate like any other.
"""

from collections.abc import Callable, Mapping
from typing import Any

from contrail.adapters.tuning_runs import versions_below
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.config.tune_spec import OTHER_NAMES, Value
from contrail.config.validation_errors import parse_json
from contrail.files import write_whole
from contrail.methods.decision_record import REQUEST, TrainingRequest
from contrail.partitions import Partitions
from contrail.reports.tuning import with_candidate
from contrail.stages.base import silent
from contrail.stages.details import TuneDetails
from contrail.stages.options import TrainOptions, TuneOptions
from contrail.stages.results import StageResult
from contrail.stages.runner import run_stage
from contrail.stages.tuning.records import StudyFolder, study_lock


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
    params = {**options.params, **own_names(pipeline, details.params)}
    seconds = found.seconds
    # Another command may have trained the trial since the search let the study go, or was killed before it said so.
    with study_lock(settings(), pipeline, details.study):
        version = _trained_before(pipeline, details, params)
        if version is None:
            progress(f"training trial {details.best} on {partitions}, as a candidate")
            trained = run_stage(
                "train",
                pipeline,
                partitions,
                run_id=run_id,
                options=TrainOptions(
                    params=params,
                    person=options.person,
                    reason="; ".join(filter(None, (options.reason, why(details)))),
                    parent=details.mlflow_run,
                ),
                progress=progress,
            )
            version, seconds = trained.details.model_version, round(seconds + trained.seconds, 3)
        _keep(pipeline, details, version)
    return found.model_copy(
        update={"details": details.model_copy(update={"model_version": version}), "seconds": seconds}
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


def _trained_before(pipeline: str, details: TuneDetails, params: Mapping[str, Any]) -> str | None:
    """The version that was trained with the parameters of the best trial, by the study's record or by the registry."""
    study = StudyFolder(settings(), pipeline, details.study).study()
    if study and study.candidate and study.trained == details.best:
        return study.candidate
    for one in versions_below(settings(), pipeline, details.mlflow_run):
        asked = one.tags.get(REQUEST)
        if asked and parse_json(TrainingRequest, asked, f"the tag {REQUEST}").parameters == params:
            return one.version
    return None


def _keep(pipeline: str, details: TuneDetails, version: str | None) -> None:
    """Let the study's record and its page name the version."""
    folder = StudyFolder(settings(), pipeline, details.study)
    if study := folder.study():
        folder.keep_study(study.model_copy(update={"trained": details.best, "candidate": version}))
    if version and folder.page.exists():
        page = with_candidate(folder.page.read_text(encoding="utf-8"), version, details.best)
        write_whole(folder.page, page.encode())
