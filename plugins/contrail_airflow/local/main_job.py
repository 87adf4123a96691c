"""The main job of `make run`: a pipeline's whole chain on its whole data, through Airflow, with progress for a person.

It only starts runs in Airflow and watches them. The DAGs say what runs. A second run does only what is missing.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape

from contrail.adapters.registry import alias_version
from contrail.config.pipeline import Pipeline, load_pipeline
from contrail.config.settings import settings
from contrail.config.training_windows import TrainingWindows, training_windows
from contrail.errors import ContrailError, SpecError
from contrail.lake.lake import Lake
from contrail.operations.check import check_pipeline
from contrail.operations.status import WAITING, PartitionStatus, partition_status
from contrail.partitions import Partitions
from contrail.stages.staleness import OK
from contrail_airflow.local.api import AirflowApi, AirflowApiError
from contrail_airflow.local.cascade import Cascade
from contrail_airflow.local.embedded import Embedded, EmbeddedError, running
from contrail_airflow.local.processes import interruptible

DAILY_DAYS = 3
BULK_STAGES = ("ingest", "validate", "features")
STRETCH_STAGES = ("score", "drift", "performance")
# The last day's own outcomes come a day later, so its ingest and validate are never complete.
DAILY_STAGES = ("features", "score", "drift", "performance")
_DAGS = ("daily", "score", "monitor", "train", "backfill")
_CASCADE = ("daily", "score", "monitor")
# An asset event becomes a run within 4 s. After this long with nothing running, a missing run is not going to come.
_SILENT_SECONDS = 120
# A week shows a leak of the features' code as well as a year, and takes seconds.
_LEAK_DAYS = 7
_PARSE_SECONDS = 180
_ENDED = {
    "failed": "failed",
    "skipped": "was skipped: the governor or the gate has refused the training or its candidate",
}

console = Console()


class MainJobError(Exception):
    """A run failed; the message says which task, why, and where to look."""


@dataclass(frozen=True)
class Plan:
    """The parts of the days: learn on the history, score the stretch after it in bulk, the last days one by one.

    The tables of history and stretch are made in one go. A row's features never depend on what was known later.
    """

    windows: TrainingWindows
    history: Partitions
    stretch: Partitions
    daily: Partitions

    @property
    def bulk(self) -> Partitions:
        """History and stretch."""
        return Partitions(self.history.start, self.stretch.end)


def make_plan(pipeline: Pipeline) -> Plan:
    """Divide the pipeline's days: the first training window and its gate, the rest, and the last few days.

    Raises:
        ContrailError: if the pipeline has no last partition, or too few days.
    """
    spec = pipeline.spec
    if spec.last_partition is None:
        raise ContrailError(
            f"{spec.name} has no last_partition: it runs on its schedule. "
            "Start Airflow (`make up`) and unpause its DAGs."
        )
    reserved = spec.train.window_days + spec.train.embargo_days + spec.gate.window_days
    as_of = spec.first_partition + timedelta(days=reserved)
    if as_of + timedelta(days=DAILY_DAYS) > spec.last_partition:
        raise ContrailError(
            f"{spec.name} ends on {spec.last_partition}, too early: training, embargo and gate take {reserved} days from "
            f"{spec.first_partition}, and {DAILY_DAYS + 1} more are needed to score. Make train.window_days shorter."
        )
    daily = Partitions(spec.last_partition - timedelta(days=DAILY_DAYS - 1), spec.last_partition)
    return Plan(
        windows=training_windows(spec, as_of),
        history=Partitions(spec.first_partition, as_of - timedelta(days=1)),
        stretch=Partitions(as_of, daily.start - timedelta(days=1)),
        daily=daily,
    )


class MainJob:
    """One run of the main job. Its clock starts at ``started``, as ``time.monotonic`` says it; by default now."""

    def __init__(self, pipeline: Pipeline, started: float | None = None) -> None:
        self.pipeline = pipeline
        self.settings = settings()
        self.lake = Lake(self.settings, pipeline.name)
        self.embedded = Embedded(self.settings)
        self.plan = make_plan(pipeline)
        self.started = time.monotonic() if started is None else started

    # ---- what is left to do ----

    def _done(self, partitions: Partitions, stages: tuple[str, ...]) -> bool:
        statuses = partition_status(self.lake, self.pipeline, partitions.start, partitions.end)
        return all(_complete(status, stages) for status in statuses)

    def _has_champion(self) -> bool:
        return alias_version(self.settings, self.pipeline.name, "champion") is not None

    def steps(self) -> list[tuple[str, Callable[[AirflowApi], None]]]:
        """The steps that are not done yet, in order."""
        plan = self.plan
        found: list[tuple[str, Callable[[AirflowApi], None]]] = []
        if not self._done(plan.bulk, BULK_STAGES):
            found.append((f"tables of {plan.bulk}", lambda api: self._range(api, plan.bulk, BULK_STAGES)))
        if not self._has_champion():
            found.append((f"first champion, trained on {plan.windows.train}", self._train))
        if not self._done(plan.stretch, STRETCH_STAGES):
            found.append((f"score {plan.stretch}", lambda api: self._range(api, plan.stretch, STRETCH_STAGES)))
        if not self._done(plan.daily, DAILY_STAGES):
            found.append((f"day by day {plan.daily}", self._days))
        return found

    # ---- steps ----

    def run(self) -> None:
        """Do what is left, then check that no feature knows the future.

        Raises:
            MainJobError: when a run failed, or features know the future.
        """
        steps = self.steps()
        if not steps:
            console.print("Everything is up to date; nothing to run.")
            return
        with ExitStack() as stack:
            landed = stack.enter_context(self._landing())
            with console.status("Starting Airflow (about half a minute)…"):
                api = stack.enter_context(running(self.embedded))
            self._say(f"Airflow is up at {api.url}")
            landed()
            self._prepare(api)
            for label, step in steps:
                self._say(f"[bold]{label}[/]")
                step(api)
        self._check_leaks()

    @contextmanager
    def _landing(self) -> Iterator[Callable[[], None]]:
        """Deliver the files while Airflow starts. The value is a function that waits until all are there."""
        first, last = str(self.plan.history.start), str(self.plan.daily.end)
        arguments = ["land", "--pipeline", self.pipeline.name, "--from", first, "--to", last]
        self._say(f"[bold]land {first}..{last}[/]: deliver the files as a daily feed would")
        command = [sys.executable, "-m", "contrail", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

        def landed() -> None:
            _, said = process.communicate()
            if process.returncode:
                raise MainJobError(f"landing the files failed:\n{said[-3000:]}")

        try:
            yield landed
        finally:
            process.kill()
            process.wait()

    def _prepare(self, api: AirflowApi) -> None:
        """Unpause the DAGs (their schedules ended with the data) and clear what an interrupted job left behind."""
        ids = [f"{self.pipeline.name}__{suffix}" for suffix in _DAGS]
        api.wait_for_dags(ids, _PARSE_SECONDS)
        if not self.embedded.state().shared and (left := sum(api.abandon(dag_id) for dag_id in ids)):
            self._say(f"  {left} runs that an interrupted job left are marked failed; this job does their work again")
        for dag_id in ids:
            api.pause(dag_id, False)

    def _check_leaks(self) -> None:
        """Prove on the last week of the stretch that no feature knows the future."""
        last = self.plan.bulk.end
        days = Partitions(last - timedelta(days=_LEAK_DAYS - 1), last)
        self._say(f"[bold]check-leaks {days}[/]: build its features without the future, and with a spoilt one")
        arguments = ["-p", self.pipeline.name, "--from", str(days.start), "--to", str(days.end), "--cutoffs", "1"]
        command = [sys.executable, "-m", "contrail", "check-leaks", *arguments]
        found = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if found.returncode:
            raise MainJobError(f"check-leaks found a leak, or could not look:\n{found.stdout[-6000:]}")
        self._say(f"  {escape(found.stdout.strip().splitlines()[-1])}")

    def _range(self, api: AirflowApi, partitions: Partitions, stages: tuple[str, ...]) -> None:
        conf = {"from": str(partitions.start), "to": str(partitions.end), "stages": list(stages), "model": "champion"}
        self._watch(api, "backfill", conf)

    def _train(self, api: AirflowApi) -> None:
        as_of = self.plan.windows.gate.end + timedelta(days=1)
        dag_id, run_id = self._watch(api, "train", {"as_of": str(as_of), "why": "the first champion"})
        if not _promoted(api, dag_id, run_id):
            self._fail(api, dag_id, run_id)

    def _watch(self, api: AirflowApi, suffix: str, conf: dict[str, Any]) -> tuple[str, str]:
        dag_id = f"{self.pipeline.name}__{suffix}"
        run_id = api.trigger(dag_id, conf)
        self._follow(api, dag_id, run_id)
        return dag_id, run_id

    def _follow(self, api: AirflowApi, dag_id: str, run_id: str) -> None:
        def told(task: dict[str, Any]) -> None:
            if task["state"] == "success":
                self._say(f"  {task['task_id']:<12} [green]done[/] in {task['duration']:.0f} s")
            elif task["state"] in ("failed", "up_for_retry"):
                self._say(f"  {task['task_id']:<12} [red]{task['state']}[/]")

        with console.status(f"{dag_id} is running; its page: {api.url}/dags/{dag_id}/runs/{run_id}"):
            state = api.wait(dag_id, run_id, told, self.embedded.check)
        if state != "success":
            self._fail(api, dag_id, run_id)

    def _days(self, api: AirflowApi) -> None:
        """Airflow's own backfill of the daily DAG; scoring and monitoring follow each day by asset."""
        days, name = self.plan.daily, self.pipeline.name
        cascade = Cascade(api, [f"{name}__{suffix}" for suffix in _CASCADE], days)
        with console.status(f"{name}__daily, __score and __monitor are running for {days}"):
            while api.active_backfills(f"{name}__daily"):  # somebody else's; Airflow allows one a DAG
                self._pause()
            api.backfill(f"{name}__daily", str(days.start), str(days.end))
            silent_since = time.monotonic()
            while not cascade.done:
                for run in cascade.changes():
                    silent_since = time.monotonic()
                    if run["state"] == "failed":
                        self._fail(api, run["dag_id"], run["dag_run_id"])
                    if run["state"] == "success":
                        self._say(f"  {run['dag_id'].partition('__')[2]:<12} [green]done[/] for {run['partition_key']}")
                if not cascade.active and time.monotonic() - silent_since > _SILENT_SECONDS:
                    raise MainJobError(f"no run came for {cascade.missing}; see {api.url}/dags/{name}__daily")
                self._pause()
        self._retrainings(api)

    def _retrainings(self, api: AirflowApi) -> None:
        """Wait for trainings that the governor has started. A candidate that its gate refuses is not this job's failure."""
        dag_id = f"{self.pipeline.name}__train"
        for run in reversed(api.runs(dag_id, state=["queued", "running"])):
            self._say(f"[bold]the governor has started a training: {escape(run['dag_run_id'])}[/]")
            state = api.wait(dag_id, run["dag_run_id"], lambda _: None, self.embedded.check)
            made = state == "success" and _promoted(api, dag_id, run["dag_run_id"])
            told = "[green]done[/]" if made else "[yellow]refused or failed[/]; the champion stays"
            self._say(f"  {'train':<12} {told}")

    def _pause(self) -> None:
        self.embedded.check()
        time.sleep(1)

    def _fail(self, api: AirflowApi, dag_id: str, run_id: str) -> None:
        tasks = api.tasks(dag_id, run_id)
        failed = [task for task in tasks if task["state"] == "failed"]
        # A refusal of the governor or of the gate skips the task, and the run ends well.
        failed = failed or [task for task in tasks if task["task_id"] == "promote" and task["state"] == "skipped"]
        lines = [f"{dag_id}, run {run_id}: task {task['task_id']} {_ENDED[task['state']]}." for task in failed]
        lines = lines or [f"{dag_id}, run {run_id} failed without a failed task (it was stopped, or took too long)."]
        for task in failed[:1]:
            lines += ["  " + line for line in api.log_tail(dag_id, run_id, task)]
        state = f".venv/bin/contrail status -p {self.pipeline.name}"
        lines.append(f"What was published is kept. See `{state}`; `make up` shows the run; `make run` continues.")
        raise MainJobError("\n".join(lines))

    def _say(self, line: str) -> None:
        _say(self.started, line)


