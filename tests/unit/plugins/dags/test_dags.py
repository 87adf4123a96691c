"""Policy of every DAG, and the exact commands that they run."""

import dataclasses
import json
import os
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import yaml
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.exceptions import AirflowSkipException, ParamValidationError
from tests.unit.plugins.dags.rendering import DAYS, GOLDEN, build_dags, render

from contrail.config.pipeline import load_pipeline, pipeline_names
from contrail.config.settings import AnalystsSettings, settings
from contrail.config.targets import DispatchSettings, VertexTarget
from contrail.partitions import Partitions
from contrail.stages import RANGE_STAGES, Commits
from contrail_airflow.dags import train as train_module
from contrail_airflow.dags.notifiers import FailureNotifier, QuestionNotifier, RunNotifier, StageNotifier
from contrail_airflow.dags.policy import GPU_POOL, HEAVY_POOL, HEAVY_SLOTS, days_before, run_day
from contrail_airflow.operators.approval import PromoteOperator
from contrail_airflow.operators.asking import AskingOperator
from contrail_airflow.operators.backfill import JobsOperator
from contrail_airflow.operators.day import DayOperator, RetrainOperator
from contrail_airflow.operators.ending import StageRefused
from contrail_airflow.operators.stage import StageOperator
from contrail_airflow.scheduling.priority import EarlierPartitionFirst
from contrail_airflow.scheduling.retries import JitteredBackoff

PROJECT = Path(__file__).resolve().parents[4]
# By hand, so that a DAG that vanishes fails the test.
DAG_IDS = {
    f"{pipeline}__{suffix}"
    for pipeline in ("flight_delay", "bike_demand")
    for suffix in ("daily", "score", "monitor", "train", "tune", "backfill", "replay", "rollback", "maintain")
}
TASKS = {
    "daily": ["late", "ingest", "validate", "features"],
    "score": ["score"],
    "monitor": ["drift", "performance", "govern", "retrain"],
    "train": ["govern", "train", "judge", "promote"],
    "tune": ["govern", "tune"],
    "backfill": [
        "plan",
        "ingest",
        "validate",
        "features_jobs",
        "features",
        "score_jobs",
        "score",
        "drift",
        "performance",
        "difference",
    ],
    "rollback": ["plan", "rollback"],
    "maintain": ["maintain"],
    "replay": ["replay"],
}


@pytest.fixture
def dags(home: Path) -> dict[str, Any]:
    return {dag_id: dag for name in pipeline_names() for dag_id, dag in build_dags(name).items()}


def test_every_dag_is_there(dags: dict[str, Any]) -> None:
    assert set(dags) == DAG_IDS
    assert {path.stem for path in settings().dags_path.glob("*.py")} == set(pipeline_names())


def test_every_dag_has_its_tasks(dags: dict[str, Any]) -> None:
    for dag_id, dag in dags.items():
        assert [task.task_id for task in dag.tasks] == TASKS[dag_id.partition("__")[2]], dag_id


def test_every_task_keeps_the_policy(dags: dict[str, Any]) -> None:
    for dag_id, dag in dags.items():
        assert dag.catchup is False, dag_id
        assert dag.doc_md, dag_id
        assert dag.dagrun_timeout, dag_id
        assert "contrail" in dag.tags, dag_id
        (deadline,) = dag.deadline
        minutes = deadline.interval / 60
        assert deadline.callback.kwargs == {"dag_id": dag_id, "minutes": minutes}
        assert minutes >= 120 and dag.dagrun_timeout.total_seconds() > deadline.interval, dag_id
        assert minutes == 120 or dag_id.endswith(("__train", "__rollback")), dag_id
        assert isinstance(dag.on_failure_callback, RunNotifier), dag_id
        for task in dag.tasks:
            name = f"{dag_id}.{task.task_id}"
            kind = task.operator_class if isinstance(task, MappedOperator) else type(task)
            assert issubclass(kind, StageOperator | JobsOperator | RetrainOperator), name
            assert task.owner not in ("", "airflow"), name
            assert task.retries >= 1, name
            assert task.retry_exponential_backoff, name
            assert task.max_retry_delay, name
            policy = task.partial_kwargs["retry_policy"] if isinstance(task, MappedOperator) else task.retry_policy
            assert isinstance(policy, JitteredBackoff), name
            assert task.execution_timeout, name
            assert task.doc_md, name
            assert task.pool == HEAVY_POOL, name
            assert [type(callback) for callback in task.on_failure_callback] == [FailureNotifier], name
            assert [type(callback) for callback in task.on_success_callback] == [StageNotifier], name
            if issubclass(kind, AskingOperator):
                assert isinstance(task.on_question_callback, QuestionNotifier), name


