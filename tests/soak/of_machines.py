"""What machines do: a part of Airflow is gone, a stage is killed, the disk is full, the catalog is locked, a clock is wrong."""

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path

from contrail.notify.messages import Kind
from tests.chaos.preload import environment
from tests.soak.ground import BIKES, FLIGHTS, Ground
from tests.soak.incident import Incident, Told
from tests.soak.year import clear

_LOCKED_SECONDS = 25.0
_TEN_DAYS = 10 * 86_400  # longer than any grace of upkeep
_AGAIN = (0, 75)  # exit codes: done, or try again
_POLL_S = 0.02
# In the process of a person's command, before it: the clock jumps ahead.
_AHEAD = (
    "import sys; from tests.chaos.preload import set_clock; set_clock({seconds}); "
    "sys.argv = ['contrail', 'maintain', '-p', '{pipeline}']; from contrail.cli.app import main; main()"
)


class _Struck(Incident):
    """Something happens while a stage of the day is at work."""

    strikes = True
    stage = "features"

    def strike(self, ground: Ground, stage: Sequence[int], day: date) -> None:
        raise NotImplementedError

    def during(self, ground: Ground, number: int, day: date) -> None:
        if stage := at_work(ground, self.pipeline, self.stage, day):
            self.strike(ground, stage, day)
            ground.write("struck", incident=self.name, day=str(day), stage=self.stage)


class _Lost(_Struck):
    """Processes of Airflow are killed. A service manager starts them again."""

    parts: tuple[str, ...] = ()

    def strike(self, ground: Ground, stage: Sequence[int], day: date) -> None:
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


class LostMachine(_Struck):
    """The power goes: every process is killed at once, Airflow's and the stages'."""

    def strike(self, ground: Ground, stage: Sequence[int], day: date) -> None:
        everything = ground.pids()
        kill([*(child for pid in everything for child in descendants(pid)), *everything])


class LostStage(_Struck):
    """The process of a stage is killed, as by a lack of memory. Airflow tries the task again."""

    stage = "validate"

    def strike(self, ground: Ground, stage: Sequence[int], day: date) -> None:
        kill(stage)


class LostScoring(LostStage):
    """The process that scores is killed."""

    stage = "score"


class LockedCatalog(_Struck):
    """Another program holds the lake's catalog for half a minute."""

    stage = "ingest"

    def strike(self, ground: Ground, stage: Sequence[int], day: date) -> None:
        (path,) = (ground.home / "lake").glob("catalog*.db")
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        time.sleep(_LOCKED_SECONDS)
        holder.execute("ROLLBACK")
        holder.close()


class FullDisk(Incident):
    """The lake's disk is full, until somebody frees it. No attempt of a task helps."""

    told = (Told(Kind.failure, "(flight_delay|bike_demand) .*(space|full)", times=2),)
    person = "engineer"

    def before(self, ground: Ground, number: int, day: date) -> None:
        ground.switch.touch()

    def after(self, ground: Ground, number: int, day: date) -> bool:
        ground.switch.unlink(missing_ok=True)
        for name in (FLIGHTS, BIKES):
            clear(ground, f"{name}__daily", ground.date_of(name, ground.day_of(self.pipeline, day)))
        return True


class ClockAhead(_Struck):
    """Upkeep runs on a machine whose clock is ten days ahead, beside the day's stages."""

    def strike(self, ground: Ground, stage: Sequence[int], day: date) -> None:
        code = _AHEAD.format(seconds=_TEN_DAYS, pipeline=self.pipeline)
        line = [ground.command()[0], "-c", code]
        done = subprocess.run(line, env=environment(), capture_output=True, text=True, check=False)
        if done.returncode not in _AGAIN:
            raise RuntimeError(f"upkeep by a wrong clock: exit {done.returncode}: {done.stderr[-1000:]}")


def at_work(ground: Ground, pipeline: str, stage: str, day: date, seconds: float = 300) -> list[int]:
    """Wait for the process of a stage of a day. Return it, or nothing when it does not come in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for server in ground.pids("fork-server"):
            found = [pid for pid in descendants(server) if _is_stage(pid, pipeline, stage, day)]
            if found:
                return found
        time.sleep(_POLL_S)
    return []


def _is_stage(pid: int, pipeline: str, stage: str, day: date) -> bool:
    """The fork server gives its children the names of their commands."""
    with suppress(OSError):
        title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return title.startswith(f"contrail {stage} --pipeline {pipeline} ") and str(day) in title
    return False


def kill(pids: Iterable[int]) -> None:
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
