"""Policy of every DAG, and the exact commands that they run."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contrail.pipeline import pipeline_names
from contrail.settings import settings
from contrail_airflow.dag_builder import HEAVY_POOL, build_dags, days_before
from contrail_airflow.operators import StageOperator

PROJECT = Path(__file__).resolve().parents[3]
# By hand, so that a DAG that vanishes fails the test.
DAG_IDS = {
    f"{pipeline}__{suffix}"
    for pipeline in ("flight_delay", "bike_demand")
    for suffix in ("daily", "score", "monitor", "train", "backfill")
}
TASKS = {
    "daily": ["ingest", "validate", "features"],
    "score": ["score"],
    "monitor": ["drift", "performance"],
    "train": ["train", "promote"],
    "backfill": ["ingest", "validate", "features", "score", "drift", "performance"],
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
        for task in dag.tasks:
            name = f"{dag_id}.{task.task_id}"
            assert isinstance(task, StageOperator), name
            assert task.owner not in ("", "airflow"), name
            assert task.retries >= 1, name
            assert task.retry_exponential_backoff, name
            assert task.max_retry_delay, name
            assert task.execution_timeout, name
            assert task.doc_md, name
            assert task.pool == HEAVY_POOL, name


@pytest.mark.parametrize(
    ("suffix", "task", "expected"),
    [
        ("daily", "ingest", "{{ partition_key }}..{{ partition_key }} --as-of-cutoff"),
        ("daily", "validate", "{{ partition_key }}..{{ partition_key }} --as-of-cutoff"),
        ("daily", "features", "{{ partition_key }}..{{ partition_key }}"),
        ("score", "score", "{{ partition_key }}..{{ partition_key }}"),
        ("monitor", "drift", "{{ partition_key }}..{{ partition_key }}"),
    ],
)
def test_daily_tasks_carry_their_partition(dags: dict[str, Any], suffix: str, task: str, expected: str) -> None:
    found = dags[f"flight_delay__{suffix}"].get_task(task)
    shown = " ".join([f"{found.partition_from}..{found.partition_to}", *found.arguments])
    assert shown == expected


def test_performance_is_measured_when_labels_are_mature() -> None:
    assert days_before("2013-03-01", 2) == "2013-02-27"


def test_chains_are_in_order(dags: dict[str, Any]) -> None:
    daily = dags["flight_delay__daily"]
    assert daily.get_task("ingest").downstream_task_ids == {"validate"}
    assert daily.get_task("validate").downstream_task_ids == {"features"}
    assert dags["flight_delay__train"].get_task("train").downstream_task_ids == {"promote"}


def test_assets_lead_from_day_to_day(dags: dict[str, Any]) -> None:
    features = dags["flight_delay__daily"].get_task("features").outlets
    assert [asset.name for asset in features] == ["flight_delay.features"]
    assert [asset.name for asset in dags["flight_delay__score"].get_task("score").outlets] == [
        "flight_delay.predictions"
    ]


def test_parsing_imports_nothing_heavy_and_is_quick(home: Path) -> None:
    script = (
        "import sys, time; sys.path[:0] = ['plugins', 'dags', 'include']; import airflow.sdk, pydantic, yaml\n"
        "from airflow.timetables.trigger import CronPartitionTimetable\n"
        "start = time.perf_counter(); import flight_delay; print(time.perf_counter() - start)\n"
        "heavy = {'pandas', 'pyspark', 'xgboost', 'mlflow', 'evidently', 'great_expectations', 'pyarrow', 'duckdb'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