WHOLE_MACHINE = {"train.train", "tune.tune", "rollback.rollback", *(f"backfill.{verb}" for verb in RANGE_STAGES)}


def slots(dags: dict[str, Any]) -> dict[str, set[int]]:
    """The slots in their pool of each task of the DAGs, by DAG and task without the pipeline."""
    found: dict[str, set[int]] = {}
    for dag_id, dag in dags.items():
        for task in dag.tasks:
            found.setdefault(f"{dag_id.partition('__')[2]}.{task.task_id}", set()).add(task.pool_slots)
    return found


def test_only_one_job_that_fills_the_machine_runs_at_a_time(dags: dict[str, Any]) -> None:
    """A training or a range of days takes every slot, a stage of a day one; a task with more would never run."""
    made = yaml.safe_load((PROJECT / "airflow_settings.yaml").read_text())["airflow"]["pools"]
    size = {entry["pool_name"]: entry["pool_slot"] for entry in made}
    taken = slots(dags)
    assert taken == {name: {size[HEAVY_POOL] if name in WHOLE_MACHINE else 1} for name in taken}
    assert set(taken) > WHOLE_MACHINE


@pytest.fixture
def rented_gpu(monkeypatch: pytest.MonkeyPatch) -> VertexTarget:
    """Trainings run on Vertex AI."""
    gpu = VertexTarget(
        kind="vertex", project="p", region="r", service_account="s", image="i", machine_type="g2-standard-8",
        accelerator_type="NVIDIA_L4", accelerator_count=1, timeout_minutes=300,
    )  # fmt: skip
    rent(monkeypatch, gpu, "train")
    return gpu


def rent(monkeypatch: pytest.MonkeyPatch, target: VertexTarget, *verbs: str) -> None:
    """Send these stages to a target."""
    stages = dict.fromkeys(verbs, "rented")
    dispatch = DispatchSettings(jobs_uri="gs://b/jobs", targets={"rented": target}, stages=stages)
    current = settings().model_copy(update={"dispatch": dispatch})
    monkeypatch.setattr("contrail_airflow.dags.policy.settings", lambda: current)


def test_what_runs_elsewhere_takes_a_slot_only_to_be_submitted(
    home: Path, monkeypatch: pytest.MonkeyPatch, rented_gpu: VertexTarget
) -> None:
    gpu = slots(build_dags("flight_delay"))
    assert (gpu["train.train"], gpu["backfill.score"]) == ({1}, {HEAVY_SLOTS})
    plain = {"machine_type": "n2-standard-8", "accelerator_type": "", "accelerator_count": 0}
    rent(monkeypatch, rented_gpu.model_copy(update=plain), *RANGE_STAGES, "train", "tune")
    here = {name for name, taken in slots(build_dags("flight_delay")).items() if taken != {1}}
    assert here == {"rollback.rollback"}, "it scores in its own process"


@pytest.mark.parametrize("where", ["here", "rented"])
def test_a_training_run_has_time_for_its_stages_and_its_approver(where: str, request: pytest.FixtureRequest) -> None:
    """Airflow ends a run that takes longer, and skips what has not ended: also the wait for an answer."""
    request.getfixturevalue("home")
    rented = request.getfixturevalue("rented_gpu").longest_minutes if where == "rented" else 0
    for name in pipeline_names():
        train = build_dags(name)[f"{name}__train"]
        stages = [task.execution_timeout for task in train.tasks if task.execution_timeout]
        assert len(stages) >= 3, name
        needed = sum(stages, timedelta(minutes=rented, hours=load_pipeline(name).spec.gate.approval_hours))
        assert train.dagrun_timeout > needed, name
        assert train.deadline[0].interval > needed.total_seconds(), name


