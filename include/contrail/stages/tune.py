"""Look for better parameters of XGBoost: a study of trials, each measured on folds out of time.

No version is registered here, and ``pipeline.yaml`` stays as it is. ``contrail.operations.tune`` has the best trial trained
as a candidate. The steps are in ``contrail.stages.tuning``.
"""

from contrail.files import write_whole
from contrail.methods.paired_days import gain
from contrail.methods.study import TODAY, StudyRecord, TrialRecord
from contrail.methods.xgboost_loading import load_xgboost
from contrail.reports.tuning import TuningReport, render
from contrail.stages.base import StageRun, result_of
from contrail.stages.details import TuneDetails
from contrail.stages.options import TuneOptions as Options
from contrail.stages.results import StageResult
from contrail.stages.tuning import log
from contrail.stages.tuning.base import Plan, Tuning, read
from contrail.stages.tuning.price import price_of_second
from contrail.stages.tuning.records import StudyFolder, study_lock
from contrail.stages.tuning.trials import best_of, run_trials, tried

_CONFIDENCE = 0.95


def execute(run: StageRun[Options]) -> StageResult[TuneDetails]:
    """Run the trials that the study lacks, and report what it found.

    The same call again goes on with the same study, as long as rows, settings and libraries are the same. A trial is kept as
    soon as it has ended.

    Raises:
        SpecError: for a wrong parameter, an empty space, or a range too short for the folds.
        MissingInputError: when the range, or a fold, has no labelled rows.
        EngineError: when another command works on the same study.
    """
    load_xgboost(whole=True)  # the importance of parameters needs scikit-learn
    plan = Plan.of(run)
    tuning = read(plan)
    folder = StudyFolder(run.settings, run.pipeline.name, tuning.study)
    with study_lock(run.settings, run.pipeline.name, tuning.study):
        known = folder.trials()
        _tell(tuning, known)
        study = log.begin(tuning, folder, known)
        trials = _run(tuning, folder, study, known)
        return _result(tuning, study, trials, unchanged=len(trials) == len(known))


def _tell(tuning: Tuning, known: list[TrialRecord]) -> None:
    wanted, folds = tuning.plan.tune.trials, tuning.folds
    if not known:
        begins = f"a new study of {wanted} trials"
    elif len(known) < wanted:
        begins = f"{len(known)} of {wanted} trials are done, and the study goes on"
    else:
        begins = f"all of its {len(known)} trials are done"
    tuning.run.progress(f"{tuning.study}: {begins}; {len(tuning.window.rows):,} labelled rows")
    tuning.run.progress(
        f"{len(folds)} folds, which predict {folds[0].fold.test} to {folds[-1].fold.test}; the first trains on "
        f"{folds[0].fold.train}; {tuning.workers} at a time on {tuning.threads} threads of the {tuning.device}"
    )


def _run(tuning: Tuning, folder: StudyFolder, study: StudyRecord, known: list[TrialRecord]) -> list[TrialRecord]:
    """Run what is missing. However this ends, what has ended stays, and MLflow says that the study can go on."""
    trials, whole = list(known), False

    def keep(trial: TrialRecord) -> None:
        folder.keep(trial)
        log.log_trial(tuning, study, trial)
        trials.append(trial)

    try:
        whole = run_trials(tuning, known, keep)
    finally:
        best = best_of(study.metric, trials)
        found = {f"best_{study.metric}": best.value, "trials": float(len(trials))} if best else {}
        log.end(tuning, study, found, whole=whole)
    return sorted(trials, key=lambda one: one.number)


def _result(
    tuning: Tuning, study: StudyRecord, trials: list[TrialRecord], *, unchanged: bool
) -> StageResult[TuneDetails]:
    run, plan = tuning.run, tuning.plan
    best = best_of(study.metric, trials)
    assert best is not None  # trial 0 always runs to its end
    wanted = max(plan.tune.trials, len(trials))  # an earlier call may have asked for more
    today, winner = (next(one for one in trials if one.number == number) for number in (TODAY, best.number))
    found = gain(study.metric, winner.values, today.values, _CONFIDENCE)
    report = TuningReport(
        spec=run.pipeline.spec,
        study=study,
        space=plan.space,
        folds=plan.folds,
        trials=trials,
        wanted=wanted,
        best=best.number,
        gain=found,
        by_fold=[
            gain(study.metric, [own], [other], _CONFIDENCE)
            for own, other in zip(winner.values, today.values, strict=True)
        ],
        importance=tuning.search.importance(tried(tuning, trials)),
        today=tuning.search.place_of(plan.train.params),
        own=tuning.search.values_of(plan.train.params),
        price=price_of_second(run.settings, run.pipeline.name),
    )
    path = StudyFolder(run.settings, run.pipeline.name, study.name).page
    write_whole(path, render(report).encode())
    details = TuneDetails(
        model_name=run.pipeline.name,
        study=study.name,
        trials=len(trials),
        wanted=wanted,
        stopped=sum(one.worse_than is not None for one in trials),
        failed=sum(one.failed is not None for one in trials),
        best=best.number,
        params=winner.params,
        metric=study.metric,
        value=best.value,
        today=today.value,
        gain=(found.estimate, found.low, found.high),
        mlflow_run=study.mlflow_run,
        model_version=study.candidate if study.trained == best.number else None,
    )
    snapshots = {name: id_ for name, id_ in tuning.window.snapshots.items() if id_ is not None}
    return result_of(
        run, details, rows=len(tuning.window.rows), unchanged=unchanged, snapshots=snapshots, reports=[str(path)]
    )
