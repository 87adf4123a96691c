"""Processes that run for a person and must all be gone afterwards, whatever happened in between.

The id and the start time identify a process. A token in the environment marks everything that it starts. The token
finds a child that has left the process group (a stage has a session of its own), even after a crash. Nothing here knows
what the processes do. Linux only: it reads /proc.
"""

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

TOKEN = "CONTRAIL_EMBEDDED"  # noqa: S105 - a name, not a secret


@dataclass(frozen=True)
class Process:
    """A started process group. ``started`` guards against a process id that somebody else has now."""

    name: str
    pid: int
    started: float

    def alive(self) -> bool:
        """Whether it is still the process that was started."""
        return start_time(self.pid) == self.started


def start_time(pid: int) -> float | None:
    """Clock ticks since boot at which a process started; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else float(fields[19])


def marked(token: str) -> list[int]:
    """Living processes of this user whose environment carries the token."""
    sought = f"{TOKEN}={token}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if sought in (folder / "environ").read_bytes().split(b"\0") and start_time(int(folder.name)) is not None:
                found.append(int(folder.name))
    return found


def this_process(name: str) -> Process:
    """The calling process."""
    return Process(name, os.getpid(), start_time(os.getpid()) or 0.0)


def end(processes: Iterable[Process], seconds: float) -> None:
    """Ask these process groups to end, wait for their leaders, and kill the groups whose leaders are still there."""
    alive = [process for process in processes if process.alive()]
    for process in alive:
        _signal(os.killpg, process.pid, signal.SIGTERM)
    wait_until(lambda: not any(process.alive() for process in alive), seconds)
    for process in alive:
        if process.alive():
            _signal(os.killpg, process.pid, signal.SIGKILL)


def end_marked(token: str, seconds: float) -> None:
    """Ask every process that carries the token to end, wait, and kill what is left."""
    if not token:
        return
    for pid in marked(token):
        _signal(os.kill, pid, signal.SIGTERM)
    wait_until(lambda: not marked(token), seconds)
    for pid in marked(token):
        _signal(os.kill, pid, signal.SIGKILL)


def _signal(send: Callable[[int, int], None], pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        send(pid, number)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition, and return whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file for the length of a block; the kernel frees it when its holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM end the program as Ctrl-C does: through its ``finally`` blocks."""

    def leave(number: int, _: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
