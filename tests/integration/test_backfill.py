"""`contrail backfill` in processes of its own: killed, at the same time as others, and what it leaves."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.exceptions import AirflowSkipException
from tests.conftest import PROJECT, Toy, toy_in

from contrail.adapters import registry
from contrail.config.settings import settings

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("backfill")]

FIRST, LAST = "2024-01-01", "2024-03-10"
RANGE = ("2024-02-20", "2024-02-27")
ROWS = "SELECT * EXCLUDE (scoring_run, scored_at, feature_snapshot) FROM predictions ORDER BY partition_date, parcel"
FEATURES = "SELECT * FROM features ORDER BY partition_date, parcel"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A toy home with validated tables, and two versions; the first is champion. Nothing is scored."""
    with toy_in(tmp_path_factory.mktemp("backfill")) as (toy, patch):
        patch.setenv("PYTHONPATH", f"{PROJECT / 'include'}{os.pathsep}{PROJECT / 'plugins'}")
        toy.land(FIRST, LAST)
        for verb in ("ingest", "validate"):
            toy.run(verb, FIRST, LAST)
        toy.run("features", FIRST, "2024-02-10")
        for depth in (3, 5):
            toy.run("train", FIRST, "2024-02-09", params={"max_depth": depth, "nthread": 1})
        registry.set_alias(settings(), registry.describe_version(settings(), "toy", "1"), "champion")
        yield toy


@pytest.fixture(autouse=True)
def _nothing_published_in_the_range(toy: Toy) -> None:
    """Each test begins with the tables as the fixture has left them."""
    first = toy.lake.history("features")[-1].snapshot
    toy.lake.rollback("features", int(str(first)))
    if toy.lake.exists("predictions"):
        toy.lake.catalog.purge_table((toy.lake.namespace, "predictions"))


def command(start: str, end: str, *arguments: str) -> list[str]:
    asked = ["--pipeline", "toy", "--from", start, "--to", end, *arguments]
    return [sys.executable, "-m", "contrail", "backfill", *asked, "--json"]


