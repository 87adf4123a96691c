"""A study in MLflow: its run, and a run below it for each trial. What MLflow lacks after a kill is logged again."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from contrail.adapters import tuning_runs
from contrail.adapters.tuning_runs import STUDY, TrialRun
from contrail.methods.study import StudyRecord, TrialRecord
from contrail.revision import code_revision, lock_hash
from contrail.stages.changes import asked_by
from contrail.stages.tuning.base import Tuning
from contrail.stages.tuning.records import StudyFolder


def begin(tuning: Tuning, folder: StudyFolder, known: Sequence[TrialRecord]) -> StudyRecord:
    """Begin the study, or go on with it. Trials that MLflow lacks are logged.

    Raises:
        EngineError: when MLflow does not answer.
    """
    settings, record = tuning.run.settings, folder.study()
    logged = tuning_runs.logged_trials(settings, record.mlflow_run) if record else None
    if record is None or logged is None:
        record, logged = _begun(tuning, record), set()
        folder.keep_study(record)
    for one in known:
        if one.number not in logged:
            log_trial(tuning, record, one)
    return record


def _begun(tuning: Tuning, before: StudyRecord | None) -> StudyRecord:
    run, plan = tuning.run, tuning.plan
    person, name = asked_by(run), run.pipeline.name
    tags = {
        STUDY: tuning.study,
        "pipeline": name,
        "contrail_run": run.run_id,
        "mlflow.user": person,
        "mlflow.source.name": f"contrail {run.stage}",
        "mlflow.source.type": "JOB",
        "code_revision": code_revision(run.settings.project_path),
        "lock_hash": lock_hash(run.settings.project_path),
        "pipeline_hash": run.pipeline.hash,
        "training_set_md5": tuning.rows_md5,
    }
    params = {
        "metric": plan.metric,
        "folds": len(plan.folds),
        "fold_days": plan.tune.fold_days,
        "window": plan.tune.window,
        "embargo_days": plan.train.embargo_days,
        "searched": " ".join(plan.space),
        "seed": plan.train.seed,
        "workers": tuning.workers,
    }
    made = tuning_runs.begin_study(run.settings, name, f"tune {run.partitions}", tags, params)
    if before is not None:
        return before.model_copy(update={"mlflow_run": made})
    return StudyRecord(
        name=tuning.study,
        pipeline=name,
        first=run.partitions.start,
        last=run.partitions.end,
        metric=plan.metric,
        made_of=tuning.made_of,
        begun_at=datetime.now(UTC),
        person=person,
        mlflow_run=made,
    )


def log_trial(tuning: Tuning, study: StudyRecord, trial: TrialRecord) -> None:
    """Log a finished trial."""
    settings, params = tuning.params_of(trial.params)
    metrics = {
        "seconds": trial.cost.seconds,
        "core_seconds": trial.cost.core_seconds,
        "folds": float(len(trial.folds)),
        **({study.metric: trial.value} if trial.whole else {}),
    }
    logged = TrialRun(
        number=trial.number,
        name=f"trial {trial.number}" + ("" if trial.number else ", today's parameters"),
        params={**params, "rounds": settings.rounds, "device": trial.device},
        metrics=metrics,
        by_fold=tuple(fold.value for fold in trial.folds),
        metric=study.metric,
        began=trial.began,
        ended=trial.ended,
    )
    tuning_runs.log_trial(tuning.run.settings, study.pipeline, study.mlflow_run, logged)


def end(tuning: Tuning, study: StudyRecord, found: Mapping[str, float], *, whole: bool) -> None:
    """Log what was found, and end the study's run."""
    tuning_runs.end_study(tuning.run.settings, study.mlflow_run, found, whole=whole)
