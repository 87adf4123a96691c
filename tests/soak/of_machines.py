"""What machines do: a part of Airflow is gone, a stage is killed, the disk is full, the catalog is locked, a clock is wrong."""

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import suppress
from datetime import date
from pathlib import Path

from contrail.notify.messages import Kind
from tests.soak.ground import BIKES, FLIGHTS, Ground
from tests.soak.incident import Incident, Told
from tests.soak.year import clear, task_runs

_LOCKED_SECONDS = 25.0
_TWO_DAYS = 2 * 86_400
# In the process of a person's command, before it: the clock jumps ahead.
_AHEAD = (
    "import sys; from tests.chaos.preload import set_clock; set_clock({seconds}); "
    "sys.argv = ['contrail', 'maintain', '-p', '{pipeline}']; from contrail.cli.app import main; main()"
)


class _Lost(Incident):
    """Processes of Airflow are killed while a stage runs. A service manager starts them again."""

    parts: tuple[str, ...] = ()
    stage = "features"

    def during(self, ground: Ground, number: int, day: date) -> None:
        if task_runs(ground, f"{self.pipeline}__daily", day, self.stage):
            kill(ground.pids(*self.parts))


class LostScheduler(_Lost):
    """The scheduler is killed while a stage runs."""

    parts = ("scheduler",)


class LostServer(_Lost):
    """The API server is killed while a stage runs."""

    parts, stage = ("api-server",), "ingest"


class LostProcessor(_Lost):
    """The DAG processor and the triggerer are killed while a stage runs."""

    pipeline, parts, stage = BIKES, ("dag-processor", "triggerer"), "validate"


class LostMachine(_Lost):
    """The power goes: every process is killed at once, Airflow's and the stages'."""

    def during(self, ground: Ground, number: int, day: date) -> None:
        if task_runs(ground, f"{self.pipeline}__daily", day, self.stage):
            everything = ground.pids()
            kill([*(child for pid in everything for child in descendants(pid)), *everything])


class LostStage(Incident):
    """The process of a stage is killed, as by a lack of memory. Airflow tries the task again."""

    stage = "validate"

    def during(self, ground: Ground, number: int, day: date) -> None:
        if task_runs(ground, f"{self.pipeline}__daily", day, self.stage):
            for pid in ground.pids("fork-server"):
                kill(descendants(pid))


class LostScoring(LostStage):
    """The process that scores is killed."""

    def during(self, ground: Ground, number: int, day: date) -> None:
        if task_runs(ground, f"{self.pipeline}__score", day, "score"):
            for pid in ground.pids("fork-server"):
                kill(descendants(pid))


class LockedCatalog(Incident):
    """Another program holds the lake's catalog for half a minute."""

    def during(self, ground: Ground, number: int, day: date) -> None:
        if task_runs(ground, f"{self.pipeline}__daily", day, "ingest"):
            (path,) = (ground.home / "lake").glob("catalog*.db")
            with sqlite3.connect(path, isolation_level=None) as holder:
                holder.execute("BEGIN EXCLUSIVE")
                time.sleep(_LOCKED_SECONDS)
                holder.execute("ROLLBACK")


class FullDisk(Incident):
    """The lake's disk is full, until somebody frees it. No attempt of a task helps."""

    told = (Told(Kind.failure, r"(flight_delay|bike_demand) (late|ingest|validate) .*(space|full)", times=2),)
    person = "engineer"

    def before(self, ground: Ground, number: int, day: date) -> None:
        ground.switch.touch()

    def after(self, ground: Ground, number: int, day: date) -> bool:
        ground.switch.unlink(missing_ok=True)
        offset = (day - ground.plans[self.pipeline].history.end).days
        for name in (FLIGHTS, BIKES):
            clear(ground, f"{name}__daily", ground.date_of(name, offset))
        return True


class ClockAhead(Incident):
    """Upkeep runs on a machine whose clock is two days ahead, beside the day's stages."""

    def during(self, ground: Ground, number: int, day: date) -> None:
        if task_runs(ground, f"{self.pipeline}__daily", day, "features"):
            code = _AHEAD.format(seconds=_TWO_DAYS, pipeline=self.pipeline)
            subprocess.run([ground.command()[0], "-c", code], env=ground.preloaded(), capture_output=True, check=True)


def kill(pids: list[int]) -> None:
    """Kill processes, as nothing but a machine's fault does."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and so on."""
    children = [
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if (stat := _stat(folder)) and int(stat.rpartition(")")[2].split()[1]) == pid
    ]
    return [one for child in children for one in (*descendants(child), child)]


def _stat(folder: Path) -> str:
    with suppress(OSError):
        return (folder / "stat").read_text()
    return ""


MACHINES: tuple[type[Incident], ...] = (
    LostScheduler, LostStage, LockedCatalog, LostServer, FullDisk, LostScoring, LostProcessor, LostMachine, ClockAhead,
)  # fmt: skip
