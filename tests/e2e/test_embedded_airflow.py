"""The main job through a real Airflow, on the toy pipeline; and Airflow's own backfill, twice.

This module runs first in its folder, because the published rows must be those of the first champion.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from contrail.config.settings import settings
from contrail.lake.lake import Lake
from contrail_airflow.local.api import AirflowApi
from contrail_airflow.local.embedded import Embedded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500), pytest.mark.xdist_group("airflow")]


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


def test_the_main_job_once_more_has_nothing_to_do(first_run: str, main_job: Callable[[], str]) -> None:
    assert "first champion" in first_run
    assert "Champion" in first_run
    assert "toy version 1" in first_run
    assert not Embedded(settings()).state().processes, "what the job started is stopped"
    rows = published()
    assert len({row[0] for row in rows}) == 15
    assert "Everything is up to date" in main_job()
    assert published() == rows


def test_airflows_own_backfill_of_two_days_twice(airflow: Embedded) -> None:
    """The days follow through every DAG and leave the same rows."""
    rows = published()
    api = airflow.api()
    assert api.call("GET", "importErrors")["total_entries"] == 0
    already = {suffix: len(api.runs(f"toy__{suffix}")) for suffix in ("daily", "score", "monitor")}
    for repeat in (1, 2):
        _backfill(api, airflow.environment())
        for suffix, count in already.items():
            runs = _wait_for_runs(api, f"toy__{suffix}", count + 2 * repeat)
            assert {run["state"] for run in runs} == {"success"}, suffix
        assert published() == rows
