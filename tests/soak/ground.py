"""The place of a soak: both pipelines with shorter windows, their home, the Airflow that runs them, and a journal."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from contrail.config.pipeline import Pipeline, load_pipeline
from contrail.config.settings import settings
from contrail_airflow.local.api import AirflowApi
from contrail_airflow.local.embedded import Embedded
from contrail_airflow.local.main_job import Plan, make_plan
from contrail_airflow.local.state import COMPONENTS
from tests.chaos.preload import full_disk
from tests.conftest import PROJECT

FLIGHTS, BIKES = "flight_delay", "bike_demand"
DAGS = ("daily", "score", "monitor", "train", "backfill", "replay", "rollback", "maintain")
# The first champions are judged in March, so that most of the year is scored.
_SHORTER: dict[str, dict[str, dict[str, Any]]] = {
    FLIGHTS: {"train": {"window_days": 56, "validation_days": 14}, "gate": {"window_days": 14}},
    BIKES: {"train": {"window_days": 56, "validation_days": 14}, "gate": {"window_days": 14, "min_rows": 200}},
}
_ENDS = {BIKES: date(2018, 12, 31)}
# As the shipped ones, but a minute of the soak is half a day.
_SCHEDULE = {"retries": 2, "retry_delay_seconds": 5}
_DAY = timedelta(days=1)


class _Airflow(Embedded):
    """The embedded Airflow, whose processes find the lake's disk full while a file is there."""

    switch: Path

    def environment(self) -> dict[str, str]:
        return super().environment() | full_disk(self.switch, self.settings.home_path / "lake")


@dataclass
class Ground:
    """The folder of a soak, in which it goes on after a stop."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pipelines = self.folder / "pipelines"
        shutil.copytree(PROJECT / "include" / "pipelines", self.pipelines, dirs_exist_ok=True)
        for name in _SHORTER:
            self.deploy(name)
        if self.away.exists():  # a comparison was killed
            shutil.rmtree(self.home, ignore_errors=True)
            self.away.rename(self.home)
        os.environ |= {
            "CONTRAIL_HOME": str(self.home),
            "CONTRAIL_PROJECT": str(PROJECT),
            "CONTRAIL_PIPELINES": str(self.pipelines),
            "CONTRAIL_DAGS": str(PROJECT / "dags"),
            "USER": "soak",
            "LOGNAME": "soak",
        }
        settings.cache_clear()

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def away(self) -> Path:
        """Where the year's home is while a calm one is made in its place."""
        return self.folder / "home-of-the-year"

    @property
    def switch(self) -> Path:
        """While this file is there, the lake's disk is full."""
        return self.folder / "disk-is-full"

    # ---- the pipelines ----

    def deploy(self, name: str, more: Mapping[str, Any] | None = None) -> None:
        """Write a pipeline's spec, with ``more`` keys that it may not have."""
        spec = yaml.safe_load((PROJECT / "include" / "pipelines" / name / "pipeline.yaml").read_text())
        for section, values in _SHORTER[name].items():
            spec[section] |= values
        spec["schedule"] |= _SCHEDULE
        spec["last_partition"] = _ENDS.get(name, spec["last_partition"])
        (self.pipelines / name / "pipeline.yaml").write_text(yaml.safe_dump(spec | dict(more or {}), sort_keys=False))

    @cached_property
    def specs(self) -> dict[str, Pipeline]:
        """The pipelines."""
        return {name: load_pipeline(name) for name in _SHORTER}

    @cached_property
    def plans(self) -> dict[str, Plan]:
        """The pipelines' days: the history of the first champion, and those that come one by one."""
        return {name: make_plan(pipeline) for name, pipeline in self.specs.items()}

    def date_of(self, pipeline: str, day: int) -> date:
        """The date of a simulated day, from 1."""
        return self.plans[pipeline].history.end + day * _DAY

    def day_of(self, pipeline: str, own: date) -> int:
        """The simulated day of a date."""
        return (own - self.plans[pipeline].history.end).days

    @property
    def longest(self) -> int:
        """How many days there are to simulate."""
        return min((plan.daily.end - plan.history.end).days for plan in self.plans.values())

    # ---- a person's shell ----

    def command(self, *arguments: object) -> list[str]:
        """A command as a person types it."""
        return [sys.executable, "-m", "contrail", *map(str, arguments)]

    def contrail(self, *arguments: object, fails: bool = False) -> str:
        """Run it to its end, and return what it says.

        Raises:
            RuntimeError: with its words, where it ends with an error, unless it may.
        """
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False)
        if done.returncode and not fails:
            raise RuntimeError(
                f"contrail {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr[-2000:]}"
            )
        return done.stdout + done.stderr

    def feed(self, pipeline: str) -> Any:
        """The landing zone of a pipeline, as ``tests.landed`` takes it."""
        return SimpleNamespace(landing=self.home / "landing" / pipeline)

    def land(self, pipeline: str, day: date) -> None:
        """Deliver the files of a day."""
        self.contrail("land", "-p", pipeline, "--from", day)

    # ---- Airflow ----

    @cached_property
    def embedded(self) -> Embedded:
        made = _Airflow(settings())
        made.switch = self.switch
        return made

    @property
    def api(self) -> AirflowApi:
        """A client of the Airflow that runs now, logged in as the engineer who is on call."""
        state = self.embedded.state()
        known = self.__dict__.get("_api")
        if known is None or known.url != state.airflow_url:
            known = self.__dict__["_api"] = AirflowApi(
                state.airflow_url, "admin", self.embedded.passwords()["admin"], self.embedded.check
            )
        return known

    def as_(self, person: str) -> AirflowApi:
        """The same as one of the roles."""
        return self.embedded.api(person)

    def keep_up(self) -> None:
        """Start Airflow, or start it again when a part of it is gone, as a service manager does."""
        state = self.embedded.state()
        if state.running:
            return
        if state.ready:
            self.write("started", gone=state.dead)
        self.embedded.start(keep=True)
        self.api.wait_for_dags([f"{name}__{dag}" for name in _SHORTER for dag in DAGS], 180)
        for name in _SHORTER:
            for dag in DAGS:
                self.api.pause(f"{name}__{dag}", False)

    def pids(self, *names: str) -> list[int]:
        """The processes of these components; of all without names."""
        wanted = names or (*COMPONENTS, "fork-server")
        return [process.pid for process in self.embedded.state().processes if process.name in wanted]

    # ---- what is kept between two calls ----

    def write(self, kind: str, **values: Any) -> None:
        """Add a line to the journal."""
        with (self.folder / "journal.jsonl").open("a") as journal:
            journal.write(json.dumps({"at": time.time(), "kind": kind, **values}, default=str) + "\n")

    def once(self, what: str, act: Callable[[], Any]) -> None:
        """Act, unless a call before has done so to its end."""
        if not any(line["what"] == what for line in self.journal("done")):
            act()
            self.write("done", what=what)

    def journal(self, kind: str) -> list[dict[str, Any]]:
        """The lines of a kind."""
        path = self.folder / "journal.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if line["kind"] == kind]

    def messages(self) -> list[dict[str, Any]]:
        """All messages that people got."""
        path = self.home / "notifications.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
