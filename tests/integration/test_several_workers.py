"""The topology of docker-compose.yaml as processes of this machine; see tests/servers.py. A worker is lost."""

import threading
import time
from datetime import date
from pathlib import Path

import psycopg2
import pytest
from tests.conftest import PROJECT, TOY_PIPELINES, Toy
from tests.servers import WORKERS, Servers, SeveralWorkers

from contrail.config.settings import settings
from contrail_airflow.local import main_job
from contrail_airflow.local.main_job import MainJob, Plan, make_plan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("airflow")]

_PUBLISHED = "SELECT partition_date, parcel, round(probability, 12), reason_1 FROM predictions ORDER BY ALL"


class LostWorker(threading.Thread):
    """Kills the first worker that is seen at a stage of one of these days."""

    def __init__(self, airflow: SeveralWorkers, days: set[str]) -> None:
        super().__init__(daemon=True)
        self.airflow = airflow
        self.days = days
        self.worker = self.stage = ""

    def run(self) -> None:
        while not (found := self.airflow.stage_of_worker(self.days)):
            time.sleep(0.1)
        self.worker, self.stage = found
        self.airflow.lose(self.worker)


def run_stages(toy: Toy, plan: Plan, last: date) -> None:
    """Everything up to this day, stage by stage in this process, without Airflow."""
    first, scored = str(plan.history.start), (str(plan.stretch.start), str(last))
    toy.land(first, str(last))
    for verb in ("ingest", "validate", "features"):
        toy.run(verb, first, str(last))
    toy.run("train", str(plan.windows.train.start), str(plan.windows.train.end))
    toy.run("promote", str(plan.windows.gate.start), str(plan.windows.gate.end))
    for verb in ("score", "drift", "performance"):
        toy.run(verb, *scored)


def test_a_day_is_complete_although_a_worker_is_lost(
    servers: Servers, toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main_job, "DAILY_DAYS", 1)
    plan = make_plan(toy.pipeline)
    run_stages(toy, plan, plan.daily.end)
    wanted = toy.sql(_PUBLISHED)
    for name, value in {
        **servers.environment(),
        "CONTRAIL_HOME": str(tmp_path / "shared"),
        "CONTRAIL_DAGS": str(PROJECT / "tests" / "dags"),
        "CONTRAIL_PIPELINES": str(TOY_PIPELINES),
    }.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    shared = Toy(toy.pipeline, settings())
    run_stages(shared, plan, plan.stretch.end)

    job = MainJob(toy.pipeline)
    assert [label for label, _ in job.steps()] == [f"day by day {plan.daily}"]
    job.embedded = embedded = SeveralWorkers(settings(), servers)
    lost = LostWorker(embedded, {str(day) for day in plan.daily})
    lost.start()
    try:
        job.run()
    finally:
        embedded.stop()

    assert lost.worker, "no worker was lost"
    for name in WORKERS:
        assert "Executing workload in Celery" in embedded.log_tail(name, 100_000), f"{name} had nothing to do"
    runs = servers.query("airflow", "airflow", "SELECT dag_id, state, count(*) FROM dag_run GROUP BY 1, 2 ORDER BY 1")
    assert {state for _, state, _ in runs} == {"success"}, runs
    assert servers.query("airflow", "airflow", "SELECT max(try_number) FROM task_instance") == [(2,)], lost.stage

    assert shared.sql(_PUBLISHED) == wanted
    assert job.steps() == [], "every partition is complete, from landing to drift"

    tables = servers.query("contrail", "iceberg", "SELECT table_name FROM iceberg_tables ORDER BY 1")
    assert ("predictions",) in tables
    assert servers.query("contrail", "mlflow", "SELECT name FROM registered_models") == [("toy",)]
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        servers.query("contrail", "airflow", "SELECT 1")
