"""Airflow on Postgres with two Celery workers, which loses one of its parts during each day of a job.

Another one takes the place of a lost part, as Compose would start it again.
"""

import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.errors import ContrailError
from contrail_airflow.local import main_job
from contrail_airflow.local.api import AirflowApiError
from contrail_airflow.local.embedded import EmbeddedError
from contrail_airflow.local.main_job import MainJob, MainJobError, make_plan
from tests.chaos.trials import Trial
from tests.conftest import PROJECT, TOY_PIPELINES, Toy
from tests.integration.test_several_workers import run_stages
from tests.servers import WORKERS, Servers, SeveralWorkers, served

_DATABASE = "database"
PARTS = ("scheduler", "dag-processor", "triggerer", "api-server", WORKERS[0], _DATABASE)
_ROWS = "SELECT partition_date, parcel, round(probability, 12), reason_1 FROM predictions ORDER BY ALL"


class Losses(threading.Thread):
    """Loses a part while a stage of its day runs; ``lost`` has the parts and the stages."""

    def __init__(self, airflow: SeveralWorkers, parts: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.airflow, self.left = airflow, parts
        self.lost: dict[str, str] = {}

    def run(self) -> None:
        while self.left:
            for day, part in list(self.left.items()):
                if found := self.airflow.stage_of_worker({day}):
                    self._lose(part)
                    self.lost[day] = found[1]
                    self.left.pop(day, None)
            time.sleep(0.1)

    def _lose(self, part: str) -> None:
        if part != _DATABASE:
            self.airflow.replace(part)
            return
        # A process of the server dies, so the server closes every connection, recovers and starts again.
        query = "SELECT pid FROM pg_stat_activity WHERE usename = 'airflow'"
        with suppress(psycopg2.Error, ProcessLookupError):
            os.kill(self.airflow.servers.query("postgres", "postgres", query)[0][0], signal.SIGKILL)


def days_with_losses(parts: tuple[str, ...] = PARTS) -> Iterator[Trial]:
    """Run as many days as there are parts, each of which is lost during one of them."""
    with (
        tempfile.TemporaryDirectory(prefix="contrail-airflow-", dir="/tmp") as place,
        served() as servers,
        pytest.MonkeyPatch.context() as patch,
    ):
        yield from _days(servers, Path(place), patch, parts)


def _days(servers: Servers, place: Path, patch: pytest.MonkeyPatch, parts: tuple[str, ...]) -> Iterator[Trial]:
    patch.setattr(main_job, "DAILY_DAYS", len(parts))
    patch.setenv("CONTRAIL_PIPELINES", str(TOY_PIPELINES))
    patch.setenv("CONTRAIL_HOME", str(place / "calm"))
    settings.cache_clear()
    pipeline = load_pipeline("toy")
    plan = make_plan(pipeline)
    calm = Toy(pipeline, settings())
    run_stages(calm, plan, plan.daily.end)
    wanted = calm.sql(_ROWS)
    for name, value in {
        **servers.environment(),
        "CONTRAIL_HOME": str(place / "shared"),
        "CONTRAIL_DAGS": str(PROJECT / "tests" / "dags"),
    }.items():
        patch.setenv(name, value)
    settings.cache_clear()
    shared = Toy(pipeline, settings())
    run_stages(shared, plan, plan.stretch.end)
    days = {str(plan.daily.start + timedelta(days=number)): part for number, part in enumerate(parts)}
    lost: dict[str, str] = {}
    said: list[str] = []
    for _ in range(2):  # what stopped the first job, the next one goes on with
        job = MainJob(pipeline)
        job.embedded = airflow = SeveralWorkers(settings(), servers)
        losses = Losses(airflow, {day: part for day, part in days.items() if day not in lost})
        losses.start()
        try:
            job.run()
        except (MainJobError, EmbeddedError, AirflowApiError, ContrailError) as error:
            said.append(f"{type(error).__name__}: {str(error)[-1500:]}")
        else:
            said.append("")
            break
        finally:
            losses.left = {}
            airflow.stop()
            lost |= losses.lost
    yield from _told(days, lost, wanted, shared.sql(_ROWS), said)


def _told(
    days: dict[str, str],
    lost: dict[str, str],
    wanted: list[tuple[Any, ...]],
    found: list[tuple[Any, ...]],
    said: list[str],
) -> Iterator[Trial]:
    for number, (day, part) in enumerate(days.items()):
        trial = Trial("a day through Airflow", f"{part} lost", number, lost.get(day, ""))
        rows, right = (Counter(row[1:] for row in all_rows if str(row[0]) == day) for all_rows in (found, wanted))
        trial.lost += [str(row) for row in [*(right - rows)][:3]]
        trial.doubled += [str(row) for row in [*(rows - right)][:3]]
        if day not in lost:
            trial.other.append("it was not lost: no stage of the day was seen")
        trial.told = said[0]
        if said[-1]:
            trial.blocked.append(said[-1])
        yield trial
