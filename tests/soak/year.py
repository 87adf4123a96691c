"""The days of a soak, one after the other: land, start the daily DAGs, wait for what follows, and do what is due."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from contrail_airflow.local.api import FINISHED, AirflowApiError
from contrail_airflow.local.embedded import EmbeddedError
from tests.soak.ground import Ground
from tests.soak.incident import Incident

CHAIN = ("daily", "score", "monitor")
# A run follows its asset within seconds. After this long with nothing at work it is not going to come.
_SILENT_SECONDS = 180
_LONGEST_SECONDS = 1500
_FIRST = 2  # the first day on which something may happen
_TROUBLE = (AirflowApiError, EmbeddedError, httpx.HTTPError, OSError)


@dataclass(frozen=True)
class Planted:
    """An incident, and its first day from 1."""

    incident: Incident
    first: int

    def number(self, day: int) -> int | None:
        """Which of the incident's days a day is; None where it is none."""
        number = day - self.first
        return number if 0 <= number < self.incident.days else None


def plant(incidents: Iterable[Incident], days: int, rest: int = 3) -> list[Planted]:
    """Spread incidents over so many days, in their order, with calm days between them where there is room.

    The last ``rest`` days are calm.

    Raises:
        ValueError: when the days are too few.
    """
    all_of_them = list(incidents)
    needed = _FIRST + sum(one.days for one in all_of_them) + rest
    if needed > days:
        raise ValueError(f"{len(all_of_them)} incidents need {needed} days, and there are {days}")
    spare = (days - needed) / max(1, len(all_of_them))
    planted, free = [], float(_FIRST)
    for one in all_of_them:
        planted.append(Planted(one, int(free)))
        free += one.days + spare
    return planted


def prepare(ground: Ground) -> None:
    """Make the history by commands, and the first champions through Airflow, unless they are there."""
    if ground.journal("prepared"):
        ground.keep_up()
        return
    for name, plan in ground.plans.items():
        days = ("-p", name, "--from", plan.history.start, "--to", plan.history.end)
        for verb in ("land", "ingest", "validate", "features"):
            ground.contrail(verb, *days)
    ground.keep_up()
    for name in ground.plans:
        trained(ground, "scientist", name, ground.date_of(name, 1), why="the first champion")
    ground.write("prepared")


def live(ground: Ground, planted: list[Planted], day: int, say: Callable[[str], None]) -> None:
    """Live one day of both pipelines, with what is planted for it."""
    began = time.monotonic()
    due = [(one.incident, number) for one in planted if (number := one.number(day)) is not None]
    dates = {name: ground.date_of(name, day) for name in ground.plans}
    ground.once(f"count messages before day {day}", lambda: _count_messages(ground, day))
    for name, own in dates.items():
        ground.once(f"land {name} {own}", partial(ground.land, name, own))
    for incident, number in due:
        say(f"{incident.name} ({incident.pipeline})")
        act = partial(incident.before, ground, number, dates[incident.pipeline])
        ground.once(f"before {incident.name} {number}", act)
    for name, own in dates.items():
        _start(ground, name, own)
    with ThreadPoolExecutor(max(1, len(due))) as pool:
        acts = [pool.submit(one.during, ground, number, dates[one.pipeline]) for one, number in due]
        settle(ground, dates)
    _told_of(acts, due)
    for incident, number in due:
        ground.once(f"after {incident.name} {number}", partial(_after, ground, incident, number, dates))
    _routine(ground, day, dates)
    failed = _failed(ground, day, dates)
    ground.write("day", day=day, seconds=round(time.monotonic() - began, 1), failed=failed, **sizes(ground))
    for one in failed:
        say(f"still failed: {one}")
    age(ground.home)


def _count_messages(ground: Ground, day: int) -> None:
    ground.write("landed", day=day, messages=len(ground.messages()))


def _after(ground: Ground, incident: Incident, number: int, dates: dict[str, date]) -> None:
    if incident.after(ground, number, dates[incident.pipeline]):
        settle(ground, dates)


def _told_of(acts: list["Future[None]"], due: list[tuple[Incident, int]]) -> None:
    for act, (incident, _) in zip(acts, due, strict=True):
        if error := act.exception():
            raise RuntimeError(f"the incident could not be planted: {incident.name}") from error


