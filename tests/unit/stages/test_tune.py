import json
import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost
from tests.toy_tables import untrained
from upath import UPath

from contrail.adapters import training_runs, tuning_runs
from contrail.adapters.mlflow_store import client
from contrail.config.model_spec import OffsetSpec
from contrail.config.tune_spec import Searched
from contrail.errors import DataError, EngineError, MissingInputError, SpecError
from contrail.locks import locked
from contrail.methods.fit import Method, fit_trees
from contrail.methods.matrices import encode_window, predict
from contrail.methods.paired_days import gain
from contrail.stages import tune
from contrail.stages.sentences import sentence
from contrail.stages.tuning import trial as trials_module
from contrail.stages.tuning.base import Plan, read
from contrail.stages.tuning.records import StudyFolder
from contrail.stages.tuning.trials import best_of, tried

WINDOW = ("2024-01-01", "2024-02-09")
ONE = {"nthread": 1, "rounds": 8}


@pytest.fixture
def ready(prepared):
    return prepared(untrained)


def tuned(toy, **options):
    """Run the stage, with its progress in a list."""
    lines: list[str] = []
    run = toy.stage_run("tune", *WINDOW, **{"params": ONE, "workers": 1, **options})
    return tune.execute(replace(run, progress=lines.append)), lines


def kept(toy, result):
    return StudyFolder(toy.settings, "toy", result.details.study).trials()


def shown(trials):
    """All of the trials that does not depend on the clock."""
    return [
        (one.number, one.params, one.worse_than, [(f.rounds, f.value, f.resampled) for f in one.folds])
        for one in trials
    ]


# ---- what a study finds ----


def test_a_study_has_todays_parameters_first_and_keeps_every_trial_with_its_folds(ready):
    result, lines = tuned(ready)
    trials, details = kept(ready, result), result.details

    assert [one.number for one in trials] == [0, 1, 2, 3, 4]
    assert trials[0].params == {}
    assert all(set(one.params) == {"eta", "max_depth", "max_bin"} for one in trials[1:])
    assert [str(fold.first) for fold in trials[0].folds] == ["2024-01-29", "2024-02-04"]
    assert all(fold.rows and fold.rounds for one in trials for fold in one.folds)
    assert details.trials == details.wanted == 5
    best = best_of("log_loss", trials)
    assert (details.best, details.value) == (best.number, pytest.approx(min(one.value for one in trials if one.whole)))
    assert details.today == trials[0].value
    assert details.gain[0] == pytest.approx(details.today - details.value)
    assert lines[-1].startswith("5 of 5 done. Trial 4, ")
    assert "That was the last." in lines[-1]
    assert f"The best is {details.value:.5f}, trial {details.best}." in lines[-1]


def test_nothing_that_a_fold_learns_from_reaches_the_days_that_it_predicts(ready):
    tuning = read(Plan.of(ready.stage_run("tune", *WINDOW, params=ONE)))
    days = np.repeat(tuning.window.rows.labels.days, tuning.window.rows.labels.rows)
    every = slice(0, len(days))
    for rows in tuning.folds:
        gap = days[rows.test[every]].min() - days[rows.window[every]].max()
        assert gap > np.timedelta64(ready.spec.train.embargo_days, "D")
        assert (rows.window[every] >= (rows.fit[every] | rows.validation[every])).all()


def test_a_fold_starts_where_its_own_training_starts(ready):
    offset = OffsetSpec(feature="late_rate_7d", weight=0.5)
    run = ready.stage_run("tune", *WINDOW, params=ONE)
    spec = ready.spec.model_copy(update={"train": ready.spec.train.model_copy(update={"offset": offset})})
    tuning = read(Plan.of(replace(run, pipeline=replace(run.pipeline, spec=spec))))
    for rows in tuning.folds:
        own = encode_window(rows_of(tuning, rows.window), spec)
        assert tuning.data_of(rows).offset == own.offset
    first, second = (tuning.data_of(rows).offset.centre for rows in tuning.folds)
    assert first != second
    # The same trees as a training of these rows, and the same start of what they predict.
    rows, (settings, params) = tuning.folds[1], tuning.params_of({})
    method, data = Method(settings, params, tuning.trainer()), tuning.data_of(tuning.folds[1])
    model = fit_trees(data, rows.fit, rows.validation, method, window=rows.window).model
    booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(model))
    labels, days = trials_module._of_test(tuning, rows)
    expected = tuning.days.values(rows.fold, days, labels, predict(booster, data, rows.test))
    other = Method(settings, params, tuning.trainer())  # a trainer that holds no bins yet
    assert trials_module._run_fold(tuning, rows, other).value == expected[0]


