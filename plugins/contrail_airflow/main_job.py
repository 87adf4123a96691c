"""The main job of `make run`: a pipeline's whole chain on its whole data, through Airflow, with progress for a person.

It only asks Airflow for runs and watches them; what runs is in the DAGs. Running it again does only what is missing.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from rich.console import Console

from contrail.adapters.registry import alias_version
from contrail.errors import ContrailError
from contrail.lake.lake import Lake
from contrail.partitions import Partitions
from contrail.pipeline import Pipeline, load_pipeline
from contrail.settings import settings
from contrail.status import OK, WAITING, PartitionStatus, partition_status
from contrail.training_windows import TrainingWindows, training_windows
from contrail_airflow.api import AirflowApi, AirflowApiError
from contrail_airflow.embedded import Embedded, EmbeddedError, running

DAILY_DAYS = 3
HISTORY_STAGES = ("ingest", "validate", "features")
STRETCH_STAGES = (*HISTORY_STAGES, "score", "drift", "performance")
_CASCADE_SECONDS = 600
_DAGS = ("daily", "score", "monitor", "train", "backfill")

console = Console()


class MainJobError(Exception):
    """A run failed; the message says which task, why, and where to look."""


@dataclass(frozen=True)
class Plan:
    """The three parts of the days: learn on the first, score the second in bulk, the last day by day."""

    windows: TrainingWindows
    history: Partitions
    stretch: Partitions
    daily: Partitions


def make_plan(pipeline: Pipeline) -> Plan:
    """Divide the pipeline's days: the first training window and its gate, the rest, and the last few days.

    Raises:
        ContrailError: if the pipeline has no last partition, or too few days.
    """
    spec = pipeline.spec
    if spec.last_partition is None:
        raise ContrailError(f"{spec.name} has no last_partition: it runs on its schedule; unpause its DAGs (make up)")
    reserved = spec.train.window_days + spec.train.embargo_days + spec.gate.window_days
    as_of = spec.first_partition + timedelta(days=reserved)
    daily = Partitions(spec.last_partition - timedelta(days=DAILY_DAYS - 1), spec.last_partition)
    return Plan(
        windows=training_windows(spec, as_of),
        history=Partitions(spec.first_partition, as_of - timedelta(days=1)),
        stretch=Partitions(as_of, daily.start - timedelta(days=1)),
        daily=daily,
    )


class MainJob:
    """One run of the main job."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.settings = settings()
        self.lake = Lake(self.settings, pipeline.name)
        self.plan = make_plan(pipeline)
        self.started = time.monotonic()

    # ---- what is left to do ----

    def _done(self, partitions: Partitions, stages: tuple[str, ...]) -> bool:
        statuses = partition_status(self.lake, self.pipeline.spec, partitions)
        return all(_complete(status, stages) for status in statuses)

    def _has_champion(self) -> bool:
        return alias_version(self.settings, self.pipeline.name, "champion") is not None

    def steps(self) -> list[tuple[str, Callable[[AirflowApi], None]]]:
        """The steps that are not done yet, in order."""
        plan = self.plan
        found: list[tuple[str, Callable[[AirflowApi], None]]] = []
        if not self._done(plan.history, HISTORY_STAGES):
            found.append((f"history {plan.history}", lambda api: self._range(api, plan.history, HISTORY_STAGES)))
        if not self._has_champion():
            found.append((f"first champion, trained on {plan.windows.train}", self._train))
        if not self._done(plan.stretch, STRETCH_STAGES):
            found.append((f"score {plan.stretch}", lambda api: self._range(api, plan.stretch, STRETCH_STAGES)))
        if not self._done(plan.daily, STRETCH_STAGES):
            found.append((f"day by day {plan.daily}", self._days))
        return found

    # ---- steps ----

    def run(self) -> None:
        """Do what is left, then print the summary.

        Raises:
            MainJobError: when a run failed.
        """
        steps = self.steps()
        if not steps:
            console.print("Everything is up to date; nothing to run.")
            return
        self._land()
        with console.status("Starting Airflow (about half a minute)…"):
            context = running(Embedded(self.settings))
            api = context.__enter__()
        try:
            self._say(f"Airflow is up at {api.url}")
            self._unpause(api)
            for label, step in steps:
                self._say(f"[bold]{label}[/]")
                step(api)
        finally:
            context.__exit__(None, None, None)

    def _land(self) -> None:
        first, last = self.plan.history.start, self.plan.daily.end
        command = [
            sys.executable,
            "-m",
            "contrail",
            "land",
            "-p",
            self.pipeline.name,
            "--from",
            str(first),
            "--to",
            str(last),
        ]
        self._say(f"[bold]land {first}..{last}[/]: deliver the files as a daily feed would")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MainJobError(f"landing the files failed:\n{done.stderr[-3000:]}")

    def _unpause(self, api: AirflowApi) -> None:
        ids = [f"{self.pipeline.name}__{suffix}" for suffix in _DAGS]
        api.wait_for_dags(ids, timeout=120)
        for dag_id in ids:
            # The training DAG's schedule stays off: only its run below is wanted.
            api.pause(dag_id, False)

    def _range(self, api: AirflowApi, partitions: Partitions, stages: tuple[str, ...]) -> None:
        conf = {"from": str(partitions.start), "to": str(partitions.end), "stages": list(stages), "model": "champion"}
        self._watch(api, "backfill", conf)

    def _train(self, api: AirflowApi) -> None:
        as_of = self.plan.windows.gate.end + timedelta(days=1)
        self._watch(api, "train", {"as_of": str(as_of), "set": {}})

    def _watch(self, api: AirflowApi, suffix: str, conf: dict[str, Any]) -> None:
        dag_id = f"{self.pipeline.name}__{suffix}"
        run_id = api.trigger(dag_id, conf)
        self._follow(api, dag_id, run_id)

    def _follow(self, api: AirflowApi, dag_id: str, run_id: str) -> None:
        def told(task: dict[str, Any]) -> None:
            if task["state"] == "success":
                self._say(f"  {task['task_id']:<12} [green]done[/] in {task['duration']:.0f} s")
            elif task["state"] in ("failed", "up_for_retry"):
                self._say(f"  {task['task_id']:<12} [red]{task['state']}[/]")

        with console.status(f"{dag_id} is running; its page: {api.url}/dags/{dag_id}/runs/{run_id}"):
            state = api.wait(dag_id, run_id, told)
        if state != "success":
            self._fail(api, dag_id, run_id)

    def _days(self, api: AirflowApi) -> None:
        """Airflow's own backfill of the daily DAG; scoring and monitoring follow each day by asset."""
        days = self.plan.daily
        name = self.pipeline.name
        since = {suffix: _newest(api, f"{name}__{suffix}") for suffix in ("daily", "score", "monitor")}
        api.backfill(f"{name}__daily", str(days.start), str(days.end))
        with console.status(f"{name}__daily, __score and __monitor are running for {days}"):
            for suffix in ("daily", "score", "monitor"):
                self._wait_for_days(api, f"{name}__{suffix}", days, since[suffix])
                self._say(f"  {suffix:<12} [green]done[/] for {len(days)} days")

    def _wait_for_days(self, api: AirflowApi, dag_id: str, days: Partitions, since: int) -> None:
        end = time.monotonic() + _CASCADE_SECONDS
        wanted = {str(day) for day in days}
        while time.monotonic() < end:
            runs = [run for run in api.runs(dag_id) if _number(run) > since and run.get("partition_key") in wanted]
            failed = [run for run in runs if run["state"] == "failed"]
            if failed:
                self._fail(api, dag_id, failed[0]["dag_run_id"])
            if {run["partition_key"] for run in runs if run["state"] == "success"} == wanted:
                return
            time.sleep(0.5)
        raise MainJobError(f"{dag_id} did not finish {days} in {_CASCADE_SECONDS} s; see {api.url}/dags/{dag_id}")

    def _fail(self, api: AirflowApi, dag_id: str, run_id: str) -> None:
        failed = [task for task in api.tasks(dag_id, run_id) if task["state"] == "failed"]
        lines = [f"{dag_id}, run {run_id}: task {task['task_id']} failed." for task in failed]
        for task in failed[:1]:
            lines += ["  " + line for line in api.log_tail(dag_id, run_id, task)]
        state = f".venv/bin/contrail status -p {self.pipeline.name}"
        lines.append(f"What was published before is kept. See `{state}`; `make up` shows the run; `make run` goes on.")
        raise MainJobError("\n".join(lines))

    def _say(self, line: str) -> None:
        console.print(f"[dim]{time.monotonic() - self.started:5.0f} s[/]  {line}", highlight=False, soft_wrap=True)


def _number(run: dict[str, Any]) -> int:
    return int(run["id"]) if "id" in run else 0


def _newest(api: AirflowApi, dag_id: str) -> int:
    return max((_number(run) for run in api.runs(dag_id)), default=-1)


def _complete(status: PartitionStatus, stages: tuple[str, ...]) -> bool:
    return all(status.stages[name] in (OK, WAITING) for name in stages)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="contrail_airflow.main_job", description=__doc__)
    parser.add_argument("--pipeline", default="flight_delay")
    name = parser.parse_args().pipeline
    try:
        job = MainJob(load_pipeline(name))
        job.run()
    except (MainJobError, EmbeddedError, AirflowApiError, ContrailError) as error:
        console.print(f"[red]✗[/] {error}", markup=True, soft_wrap=True, highlight=False)
        raise SystemExit(1) from None
    subprocess.run([sys.executable, "-m", "contrail", "summary", "-p", name], check=True)


if __name__ == "__main__":
    main()