def _start(ground: Ground, name: str, day: date) -> None:
    """Start the daily run of a day as its schedule would, unless a soak that was killed has done so."""
    dag_id = f"{name}__daily"
    end = time.monotonic() + _LONGEST_SECONDS
    while not _runs(ground, dag_id, day):
        if time.monotonic() > end:
            raise RuntimeError(f"Airflow starts no run of {dag_id} for {day}")
        with suppress(*_TROUBLE):
            ground.keep_up()
            ground.api.call("POST", f"dags/{dag_id}/dagRuns", json={"logical_date": None, "partition_key": str(day)})
        time.sleep(0.2)


def _runs(ground: Ground, dag_id: str, day: object) -> list[dict[str, Any]]:
    with suppress(*_TROUBLE):
        return [run for run in ground.api.runs(dag_id) if run["partition_key"] == str(day)]
    return []


def settle(ground: Ground, dates: dict[str, date]) -> None:
    """Wait until the runs of each day have ended, or one of them has failed and the next will not come.

    Raises:
        RuntimeError: when they do not end.
    """
    begun = quiet_since = time.monotonic()
    seen: Any = None
    while True:
        with suppress(*_TROUBLE):
            ground.keep_up()
            states = {name: _chain(ground, name, day) for name, day in dates.items()}
            trainings = [run for name in dates for run in _trainings(ground, name)]
            if (now := (states, len(trainings))) != seen:
                seen, quiet_since = now, time.monotonic()
            if all(_over(chain) for chain in states.values()) and not trainings:
                return
            at_work = bool(trainings) or any({"running", "queued"}.intersection(chain) for chain in states.values())
            if not at_work and time.monotonic() - quiet_since > _SILENT_SECONDS:
                raise RuntimeError(f"nothing happens any more: {states}")
        if time.monotonic() - begun > _LONGEST_SECONDS:
            raise RuntimeError(f"the day does not end: {seen}")
        time.sleep(0.5)


def _chain(ground: Ground, name: str, day: date) -> list[str]:
    """The state of the newest run of each DAG of the chain for a day; empty where there is none."""
    runs = [_runs(ground, f"{name}__{dag}", day) for dag in CHAIN]
    return [own[0]["state"] if own else "" for own in runs]


def _over(chain: list[str]) -> bool:
    for state in chain:
        if state != "success":
            return state == "failed"
    return True


def _trainings(ground: Ground, name: str) -> list[dict[str, Any]]:
    """The trainings that are at work, without those that wait for a person."""
    dag_id = f"{name}__train"
    active = ground.api.runs(dag_id, state=["queued", "running"])
    return [run for run in active if not _asks(ground, dag_id, run["dag_run_id"])]


def _asks(ground: Ground, dag_id: str, run_id: str) -> bool:
    return any(task["state"] == "awaiting_input" for task in ground.api.tasks(dag_id, run_id))


def _failed(ground: Ground, day: int, dates: dict[str, date]) -> list[str]:
    """The runs that are failed now: those of the day, and those that were so the day before."""
    before: list[str] = next((line["failed"] for line in ground.journal("day")[::-1] if line["day"] < day), [])
    asked = [tuple(run.split()) for run in before]
    asked += [(f"{name}__{dag}", str(own)) for name, own in dates.items() for dag in CHAIN]
    return [f"{dag} {of}" for dag, of in asked if (runs := _runs(ground, dag, of)) and runs[0]["state"] == "failed"]


def _routine(ground: Ground, day: int, dates: dict[str, date]) -> None:
    """What the schedules do: a training on the first of a month, upkeep once a week."""
    for name, own in dates.items():
        if own.day == 1:
            ground.once(f"training {name} {own}", partial(_monthly, ground, name, own))
        if day % 7 == 0:
            dag_id = f"{name}__maintain"
            if waited(ground, dag_id, ground.api.trigger(dag_id, {})) != "success":
                raise RuntimeError(f"{dag_id} failed on day {day}")


def _monthly(ground: Ground, name: str, day: date) -> None:
    ground.write("monthly", pipeline=name, day=str(day))
    trained(ground, "scientist", name, day, why="the first of the month")


# ---- what people do in Airflow ----