def rows_of(tuning, chosen):
    return pq.read_table(tuning.window.rows.file).filter(pa.array(chosen[slice(0, len(tuning.window.rows))]))


def test_one_worker_finds_the_same_trials_every_time(ready, prepared):
    first, _ = tuned(ready)
    trials = shown(kept(ready, first))
    again = prepared(untrained)
    second, _ = tuned(again)
    assert second.details.study == first.details.study
    assert shown(kept(again, second)) == trials


def test_two_workers_depend_on_nothing_but_their_number(ready, prepared):
    first, _ = tuned(ready, workers=2)
    trials = shown(kept(ready, first))
    again = prepared(untrained)
    second, lines = tuned(again, workers=2)
    assert shown(kept(again, second)) == trials
    assert "2 at a time" in lines[2]


# ---- a trial that is given up ----


def test_a_trial_that_is_worse_for_sure_is_given_up_before_its_last_fold(ready):
    run = ready.stage_run("tune", *WINDOW, params=ONE)
    tuning = read(Plan.of(run))
    trainer = tuning.trainer()
    whole = trials_module.run_trial(tuning, trainer, 0, {}, None)
    best = best_of("log_loss", [whole])
    bad = {"eta": 0.05, "max_depth": 2, "max_bin": 16, "min_child_weight": 1e6}  # no tree can split
    found = trials_module.run_trial(tuning, trainer, 1, bad, best)
    assert (len(found.folds), found.worse_than, found.whole) == (1, 0, False)
    assert gain("log_loss", found.values, whole.values, 0.8).high < 0

    patient = replace(
        tuning, plan=replace(tuning.plan, tune=tuning.plan.tune.model_copy(update={"stop_confidence": None}))
    )
    assert trials_module.run_trial(patient, patient.trainer(), 1, bad, best).whole
    assert trials_module.run_trial(tuning, trainer, 2, {}, best).whole  # an equal one is not worse


# ---- a trial that fails ----


def diverging(monkeypatch, *calls: int) -> None:
    """Let the trees of these calls diverge."""
    real, count = trials_module.predict, iter(range(1000))

    def predict(*given):
        found = real(*given)
        return np.full_like(found, np.nan) if next(count) in calls else found

    monkeypatch.setattr(trials_module, "predict", predict)


def test_a_trial_that_diverges_fails_and_the_study_can_be_read_and_goes_on(ready, monkeypatch):
    diverging(monkeypatch, 2)  # the first fold of trial 1
    result, lines = tuned(ready, trials=3)
    assert (result.details.trials, result.details.failed) == (3, 1)
    assert any("Trial 1, failed: no finite log_loss before 2024-01-29: its trees diverged" in line for line in lines)
    failed = kept(ready, result)[1]
    assert (failed.whole, failed.folds, failed.worse_than) == (False, (), None)
    assert "its trees diverged" in UPath(result.reports[0]).read_text()
    again, _ = tuned(ready, trials=4)
    assert (again.details.study, again.details.trials) == (result.details.study, 4)


def test_a_trial_that_failed_counts_as_worse_than_all_others(ready, monkeypatch):
    diverging(monkeypatch, 2)
    tuning = read(Plan.of(ready.stage_run("tune", *WINDOW, params=ONE)))
    trials = [trials_module.run_trial(tuning, tuning.trainer(), number, {}, None) for number in (0, 1)]
    one, failed = tried(tuning, trials)
    assert failed.value > one.value


@pytest.mark.parametrize("part", ["fit", "validation", "value"])
def test_a_record_with_no_number_in_it_is_found(ready, part):
    result, _ = tuned(ready, trials=2)
    fold = kept(ready, result)[0].folds[0]
    assert trials_module._is_finite(fold)
    worse = float("inf") if part == "value" else ((1, 0.5), (2, float("nan")))
    assert not trials_module._is_finite(fold.model_copy(update={part: worse}))


def test_todays_parameters_that_diverge_end_the_search_with_what_to_do(ready):
    said = r"today's parameters: no finite log_loss .* Lower eta in train\.params"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SpecError, match=said):
        diverging(patch, 0)
        tuned(ready, trials=2)
    _, lines = tuned(ready, trials=2)
    assert "a new study of 2 trials" in lines[1]


# ---- going on ----


