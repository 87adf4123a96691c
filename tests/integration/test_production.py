"""The chain in ``prod`` through a running Airflow: Dataproc, Vertex AI, Cloud Storage, BigQuery; see tests/loopback.

Airflow runs on Postgres, Redis and two Celery workers. The scheduler and the workers are lost while a worker submits a
job. The triggerer and the scheduler are lost while they wait for another job. At the end a person gives a training up
while no triggerer runs.
"""

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from google.cloud import bigquery
from tests.conftest import PROJECT, TOY_PIPELINES, Toy
from tests.integration.test_several_workers import run_stages
from tests.loopback.cloud import LoopbackCloud, production
from tests.loopback.identity import PROJECT as GOOGLE_PROJECT
from tests.servers import WORKERS, Servers, SeveralWorkers

from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail_airflow.local import main_job
from contrail_airflow.local.api import AirflowApi
from contrail_airflow.local.main_job import MainJob, make_plan
from contrail_airflow.local.processes import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.production, pytest.mark.timeout(2400), pytest.mark.xdist_group("airflow")]

_PUBLISHED = "SELECT partition_date, parcel, round(probability, 9), reason_1 FROM predictions ORDER BY ALL"
_SUBMIT, _WAIT = ("scheduler", *WORKERS), ("triggerer", "scheduler")
_RETRIED = "SELECT task_id, max(try_number) FROM task_instance WHERE try_number > 1 GROUP BY 1"


class Trouble(threading.Thread):
    """Who waits for a job is lost: first when a batch is made and nobody was told, then while a training runs."""

    def __init__(self, airflow: SeveralWorkers, cloud: LoopbackCloud) -> None:
        super().__init__(daemon=True)
        self.airflow = airflow
        self.cloud = cloud
        self.lost: list[str] = []

    def run(self) -> None:
        with self.cloud.batches_held():
            _when(lambda: bool(self.cloud.jobs()))
            for name in _SUBMIT:
                self._lose(name)
            self._when_waiting("features", attempt=2)
        self._when_waiting("train", attempt=1)
        for name in _WAIT:
            self._lose(name)

    def _when_waiting(self, task: str, attempt: int) -> None:
        query = (
            f"SELECT 1 FROM task_instance WHERE state = 'deferred' AND (task_id, try_number) = ('{task}', {attempt})"
        )
        _when(lambda: bool(self.airflow.servers.query("airflow", "airflow", query)))

    def _lose(self, name: str) -> None:
        self.airflow.replace(name)
        self.lost.append(name)


def _when(seen: Callable[[], bool]) -> None:
    while not seen():
        time.sleep(0.2)


class GivenUp(MainJob):
    """The main job, and then a training that a person marks as failed while it waits and nobody waits for it."""

    cloud: LoopbackCloud
    embedded: SeveralWorkers

    def steps(self) -> list[tuple[str, Callable[[AirflowApi], None]]]:
        return [*super().steps(), ("a training that is given up", self._give_up)]

    def _give_up(self, api: AirflowApi) -> None:
        before = self.cloud.jobs()
        self.embedded.lose("triggerer")
        as_of = str(self.plan.windows.gate.end + timedelta(days=1))
        with self.cloud.trainings_held():
            run_id = api.trigger("toy__train", {"as_of": as_of, "why": "to be given up", "insist": True})

            def training() -> str:
                return next(task["state"] for task in api.tasks("toy__train", run_id) if task["task_id"] == "train")

            assert wait_until(lambda: training() == "deferred", 120), api.tasks("toy__train", run_id)
            (given_up,) = self.cloud.jobs().keys() - before.keys()
            task = f"dags/toy__train/dagRuns/{run_id}/taskInstances/train"
            api.call("PATCH", task, json={"new_state": "failed"})
            ended = wait_until(lambda: self.cloud.jobs()[given_up] == "JOB_STATE_CANCELLED", 120)
            assert ended, self.cloud.jobs()
        assert training() == "failed"
        self.embedded.replace("triggerer")


@pytest.fixture
def toy(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The toy pipeline with fewer days and shorter waits, in an empty home on this machine."""
    spec = shutil.copytree(TOY_PIPELINES, tmp_path / "pipelines") / "toy" / "pipeline.yaml"
    text = spec.read_text()
    for before, after in {
        "last_partition: 2024-03-10": "last_partition: 2024-02-07",
        "window_days: 40": "window_days: 20",
    }.items():
        assert before in text
        text = text.replace(before, after)
    spec.write_text(text)
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(tmp_path / "pipelines"))
    settings.cache_clear()
    return Toy(load_pipeline("toy"), settings())


def test_the_chain_is_complete_and_reconciled_although_scheduler_workers_and_triggerer_are_lost(
    servers: Servers, toy: Toy, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main_job, "DAILY_DAYS", 1)
    plan = make_plan(toy.pipeline)
    run_stages(toy, plan, plan.daily.end)
    wanted = toy.sql(_PUBLISHED)
    with production(tmp_path_factory.mktemp("production"), CONTRAIL_DAGS=str(PROJECT / "tests" / "dags")) as cloud:
        job = GivenUp(toy.pipeline)
        job.cloud = cloud
        job.embedded = airflow = SeveralWorkers(settings(), servers)
        trouble = Trouble(airflow, cloud)
        trouble.start()
        try:
            job.run()
        finally:
            airflow.stop()
        jobs = cloud.jobs()

        assert trouble.lost == [*_SUBMIT, *_WAIT]
        # What was submitted before somebody was lost was taken up: of no task are there two jobs. One training was given up.
        assert Counter(name.rpartition("-a")[0].rpartition("-")[0] for name in jobs) == {
            "contrail-toy-features": 2,
            "contrail-toy-train": 2,
        }
        assert {name[-3:] for name in jobs} == {"-a1"}
        assert Counter(jobs.values()) == {"SUCCEEDED": 2, "JOB_STATE_SUCCEEDED": 1, "JOB_STATE_CANCELLED": 1}
        assert ("features", 2) in servers.query("airflow", "airflow", _RETRIED)

        there = Toy(toy.pipeline, settings())
        assert there.sql(_PUBLISHED) == wanted
        assert MainJob(toy.pipeline).steps() == [], "every partition is complete, from landing to drift"
        first, last = str(plan.stretch.start), str(plan.daily.end)
        assert there.run("publish", first, last).unchanged, "Airflow has shown the analysts everything"
        table = f"`{GOOGLE_PROJECT}.contrail_analysts.toy_predictions`"
        shown = bigquery.Client(GOOGLE_PROJECT).query_and_wait(f"SELECT COUNT(*) AS n FROM {table}")
        assert [row["n"] for row in shown] == [len(wanted)]