def waited(ground: Ground, dag_id: str, run_id: str, or_asks: bool = True) -> str:
    """Wait until a run ends, or asks a person. Return its state."""
    end = time.monotonic() + _LONGEST_SECONDS
    while time.monotonic() < end:
        with suppress(*_TROUBLE):
            ground.keep_up()
            state = str(ground.api.call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"])
            if state in FINISHED or (or_asks and _asks(ground, dag_id, run_id)):
                return state
        time.sleep(0.5)
    raise RuntimeError(f"the run {run_id} of {dag_id} does not end")


def trained(
    ground: Ground, person: str, name: str, day: date, why: str, settings: str = "", approval: bool = False
) -> str:
    """Start a training as of a day from the form, and wait until it ends or asks a person."""
    asked = {"as_of": str(day), "why": why, "insist": True, "approval": approval, "set": settings or None}
    run_id = ground.as_(person).trigger(f"{name}__train", asked)
    state = waited(ground, f"{name}__train", run_id)
    if state == "failed":
        raise RuntimeError(f"the training of {name} as of {day} failed")
    return run_id


def answered(ground: Ground, name: str, answer: str, reason: str) -> bool:
    """Answer the training that waits for an approver, as the approver. Return whether there was one."""
    dag_id = f"{name}__train"
    asking = [run for run in ground.api.runs(dag_id, state=["running"]) if _asks(ground, dag_id, run["dag_run_id"])]
    for run in asking:
        given = {"chosen_options": [answer], "params_input": {"reason": reason}}
        task = f"dags/{dag_id}/dagRuns/{run['dag_run_id']}/taskInstances/promote/-1/hitlDetails"
        ground.as_("approver").call("PATCH", task, json=given)
        if waited(ground, dag_id, run["dag_run_id"], or_asks=False) == "failed":
            raise RuntimeError(f"the training {run['dag_run_id']} failed after its answer")
    return bool(asking)


def clear(ground: Ground, dag_id: str, day: date, task: str = "") -> bool:
    """Clear the failed tasks of a day's run, or a task and what follows it. Return whether a run had failed."""
    runs = [run for run in _runs(ground, dag_id, day) if run["state"] == "failed"]
    of = {"task_ids": [task], "include_downstream": True, "only_failed": False} if task else {"only_failed": True}
    for run in runs:
        body = {"dag_run_id": run["dag_run_id"], "dry_run": False, "reset_dag_runs": True, **of}
        ground.as_("engineer").call("POST", f"dags/{dag_id}/clearTaskInstances", json=body)
    return bool(runs)


def import_errors(ground: Ground, some: bool) -> str:
    """Wait until the DAG processor shows errors of the DAG folder, or none any more. Return what it shows."""
    end = time.monotonic() + _SILENT_SECONDS
    while time.monotonic() < end:
        with suppress(*_TROUBLE):
            ground.keep_up()
            errors = ground.api.call("GET", "importErrors")["import_errors"]
            if bool(errors) == some:
                return "\n".join(error["stack_trace"] for error in errors)
        time.sleep(1)
    raise RuntimeError("the DAG processor " + ("shows no error of the folder" if some else "still shows errors"))


# ---- what grows ----


def age(home: Path) -> None:
    """Make every file a day older, as the simulated day has made it. What has gone meanwhile is left."""
    for path in _files(home):
        with suppress(OSError):
            found = path.stat()
            day = 86_400_000_000_000
            os.utime(path, ns=(found.st_atime_ns - day, found.st_mtime_ns - day))


def _files(home: Path) -> Iterator[Path]:
    return (path for path in home.rglob("*") if path.is_file() and not path.is_symlink())


def sizes(ground: Ground) -> dict[str, int]:
    """Files and megabytes of the home by room, rows of Airflow's database, and memory of Airflow's processes, in MB."""
    found: dict[str, int] = {"files": 0, "lake_files": 0, "megabytes": 0}
    for path in _files(ground.home):
        room = path.relative_to(ground.home).parts[0]
        found["files"] += 1
        found["lake_files"] += room == "lake"
        with suppress(OSError):
            found["megabytes"] += path.stat().st_size
    found["megabytes"] //= 1_000_000
    found["memory"] = sum(map(_memory, ground.pids())) // 1024
    with sqlite3.connect(f"file:{ground.home}/airflow/airflow.db?mode=ro", uri=True) as database:
        for table in ("dag_run", "task_instance", "log"):
            found[f"{table}_rows"] = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return found


def _memory(pid: int) -> int:
    """Resident memory of a process, in KB."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0