def test_more_trials_go_on_with_the_same_study(ready, prepared):
    whole, _ = tuned(ready)
    expected = shown(kept(ready, whole))
    again = prepared(untrained)
    first, _ = tuned(again, trials=2)
    assert (first.details.trials, first.details.wanted) == (2, 2)
    second, lines = tuned(again)
    assert "2 of 5 trials are done, and the study goes on" in lines[1]
    assert shown(kept(again, second)) == expected
    fewer, lines = tuned(again, trials=3)
    assert "all of its 5 trials are done" in lines[1]
    assert (fewer.details.trials, fewer.details.wanted) == (5, 5)
    third, lines = tuned(again)
    assert third.unchanged
    assert third.details.model_dump() == second.details.model_dump()


def test_an_interruption_leaves_whole_trials_and_a_study_that_goes_on(ready, prepared, monkeypatch):
    expected = shown(kept(ready, tuned(ready)[0]))
    again = prepared(untrained)
    real = trials_module.fit_trees

    def interrupted(*given, **named):
        interrupted.calls += 1
        if interrupted.calls == 6:  # within a later trial
            raise KeyboardInterrupt
        return real(*given, **named)

    interrupted.calls = 0
    monkeypatch.setattr(trials_module, "fit_trees", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tuned(again, trials=5)
    monkeypatch.undo()
    monkeypatch.setenv("CONTRAIL_HOME", str(again.settings.home_path))
    (folder,) = (again.settings.reports / "toy" / "tuning").iterdir()
    study = StudyFolder(again.settings, "toy", folder.name)
    assert 1 <= len(study.trials()) <= 4
    assert client(again.settings).get_run(study.study().mlflow_run).info.status == "KILLED"
    result, lines = tuned(again)
    assert "trials are done, and the study goes on" in lines[1]
    assert shown(kept(again, result)) == expected
    assert client(again.settings).get_run(study.study().mlflow_run).info.status == "FINISHED"


def test_other_rows_settings_or_values_are_another_study(ready):
    one, _ = tuned(ready, trials=2)
    for changed in ({"rounds": 10}, {"max_depth": 3}, {"seed": 1}):
        other, lines = tuned(ready, trials=2, params={**ONE, **changed})
        assert other.details.study != one.details.study
        assert "a new study of 2 trials" in lines[1]


def test_a_damaged_record_is_named(ready):
    result, _ = tuned(ready, trials=2)
    (path,) = (ready.settings.reports / "toy" / "tuning" / result.details.study).glob("trial-00001.json")
    path.write_text("{")
    with pytest.raises(DataError, match=r"trial-00001\.json"):
        tuned(ready)


def test_two_commands_do_not_work_on_one_study(ready):
    result, _ = tuned(ready, trials=2)
    lock = ready.settings.home_path / "locks" / f"tune-toy-{result.details.study}"
    with locked(lock, "works"), pytest.raises(EngineError, match=f"works on the study {result.details.study}"):
        tuned(ready)


# ---- time ----


def test_no_trial_begins_that_would_end_after_the_budget(ready):
    result, lines = tuned(ready, budget_seconds=1e-9)  # trial 0 always runs
    assert (result.details.trials, result.details.wanted) == (1, 5)
    assert "would end after the 1e-09 seconds" in lines[-1]
    assert "only today's parameters were tried" in sentence("tune", result)
    assert "Only today&#39;s parameters were tried" in UPath(result.reports[0]).read_text()
    result, _ = tuned(ready)
    assert result.details.trials == 5


def test_the_budget_counts_the_reading_of_the_rows_too(ready):
    run, lines = ready.stage_run("tune", *WINDOW, params=ONE, workers=1, budget_seconds=900), list[str]()
    late = replace(run, started=time.monotonic() - 900, progress=lines.append)
    assert tune.execute(late).details.trials == 1
    assert "would end after the 900 seconds" in lines[-1]


# ---- MLflow ----


def test_each_trial_is_a_run_below_the_study_with_its_parameters_and_its_metric(ready):
    result, _ = tuned(ready)
    mlflow, details = client(ready.settings), result.details
    parent = mlflow.get_run(details.mlflow_run)
    assert parent.data.tags[tuning_runs.STUDY] == details.study
    assert parent.data.metrics["best_log_loss"] == pytest.approx(details.value)
    runs = mlflow.search_runs([parent.info.experiment_id], f"tags.`{training_runs.PARENT}` = '{details.mlflow_run}'")
    by_number = {int(run.data.tags[tuning_runs.NUMBER]): run for run in runs}
    for one in kept(ready, result):
        run = by_number[one.number]
        assert run.info.status == "FINISHED"
        assert run.data.params["max_depth"] == str(one.params.get("max_depth", 3))
        assert ("log_loss" in run.data.metrics) == one.whole
        assert len(mlflow.get_metric_history(run.info.run_id, "log_loss_of_fold")) == len(one.folds)


def test_what_mlflow_lacks_after_a_kill_is_logged_again(ready):
    result, _ = tuned(ready, trials=2)
    mlflow, parent = client(ready.settings), result.details.mlflow_run
    experiment = mlflow.get_run(parent).info.experiment_id
    search = f"tags.`{training_runs.PARENT}` = '{parent}'"
    (last, *_) = [run for run in mlflow.search_runs([experiment], search) if run.data.tags[tuning_runs.NUMBER] == "1"]
    mlflow.delete_run(last.info.run_id)
    half = mlflow.create_run(experiment, tags={training_runs.PARENT: parent, tuning_runs.NUMBER: "1"})
    tuned(ready, trials=2)
    assert mlflow.get_run(half.info.run_id).info.status == "KILLED"
    assert tuning_runs.logged_trials(ready.settings, parent) == {0, 1}


# ---- bad input ----


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"params": {"etaa": 0.1}}, "^XGBoost has no parameter 'etaa'. Did you mean 'eta'"),
        ({"params": {"eta": 0.1, "max_depth": 3, "max_bin": 16}}, "nothing is left to try"),
        ({"params": {"subsample": 7}}, "^XGBoost refuses"),
        ({"params": {"rounds": "many"}}, "training settings are wrong: rounds"),
    ],
)
def test_wrong_parameters_stop_before_a_row_is_read(ready, monkeypatch, options, said):
    monkeypatch.setattr("contrail.stages.tuning.base.read_window", lambda _: pytest.fail("rows were read"))
    with pytest.raises(SpecError, match=said):
        tune.execute(ready.stage_run("tune", *WINDOW, **options))