def _promoted(api: AirflowApi, dag_id: str, run_id: str) -> bool:
    """Whether a training made a champion: neither the governor nor the gate has refused it."""
    return any(task["task_id"] == "promote" and task["state"] == "success" for task in api.tasks(dag_id, run_id))


def _say(started: float, line: str) -> None:
    console.print(f"[dim]{time.monotonic() - started:5.0f} s[/]  {line}", highlight=False, soft_wrap=True)


def _complete(status: PartitionStatus, stages: tuple[str, ...]) -> bool:
    return all(status.stages[name] in (OK, WAITING) for name in stages)


def _check(name: str) -> None:
    """Refuse a pipeline that cannot work before Airflow starts and data are landed.

    Raises:
        ContrailError: with everything that is wrong.
    """
    if problems := check_pipeline(name, thorough=True).problems:
        raise SpecError("\n".join([f"the pipeline {name} cannot run; nothing was started:", *problems]))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="contrail_airflow.local.main_job", description=__doc__)
    parser.add_argument("--pipeline", default="flight_delay")
    name = parser.parse_args().pipeline
    started = time.monotonic()
    try:
        with interruptible():
            _say(
                started,
                f"[bold]check {escape(name)}[/]: its files, its contracts and its features, before anything starts",
            )
            _check(name)
            MainJob(load_pipeline(name), started).run()
    except (MainJobError, EmbeddedError, AirflowApiError, ContrailError) as error:
        console.print("[red]✗[/]", escape(str(error)), soft_wrap=True, highlight=False)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        console.print("Stopped. What was published is kept; `make run` continues from there.")
        raise SystemExit(130) from None
    subprocess.run([sys.executable, "-m", "contrail", "summary", "-p", name], check=True)


if __name__ == "__main__":
    main()