REMOTE = {
    "daily": ("features",),
    "score": ("score",),
    "monitor": ("drift", "performance"),
    "train": ("train", "promote"),
    "backfill": ("features", "score"),
}


@pytest.mark.parametrize(("suffix", "verbs"), REMOTE.items())
def test_a_run_has_time_for_its_remote_jobs_and_their_retries(
    home: Path, monkeypatch: pytest.MonkeyPatch, rented_gpu: VertexTarget, suffix: str, verbs: tuple[str, ...]
) -> None:
    rent(monkeypatch, rented_gpu)
    here = build_dags("flight_delay")[f"flight_delay__{suffix}"]
    rent(monkeypatch, rented_gpu, *verbs)
    there = build_dags("flight_delay")[f"flight_delay__{suffix}"]
    attempts = sum(1 + task.retries for task in there.tasks if getattr(task, "verb", task.task_id) in verbs)
    assert attempts >= 3 * len(verbs)
    once = timedelta(minutes=rented_gpu.longest_minutes)
    assert there.dagrun_timeout >= here.dagrun_timeout + once * attempts
    if suffix != "train":
        assert there.deadline[0].interval == here.deadline[0].interval, "a remote job that is late is late"


def test_a_stage_is_tried_until_it_has_run_without_a_spot_machine(
    home: Path, monkeypatch: pytest.MonkeyPatch, rented_gpu: VertexTarget
) -> None:
    rent(monkeypatch, rented_gpu.model_copy(update={"spot_attempts": 4}), *RANGE_STAGES, "train")
    dags = build_dags("flight_delay")
    tried = {
        f"{id_.partition('__')[2]}.{task.task_id}": task.retries for id_, dag in dags.items() for task in dag.tasks
    }
    rented = {*(f"backfill.{verb}" for verb in RANGE_STAGES), "train.train", "daily.features", "score.score"}
    assert {name for name, retries in tried.items() if retries >= 4} >= rented
    assert tried["train.promote"] == tried["backfill.plan"] == 2
    assert dags["flight_delay__train"].dagrun_timeout > timedelta(minutes=rented_gpu.timeout_minutes) * 5


def test_a_stage_is_tried_at_each_place_of_its_target(
    home: Path, monkeypatch: pytest.MonkeyPatch, rented_gpu: VertexTarget
) -> None:
    others = [{"region": region} for region in ("europe-west1", "europe-west4", "us-central1")]
    target = VertexTarget.model_validate({**rented_gpu.model_dump(), "spot_attempts": 1, "fallbacks": others})
    rent(monkeypatch, target, "train")
    dag = build_dags("flight_delay")["flight_delay__train"]
    assert dag.get_task("train").retries == target.attempts - 1 == 4
    assert dag.dagrun_timeout > timedelta(minutes=target.longest_minutes) * target.attempts


def test_trainings_on_a_gpu_take_turns(home: Path, rented_gpu: VertexTarget) -> None:
    dag = build_dags("bike_demand")["bike_demand__train"]
    asked = dag.get_task("train").options["params"][:1]
    assert asked == ["device=cuda"], "what is paid for is used, or said to be missing"
    pools = {task.task_id: task.pool for task in dag.tasks}
    assert pools == {name: GPU_POOL if name == "train" else HEAVY_POOL for name in pools}
    made = yaml.safe_load((PROJECT / "airflow_settings.yaml").read_text())["airflow"]["pools"]
    assert {entry["pool_name"] for entry in made} == {HEAVY_POOL, GPU_POOL}