def test_a_searched_parameter_that_xgboost_does_not_know_is_named(ready, monkeypatch):
    run = ready.stage_run("tune", *WINDOW)
    search = {"max_dept": ready.spec.tune.search["max_depth"]}
    spec = ready.spec.model_copy(update={"tune": ready.spec.tune.model_copy(update={"search": search})})
    with pytest.raises(SpecError, match=r"no parameter 'max_dept'\. Did you mean 'max_depth'"):
        tune.execute(replace(run, pipeline=replace(run.pipeline, spec=spec)))


@pytest.mark.parametrize(
    ("name", "choices", "said"),
    [
        ("grow_policy", ("depthwise", "losguide"), "tune.search.grow_policy: losguide: XGBoost refuses"),
        ("subsample", (0.5, 1.0, 7.0), r"tune.search.subsample: 7\.0: XGBoost refuses"),
    ],
)
def test_each_choice_is_asked_of_xgboost(ready, name, choices, said):
    run = ready.stage_run("tune", *WINDOW)
    search = {**ready.spec.tune.search, name: Searched(choices=choices)}
    spec = ready.spec.model_copy(update={"tune": ready.spec.tune.model_copy(update={"search": search})})
    with pytest.raises(SpecError, match=said):
        Plan.of(replace(run, pipeline=replace(run.pipeline, spec=spec)))


def test_too_few_days_and_days_without_labels_are_refused(ready):
    with pytest.raises(SpecError, match="has 10 days, but the search needs 22"):
        tune.execute(ready.stage_run("tune", "2024-01-01", "2024-01-10"))
    with pytest.raises(SpecError, match="2024-01-01 has 1 day, but"):
        tune.execute(ready.stage_run("tune", "2024-01-01", "2024-01-01"))
    with pytest.raises(MissingInputError, match="Run validate and features"):
        tune.execute(ready.stage_run("tune", "2024-04-01", "2024-05-01"))
    with pytest.raises(MissingInputError, match=r"no labelled rows in 2024-02-20\.\.2024-02-25, which a fold predicts"):
        tune.execute(ready.stage_run("tune", "2024-01-01", "2024-02-25"))


# ---- the report ----


def test_the_report_says_what_was_found(ready):
    result, _ = tuned(ready, trials=9)
    (path,) = result.reports
    page = (ready.settings.reports / "toy" / "tuning" / f"{result.details.study}.html").read_text()
    assert path.endswith(f"toy/tuning/{result.details.study}.html")
    assert "search for parameters" in page
    for words in (
        "Best against today",
        "Importance",
        "Every trial",
        "Learning curves",
        "Predicted",
        result.details.study,
    ):
        assert words in page
    assert json.dumps(result.as_dict())