def start(*arguments: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(arguments, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    printed, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def kill_at(process: subprocess.Popen[str], line: str) -> None:
    """Kill the process and everything that it started as soon as it says this."""
    assert process.stderr is not None
    for said in process.stderr:
        if line in said:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return
    raise AssertionError(f"it ended without saying '{line}'")


def compared(toy: Toy) -> set[str]:
    """The tags of the snapshots that a backfill's record compares."""
    tags = {tag for entry in toy.lake.history("features") for tag in entry.tags}
    return {tag for tag in tags if tag.startswith(("before-", "after-"))}


def alone(toy: Toy) -> tuple[Any, Any]:
    """What one uninterrupted run leaves, taken away again."""
    toy.run("features", *RANGE)
    toy.run("score", *RANGE)
    found = toy.sql(FEATURES), toy.sql(ROWS)
    toy.lake.rollback("features", toy.lake.history("features")[-1].snapshot)
    toy.lake.catalog.purge_table((toy.lake.namespace, "predictions"))
    return found


@pytest.mark.parametrize("moment", ["features 2024-02-24..2024-02-25, job 3 of 4", "score 2024-02-22..2024-02-23"])
def test_killed_between_its_jobs_it_goes_on_where_it_stopped(toy: Toy, moment: str) -> None:
    expected, earlier = alone(toy), compared(toy)
    chunks = ("--commits", "chunk", "--chunk-days", "2")
    kill_at(start(*command(*RANGE, *chunks)), moment)
    made = {entry.commit.label: entry.snapshot for entry in toy.lake.history("features")}
    result = finish(start(*command(*RANGE, *chunks)))
    done = [(job["stage"], job["partitions"]) for job in result["jobs"]]
    whole = [
        (stage, f"2024-02-{day}..2024-02-{day + 1}") for stage in ("features", "score") for day in (20, 22, 24, 26)
    ]
    stopped = next(i for i, job in enumerate(whole) if " ".join(job) in moment)
    # The killed job may have committed just before it died; those before it certainly had.
    assert done in (whole[stopped:], whole[stopped + 1 :])
    kept = {entry.commit.label: entry.snapshot for entry in toy.lake.history("features")}
    assert made.items() <= kept.items()
    assert (toy.sql(FEATURES), toy.sql(ROWS)) == expected
    record = json.loads(Path(result["reports"][1]).read_text())
    assert record["difference"]["predictions"]["total"]["added"] == 8 * 60, "those from before the kill count too"
    own = {f"{when}-{record['id']}" for when in ("before", "after")}
    assert compared(toy) - earlier == own, "the snapshots that the record compares"
    again = finish(start(*command(*RANGE, *chunks)))
    assert again["plan"]["nothing_to_do"]
    assert again["jobs"] == again["reports"] == []


def test_two_that_overlap_and_a_daily_run_all_finish_and_leave_what_one_would(toy: Toy) -> None:
    expected = alone(toy)
    toy.run("features", *RANGE)
    day = [sys.executable, "-m", "contrail", "score", "-p", "toy", "--from", "2024-02-24", "--json"]
    running = [
        start(*command("2024-02-20", "2024-02-25", "--commits", "partition")),
        start(*command("2024-02-22", "2024-02-27", "--commits", "partition")),
        start(*day),
    ]
    results = [finish(process) for process in running]
    assert (toy.sql(FEATURES), toy.sql(ROWS)) == expected
    # Each row's receipt names the run that won its partition, as the last commit of that partition does.
    lineage = toy.lake.lineage("predictions")
    runs = {job["run_id"] for result in results[:2] for job in result["jobs"]} | {results[2]["run_id"]}
    for partition, run in toy.sql("SELECT DISTINCT partition_date, scoring_run FROM predictions"):
        maker = lineage.maker(partition)
        assert maker is not None
        assert maker.provenance.run_id == run
        assert run in runs


def test_two_with_other_models_leave_each_partition_whole(toy: Toy) -> None:
    toy.run("features", *RANGE)
    results = [
        finish(process)
        for process in [
            start(*command(*RANGE, "--stages", "score", "--model", model, "--commits", "partition"))
            for model in ("1", "2")
        ]
    ]
    assert [result["plan"]["model"] for result in results] == ["1", "2"]
    versions = toy.sql("SELECT partition_date, count(DISTINCT model_version), count(*) FROM predictions GROUP BY 1")
    assert {(models, rows) for _, models, rows in versions} == {(1, 60)}
    lineage = toy.lake.lineage("predictions")
    for partition, version in toy.sql("SELECT DISTINCT partition_date, model_version FROM predictions"):
        maker = lineage.maker(partition)
        assert maker is not None
        assert maker.provenance.extra["model_version"] == version


def test_a_dry_run_writes_nothing(toy: Toy) -> None:
    before = toy.lake.snapshot_id("features")
    result = finish(start(*command(*RANGE, "--dry-run")))
    assert result["plan"]["expected_difference"] == {
        "features": {"more_rows": 480, "fewer_rows": 0, "sample": None},
        "predictions": {"more_rows": 480, "fewer_rows": 0, "sample": None},
    }
    assert result["plan"]["stages"][0]["jobs"] == ["2024-02-20..2024-02-27"]
    assert toy.lake.snapshot_id("features") == before
    assert not toy.lake.exists("predictions")


def run_form(run_id: str, **params: Any) -> dict[str, Any]:
    """The tasks of the backfill DAG one after the other, without Airflow around them; what each returned, or None."""
    from contrail_airflow.dags.backfill import backfill

    dag = backfill("toy")
    results: dict[str, Any] = {}
    names = {"dag_id": dag.dag_id, "run_id": run_id, "map_index": -1, "try_number": 1}
    instance = SimpleNamespace(**names, task_id="", xcom_pull=lambda task_ids: results[task_ids])
    context: Any = {
        "params": {**dag.params.dump(), **params},
        "ti": instance,
        "dag_run": SimpleNamespace(start_date=None, triggering_user_name=None),
    }
    for task in dag.tasks:
        instance.task_id = task.task_id
        if isinstance(task, MappedOperator):
            results[task.task_id] = [_execute(task.unmap(job), context) for job in results.pop(f"{task.task_id}_jobs")]
        else:
            results[task.task_id] = _execute(task, context)
    return results


def _execute(task: Any, context: Any) -> Any:
    task.render_template_fields(context)
    try:
        return task.execute(context)
    except AirflowSkipException:
        return None


def test_the_form_shows_a_plan_does_it_and_reports(toy: Toy) -> None:
    days = {"from": RANGE[0], "to": RANGE[1]}
    dry = run_form("dry", **days, dry_run=True)
    assert [task for task, result in dry.items() if result] == ["plan"]
    assert dry["plan"]["plan"]["expected_difference"]["predictions"] == {
        "more_rows": 480,
        "fewer_rows": 0,
        "sample": None,
    }
    assert not toy.lake.exists("predictions")
    done = run_form("manual__2026", **days, model="2", commits="chunk", chunk_days=3)
    assert [task for task, result in done.items() if result] == ["plan", "features", "score", "difference"]
    assert [part["plan"]["partitions"] for part in done["score"]] == [
        "2024-02-20..2024-02-22", "2024-02-23..2024-02-25", "2024-02-26..2024-02-27"
    ]  # fmt: skip
    assert {part["id"] for part in [*done["features"], *done["score"], done["difference"]]} == {"manual__2026"}
    assert done["difference"]["difference"]["predictions"]["added"] == 480
    assert done["difference"]["difference"]["features"]["added"] == 480
    assert toy.sql("SELECT DISTINCT model_version FROM predictions") == [("2",)]
    assert Path(done["difference"]["reports"][0]).stat().st_size > 1000
