"""The main job through a real Airflow, on the toy pipeline; Airflow's own backfill, twice; and a clean stop."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import PROJECT, TOY_PIPELINES

from contrail.lake.lake import Lake
from contrail.pipeline import load_pipeline
from contrail.settings import settings
from contrail_airflow.api import AirflowApi, AirflowApiError
from contrail_airflow.embedded import Embedded
from contrail_airflow.main_job import MainJob

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500), pytest.mark.xdist_group("airflow")]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a home whose only pipeline is toy."""
    own = {
        "CONTRAIL_HOME": str(tmp_path_factory.mktemp("airflow") / "home"),
        "CONTRAIL_PROJECT": str(PROJECT),
        "CONTRAIL_PIPELINES": str(TOY_PIPELINES),
        "CONTRAIL_DAGS": str(PROJECT / "tests" / "dags"),
        "PYTHONPATH": os.pathsep.join([str(PROJECT / "include"), str(PROJECT / "plugins")]),
    }
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    settings.cache_clear()
    yield {**os.environ}
    Embedded(settings()).stop()
    for name, value in before.items():
        os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
    settings.cache_clear()


def main_job(environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", "contrail_airflow.main_job", "--pipeline", "toy"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def published() -> list[tuple[Any, ...]]:
    with Lake(settings(), "toy").connect() as connection:
        return connection.sql(
            "SELECT partition_date, parcel, round(probability, 12), reason_1, model_version "
            "FROM predictions ORDER BY ALL"
        ).fetchall()


def _wait_for_runs(api: AirflowApi, dag_id: str, count: int) -> list[dict[str, Any]]:
    end = time.monotonic() + 300
    while time.monotonic() < end:
        runs = api.runs(dag_id)
        if len(runs) >= count and all(run["state"] in ("success", "failed") for run in runs):
            return runs
        time.sleep(1)
    raise AssertionError(f"{dag_id}: {[(run['partition_key'], run['state']) for run in runs]}")


def _backfill(api: AirflowApi, environment: dict[str, str]) -> None:
    """Start Airflow's backfill of two days. It allows one a DAG; its scheduler looks for ended ones every 30 s."""
    end = time.monotonic() + 120
    while api.active_backfills("toy__daily"):
        assert time.monotonic() < end, "the backfill before this one has not ended"
        time.sleep(1)
    command = [
        sys.executable, "-m", "airflow", "backfill", "create", "--dag-id", "toy__daily",
        "--from-date", "2024-03-09", "--to-date", "2024-03-10", "--reprocess-behavior", "completed",
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_main_job_then_airflows_own_backfill_twice(environment: dict[str, str]) -> None:
    said = main_job(environment)
    assert "first champion" in said
    assert "Champion" in said
    assert "toy version 1" in said
    assert not Embedded(settings()).state().processes, "what the job started is stopped"
    rows = published()
    assert len({row[0] for row in rows}) == 15
    assert "Everything is up to date" in main_job(environment)
    assert published() == rows

    # Airflow's own backfill of two days, twice: the days follow through every DAG and leave the same rows.
    embedded = Embedded(settings())
    embedded.start()
    try:
        api = embedded.api()
        api.wait_for_dags(["toy__daily", "toy__score", "toy__monitor"], 60)
        assert api.call("GET", "importErrors")["total_entries"] == 0
        for suffix in ("daily", "score", "monitor"):
            api.pause(f"toy__{suffix}", False)
        already = {suffix: len(api.runs(f"toy__{suffix}")) for suffix in ("daily", "score", "monitor")}
        for repeat in (1, 2):
            _backfill(api, embedded.environment())
            for suffix, count in already.items():
                runs = _wait_for_runs(api, f"toy__{suffix}", count + 2 * repeat)
                assert {run["state"] for run in runs} == {"success"}, suffix
            assert published() == rows
    finally:
        stopped = embedded.stop()
    assert set(stopped) == {"api-server", "scheduler", "dag-processor", "triggerer"}
    assert embedded.stop() == []


def test_roles_a_failed_day_and_an_approval(environment: dict[str, str]) -> None:
    """What each kind of user may do, asked over the API; what people are told of a day without its file; an approver's answer."""
    if not Lake(settings(), "toy").exists("predictions"):  # this test alone
        main_job(environment)
    embedded = Embedded(settings())
    embedded.start()
    try:
        api = embedded.api()
        api.wait_for_dags(["toy__daily", "toy__train"], 60)
        with pytest.raises(AirflowApiError, match="refused the login"):
            AirflowApi(api.url, "admin", "admin").call("GET", "dags")
        analyst, scientist, engineer = (embedded.api(name) for name in ("analyst", "scientist", "engineer"))
        assert analyst.call("GET", "dags")["total_entries"] == 5
        connection = {"connection_id": "warehouse", "conn_type": "generic"}
        for user, method, path, body in (
            (analyst, "POST", "dags/toy__train/dagRuns", {"logical_date": None}),
            (analyst, "PATCH", "dags/toy__daily", {"is_paused": False}),
            (analyst, "POST", "connections", connection),
            (scientist, "POST", "connections", connection),
            (scientist, "PATCH", "pools/heavy", {"slots": 9}),
        ):
            with pytest.raises(AirflowApiError, match=": 403 "):
                user.call(method, path, json=body)
        engineer.call("POST", "connections", json=connection)
        scientist.pause("toy__daily", False)

        late = {"logical_date": None, "partition_key": "2024-04-20"}
        run_id = scientist.call("POST", "dags/toy__daily/dagRuns", json=late)["dag_run_id"]
        assert scientist.wait("toy__daily", run_id, lambda task: None) == "failed"
        lines = (settings().home_path / "notifications.jsonl").read_text().splitlines()
        told = [line for line in map(json.loads, lines) if "2024-04-20" in line["where"]]
        assert [line["kind"] for line in told] == ["refusal"]
        assert told[0]["happened"].startswith("✗ FileRefusedError: 2 landed files refused")
        assert told[0]["link"].startswith(api.url)

        _approve_a_promotion(api, scientist, embedded.api("approver"))
    finally:
        embedded.stop()


def _approve_a_promotion(api: AirflowApi, scientist: AirflowApi, approver: AirflowApi) -> None:
    """A training that waits for a person: a scientist may ask for it and not answer it, an approver may."""
    pipeline = load_pipeline("toy")
    as_of = str(MainJob(pipeline).plan.windows.gate.end + timedelta(days=1))
    scientist.pause("toy__train", False)
    run_id = scientist.trigger("toy__train", {"as_of": as_of, "approval": True})
    waiting = f"dags/toy__train/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"
    end = time.monotonic() + 180
    while not any(task["state"] == "awaiting_input" for task in api.tasks("toy__train", run_id)):
        states = {task["task_id"]: task["state"] for task in api.tasks("toy__train", run_id)}
        assert time.monotonic() < end and "failed" not in states.values(), states
        time.sleep(1)
    body = api.call("GET", waiting)["body"]
    assert "waits for an approver" in body
    assert "| log_loss |" in body.replace("| auc | log_loss |", "| log_loss |")
    answer = {"chosen_options": ["Approve"], "params_input": {"reason": "looks right"}}
    with pytest.raises(AirflowApiError, match=": 403 "):
        scientist.call("PATCH", waiting, json=answer)
    approver.call("PATCH", waiting, json=answer)
    assert approver.wait("toy__train", run_id, lambda task: None) == "success"
    with Lake(settings(), "toy").connect() as connection:
        (newest,) = connection.sql(
            "SELECT person, reason FROM model_history WHERE alias = 'champion' ORDER BY moved_at DESC LIMIT 1"
        ).fetchall()
    assert newest == ("approver", "looks right")