def test_a_warehouse_is_published_to_after_scores_and_measures(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    analysts = AnalystsSettings(kind="bigquery", project="p", location="EU", dataset="d", views_dataset="v")
    current = settings().model_copy(update={"analysts": analysts})
    monkeypatch.setattr("contrail_airflow.dags.policy.settings", lambda: current)
    dags = build_dags("flight_delay")
    score, monitor = dags["flight_delay__score"], dags["flight_delay__monitor"]
    assert score.get_task("publish").upstream_task_ids == {"score"}
    assert monitor.get_task("publish").upstream_task_ids == {"drift", "performance"}
    assert dags["flight_delay__backfill"].get_task("publish").upstream_task_ids == {"performance"}
    start = "publish: contrail publish --pipeline flight_delay --from"
    assert f"{start} 2013-11-01 --to 2013-11-01 --run-id RUN --json\n" in render(score)
    # Performance is of the days whose labels are mature now or have changed, drift of the day itself.
    assert f"{start} 2013-10-03 --to 2013-11-01 --run-id RUN --json\n" in render(monitor)


def test_every_dag_has_a_golden_file(dags: dict[str, Any]) -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(dags)


@pytest.mark.parametrize("dag_id", sorted(DAG_IDS))
def test_tasks_run_the_commands_of_the_golden_file(dags: dict[str, Any], dag_id: str) -> None:
    """After a change that is meant: python -m tests.unit.plugins.dags.rendering (with PYTHONPATH=include:plugins)."""
    assert render(dags[dag_id]) == (GOLDEN / f"{dag_id}.txt").read_text()


def test_a_backfill_runs_only_the_stages_asked_for(dags: dict[str, Any]) -> None:
    asked = {"stages": ["features", "score"], "model": "2", "commits": "chunk", "chunk_days": 31}
    chosen = render(dags["flight_delay__backfill"], to=None, **asked)
    range_ = "contrail backfill --pipeline flight_delay --from 2013-11-01 --to 2013-11-01"
    how = "--commits chunk --chunk-days=31"
    assert chosen.splitlines() == [
        f"plan: {range_} --id RUN --json --begin --stages features,score --model 2 {how}",
        "ingest: (skipped)",
        "validate: (skipped)",
        f"features: {range_} --stages features --no-report --id RUN --json {how}",
        f"score: {range_} --stages score --no-report --id RUN --json --model 3 {how}",
        "drift: (skipped)",
        "performance: (skipped)",
        "difference: contrail difference --pipeline flight_delay --id RUN --json",
    ]


def test_a_dry_run_stops_after_its_plan(dags: dict[str, Any]) -> None:
    plan, *rest = render(dags["flight_delay__backfill"], stages=["features", "score"], dry_run=True).splitlines()
    assert plan.endswith("--json --dry-run --stages features,score --model champion --commits whole")
    assert {line.partition(": ")[2] for line in rest} == {"(skipped)"}


@pytest.mark.parametrize(
    ("asked", "passed"),
    [("champion now", "champion"), ("champion as of each date", "as-of"), ("challenger", "challenger"), ("12", "12")],
)
def test_the_model_is_asked_for_in_words(dags: dict[str, Any], asked: str, passed: str) -> None:
    dag = dags["flight_delay__backfill"]
    assert f" --model {passed} " in render(dag, model=asked).splitlines()[0]
    assert dag.params.get_param("model").resolve(asked) == asked


@pytest.mark.parametrize(
    ("param", "wrong"),
    [
        ("stages", ["scores"]), ("stages", []), ("model", "best"), ("model", ""), ("commits", "daily"),
        ("chunk_days", 0), ("dry_run", "no"), ("from", "yesterday"),
    ],
)  # fmt: skip
def test_a_backfill_refuses_what_does_not_exist(dags: dict[str, Any], param: str, wrong: Any) -> None:
    with pytest.raises(ParamValidationError):
        dags["flight_delay__backfill"].params.get_param(param).resolve(wrong)


def test_every_field_of_the_backfills_form_has_a_title_and_help(dags: dict[str, Any]) -> None:
    params = dags["flight_delay__backfill"].params
    assert list(params) == ["from", "to", "stages", "model", "commits", "chunk_days", "dry_run"]
    for name in params:
        assert params.get_param(name).schema["title"], name
        assert params.get_param(name).description, name
    assert {params.get_param(name).schema["format"] for name in ("from", "to")} == {"date"}
    assert set(params.get_param("commits").schema["enum"]) == set(get_args(Commits))


def test_the_main_jobs_request_still_fits_the_backfills_form(dags: dict[str, Any]) -> None:
    conf = {"from": "2013-01-01", "to": "2013-09-30", "stages": list(RANGE_STAGES), "model": "champion"}
    params = dags["flight_delay__backfill"].params
    for name, value in conf.items():
        assert params.get_param(name).resolve(value) == value


def test_a_training_day_that_is_too_early_is_not_tried_again(dags: dict[str, Any]) -> None:
    with pytest.raises(StageRefused, match="too few days to train on"):
        render(dags["flight_delay__train"], as_of="2013-01-20")
    with pytest.raises(StageRefused, match="0001-01-05 is outside 1678-01-01 to 2261-12-31"):
        render(dags["flight_delay__train"], as_of="0001-01-05")


@pytest.mark.parametrize("name", ["daily", "score", "monitor", "train"])
def test_a_run_started_from_the_form_is_not_after_the_end_of_its_dag(dags: dict[str, Any], name: str) -> None:
    """Airflow's form starts a run as of now; after an end date the run succeeds without a task."""
    dag = dags[f"flight_delay__{name}"]
    assert dag.end_date is None
    assert all(task.end_date is None for task in dag.tasks)


@pytest.mark.parametrize(
    ("asked", "run_after", "day"),
    [
        (None, "2013-11-01T06:00:00+00:00", "2013-11-01"),
        (None, "2013-11-02T03:59:00+00:00", "2013-11-01"),  # 23:59 in New York
        (None, "2026-11-26T12:00:00+00:00", "2013-12-31"),
        ("2013-05-06", "2026-11-26T12:00:00+00:00", "2013-05-06"),
    ],
)
def test_a_run_without_a_partition_is_of_the_day_in_the_form_or_the_newest(
    asked: str | None, run_after: str, day: str
) -> None:
    spec = load_pipeline("flight_delay").spec
    assert run_day(spec, None, asked, datetime.fromisoformat(run_after)) == day
    assert run_day(spec, "2013-07-08", asked, datetime.fromisoformat(run_after)) == "2013-07-08"


@pytest.mark.parametrize("text", ["{", "max_depth", "max_depth=", "=8", "max_depth 8", '{"max_depth": 8}'])
def test_parameters_that_are_no_pairs_are_refused_by_the_form(dags: dict[str, Any], text: str) -> None:
    params = dags["flight_delay__train"].params
    with pytest.raises(ParamValidationError):
        params.get_param("set").resolve(text)
    for good in (None, "", "max_depth=8", " eta=0.05  max_depth=8 "):
        assert params.get_param("set").resolve(good) == good


def test_training_reads_up_to_the_gate_of_the_day_asked_for(dags: dict[str, Any]) -> None:
    chosen = render(dags["flight_delay__train"], as_of="2013-10-01", set="max_depth=8 eta=0.1")
    assert "train --pipeline flight_delay --from 2013-01-01 --to 2013-08-31 " in chosen
    assert "--set max_depth=8 eta=0.1" in chosen
    assert "promote --pipeline flight_delay --from 2013-09-03 --to 2013-09-30 " in chosen


def test_a_search_takes_the_days_and_the_limits_of_its_form(dags: dict[str, Any]) -> None:
    asked = {"from": "2013-01-01", "to": "2013-08-31", "trials": 40, "budget_seconds": 600, "workers": 2}
    govern, search = render(dags["flight_delay__tune"], set="max_depth=4", why="a new carrier", **asked).splitlines()
    # The day at whose cut-off a training on these days could be judged.
    assert "govern --pipeline flight_delay --on 2013-10-01 " in govern
    assert govern.endswith("--asked by-hand --training scheduled__x --person scientist --reason a new carrier")
    assert search.startswith("tune: contrail tune --pipeline flight_delay --from 2013-01-01 --to 2013-08-31 ")
    assert "--trials 40 --budget-seconds 600 --workers 2 --set max_depth=4 --register --person scientist" in search


def test_a_search_that_the_governor_refuses_does_not_begin_and_one_that_registers_nothing_asks_nobody(
    dags: dict[str, Any],
) -> None:
    dag = dags["flight_delay__tune"]
    assert render(dag, decision="refused").splitlines()[1] == "tune: (skipped)"
    fresh = build_dags("flight_delay")["flight_delay__tune"]
    govern, search = render(fresh, register=False).splitlines()
    assert govern == "govern: (skipped)"
    assert " --no-register " in search


@pytest.mark.parametrize(
    ("suffix", "verb", "asked", "said"),
    [
        ("tune", "tune", {"from": "2013-10-30"}, "ends before it starts: its first day is 2013-10-30"),
        ("tune", "tune", {"from": "2013-08-31", "to": "2013-08-01"}, "ends before it starts"),
        ("tune", "tune", {"to": "1500-01-01"}, "1500-01-01 is outside 1678"),
        ("train", "train", {"as_of": "1500-01-01"}, "1500-01-01 is outside 1678"),
        ("monitor", "performance", {"day": "1500-01-01"}, "1500-01-01 is outside 1678"),
    ],
)
def test_days_of_a_form_that_cannot_be_are_refused_once_in_words(
    dags: dict[str, Any], suffix: str, verb: str, asked: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        DAYS, "flight_delay", asked.get("day", DAYS["flight_delay"])
    )  # the day asked for is the partition
    with pytest.raises(StageRefused) as raised:
        render(dags[f"flight_delay__{suffix}"], **asked)
    assert raised.value.verb == verb
    assert said in raised.value.said


def test_a_search_stays_on_its_rented_gpu(
    home: Path, monkeypatch: pytest.MonkeyPatch, rented_gpu: VertexTarget
) -> None:
    rent(monkeypatch, rented_gpu, "tune")
    dag = build_dags("flight_delay")["flight_delay__tune"]
    assert dag.get_task("tune").pool == GPU_POOL
    assert "--set device=cuda" in render(dag)
    assert dag.params["budget_seconds"] > 0.75 * 300 * 60  # the job's own time, not that of a task here


def test_a_search_ends_before_its_task_is_killed(dags: dict[str, Any]) -> None:
    dag = dags["flight_delay__tune"]
    limit = dag.get_task("tune").execution_timeout.total_seconds()
    assert dag.params["budget_seconds"] == 0.75 * limit
    for name, wrong in (("trials", 1), ("budget_seconds", 0), ("from", "yesterday"), ("set", "depth")):
        with pytest.raises(ParamValidationError):
            dag.params.get_param(name).resolve(wrong)


def test_a_training_asks_nobody_unless_wanted(dags: dict[str, Any]) -> None:
    lines = render(dags["flight_delay__train"]).splitlines()
    assert lines[2] == "judge: (skipped)"
    assert "waits" not in lines[3]
    assert lines[3].endswith("--model 3 --approval none")


def test_an_approver_gets_the_record_and_the_answer_reaches_the_gate(dags: dict[str, Any]) -> None:
    answered = {
        "chosen_options": ["Approve"],
        "params_input": {"reason": "new carrier"},
        "responded_by_user": {"id": "approver", "name": "approver"},
    }
    lines = render(dags["flight_delay__train"], answered=answered, approval=True).splitlines()
    assert lines[2].endswith("--run-id RUN --json --model 3 --approval awaited")
    question = "Late flights from New York: may version 3 become champion?"
    assert lines[3] == f"promote: airflow waits 1 day, 0:00:00: {question} the record"
    assert lines[4].endswith("--json --model 3 --approval approved --person approver --reason new carrier")
    refused = {"chosen_options": ["Refuse"], "params_input": {}, "responded_by_user": None}
    fresh = build_dags("flight_delay")["flight_delay__train"]
    lines = render(fresh, answered=refused, approval=True).splitlines()
    assert lines[4].endswith("--json --model 3 --approval refused --person nobody, in time")


def test_a_candidate_that_the_judge_has_refused_is_put_before_nobody(dags: dict[str, Any]) -> None:
    """Its task `judge` was skipped, as a refusal is a decision, so there is no record to read."""
    lines = render(dags["flight_delay__train"], approval=True, judged=False).splitlines()
    assert lines[2].endswith("--run-id RUN --json --model 3 --approval awaited")
    assert lines[3:] == ["promote: (skipped)"]


def test_a_gate_that_asks_for_a_person_cannot_be_told_otherwise(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_pipeline("flight_delay")
    gate = loaded.spec.gate.model_copy(update={"approval": "person", "approval_hours": 2})
    strict = dataclasses.replace(loaded, spec=loaded.spec.model_copy(update={"gate": gate}))
    monkeypatch.setattr(train_module, "parse_pipeline", lambda name: strict)
    train = build_dags("flight_delay")["flight_delay__train"]
    assert "judge: contrail promote" in render(train, approval=False)
    assert train.get_task("promote").response_timeout == timedelta(hours=2)


def test_performance_is_measured_when_labels_are_mature_and_again_when_they_have_changed(dags: dict[str, Any]) -> None:
    assert days_before("score", "2013-03-01", 2) == "2013-02-27"
    for name, day in DAYS.items():
        spec = load_pipeline(name).spec
        line = next(line for line in render(dags[f"{name}__monitor"]).splitlines() if line.startswith("performance"))
        words = line.split()
        measured = Partitions.parse(words[words.index("--from") + 1], words[words.index("--to") + 1])
        assert measured.end == date.fromisoformat(day), "days that wait for labels are estimated"
        waiting = spec.label.mature_after_days + 1
        assert len(measured) - waiting == max(spec.schedule.late_days, spec.retrain.performance_days)
        assert "--only-stale" in words


def test_chains_are_in_order(dags: dict[str, Any]) -> None:
    daily = dags["flight_delay__daily"]
    assert daily.get_task("late").downstream_task_ids == {"ingest"}
    assert daily.get_task("ingest").trigger_rule == "all_done", "a past day's trouble does not stop this one"
    assert daily.get_task("ingest").downstream_task_ids == {"validate"}
    assert daily.get_task("validate").downstream_task_ids == {"features"}
    train = dags["flight_delay__train"]
    assert isinstance(train.get_task("promote"), PromoteOperator)
    assert train.get_task("govern").downstream_task_ids == {"train"}
    assert train.get_task("train").downstream_task_ids == {"judge"}
    assert train.get_task("judge").downstream_task_ids == {"promote"}


def test_the_governor_decides_after_both_measures_and_one_day_at_a_time(dags: dict[str, Any]) -> None:
    monitor = dags["flight_delay__monitor"]
    govern = monitor.get_task("govern")
    assert isinstance(govern, DayOperator)
    assert govern.upstream_task_ids == {"drift", "performance"}
    assert govern.downstream_task_ids == {"retrain"}
    assert govern.max_active_tis_per_dag == 1


def test_a_training_starts_only_when_the_governor_decides_so(dags: dict[str, Any]) -> None:
    for decision in ("hold", "refused"):
        assert "retrain: (skipped)" in render(build_dags("flight_delay")["flight_delay__monitor"], decision)
    retrain = dags["flight_delay__monitor"].get_task("retrain")
    assert retrain.trigger_dag_id in dags
    assert retrain.skip_when_already_exists, "a monitor that runs again must not fail for the training of before"
    retrain.skip_unless = " "
    with pytest.raises(AirflowSkipException, match="did not decide to retrain"):
        retrain.execute({})


def _train_lines(**how: Any) -> dict[str, str]:
    lines = render(build_dags("flight_delay")["flight_delay__train"], **how).splitlines()
    return dict(line.split(": ", 1) for line in lines)


def test_a_training_by_schedule_or_by_hand_asks_the_governor_and_says_who_asks() -> None:
    start = "contrail govern --pipeline flight_delay --on 2013-11-01 --run-id RUN --json --asked"
    scheduled = _train_lines()
    assert scheduled["govern"] == f"{start} schedule --training scheduled__x"
    by_hand = _train_lines(run_id="manual__x", why="new carrier", insist=True)["govern"]
    assert by_hand == f"{start} by-hand --training manual__x --person scientist --reason new carrier --insist"
    assert "--on 2013-10-01 " in _train_lines(run_id="manual__x", as_of="2013-10-01")["govern"]
    ended = _train_lines(run_id="manual__x", as_of="2026-11-21")["govern"]
    assert "--on 2014-01-01 " in ended, "the cut-off after the last day that there is"


def test_a_training_names_who_asked_for_it_and_why() -> None:
    by_hand = _train_lines(run_id="manual__x", why="new carrier")["train"]
    assert by_hand.endswith("--json --person scientist --reason new carrier")
    for run_id in ("scheduled__x", "governor__2013-11-01"):
        assert _train_lines(run_id=run_id)["train"].endswith("--json --person pipeline")


def test_a_training_that_is_refused_is_skipped() -> None:
    refused = _train_lines(decision="refused", approval=True)
    assert refused["govern"].startswith("contrail govern")
    assert (refused["train"], refused["promote"]) == ("(skipped)", "(skipped)")


def test_a_training_that_the_monitor_has_started_is_not_judged_twice(dags: dict[str, Any]) -> None:
    name = dags["flight_delay__monitor"].get_task("retrain").trigger_run_id.split("{{")[0]
    started = _train_lines(run_id=f"{name}2013-11-01")
    assert started["govern"] == "(skipped)"
    assert started["train"].startswith("contrail train")
    assert started["promote"].startswith("contrail promote")
    train = dags["flight_delay__train"].get_task("train")
    assert train.trigger_rule == "none_failed", "a task that was skipped does not stop it"


def test_assets_lead_from_day_to_day(dags: dict[str, Any]) -> None:
    features = dags["flight_delay__daily"].get_task("features").outlets
    assert [asset.name for asset in features] == ["flight_delay.features"]
    assert [asset.name for asset in dags["flight_delay__score"].get_task("score").outlets] == [
        "flight_delay.predictions"
    ]


def test_days_pass_each_daily_stage_in_order(dags: dict[str, Any]) -> None:
    """Airflow starts ten days of a backfill at once; a day's features need the days before it to be validated."""
    for task in dags["flight_delay__daily"].tasks:
        assert task.max_active_tis_per_dag == 1, task.task_id
        assert isinstance(task.weight_rule, EarlierPartitionFirst), task.task_id


@pytest.mark.parametrize("dag_file", [path.stem for path in sorted((PROJECT / "dags").glob("*.py"))])
def test_parsing_imports_nothing_heavy_and_is_quick(home: Path, dag_file: str) -> None:
    script = (
        # What is imported first, the process that parses has anyway.
        "import sys, time; sys.path[:0] = ['plugins', 'dags', 'include']\n"
        "import airflow.dag_processing.processor, pydantic, yaml\n"
        "from airflow.timetables.trigger import CronPartitionTimetable\n"
        f"start = time.process_time(); import {dag_file}; took = time.process_time() - start\n"
        "heavy = {'pandas', 'pyspark', 'xgboost', 'mlflow', 'evidently', 'great_expectations', 'pyarrow', 'duckdb'}\n"
        "print(took); print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    took, heavy = done.stdout.splitlines()[-2:]
    assert heavy == "[]"
    assert float(took) < 1  # of this process alone, so that a busy machine does not matter


_LOAD = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
bag = DagBag(dag_folder=sys.argv[1])
daily = DagSerialization.from_dict(DagSerialization.to_dict(bag.dags["flight_delay__daily"]))
for dag in bag.dags.values():
    DagSerialization.to_dict(dag)
print(json.dumps({
    "errors": {str(path): error for path, error in bag.import_errors.items()},
    "dags": sorted(bag.dags),
    "timetable": type(daily.timetable).__name__,
    "weights": sorted({type(task.weight_rule).__name__ for task in daily.tasks}),
}))
"""


def test_airflow_loads_every_file_and_finds_what_the_plugin_registers(home: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": f"{PROJECT / 'include'}{os.pathsep}{PROJECT / 'plugins'}",
    }
    command = [sys.executable, "-c", _LOAD, str(PROJECT / "dags")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "errors": {},
        "dags": sorted(DAG_IDS),
        "timetable": "ClosedPartitionTimetable",
        "weights": ["EarlierPartitionFirst"],
    }


def test_a_run_whose_tasks_were_skipped_has_no_candidate_and_no_record() -> None:
    """A promotion is rendered before it is skipped."""
    nothing = SimpleNamespace(xcom_pull=lambda task_ids: None)
    assert (train_module.candidate(nothing), train_module.record(nothing)) == ("", "")
    assert train_module.is_allowed(nothing), "the monitor has decided before it starts a training"


def test_both_judgements_of_a_training_need_its_candidate(dags: dict[str, Any]) -> None:
    for dag_id in ("flight_delay__train", "bike_demand__train"):
        for name in ("judge", "promote"):
            assert "no candidate" in dags[dag_id].get_task(name).required["model"]
