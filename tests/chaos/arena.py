"""A home in which commands run, each in a forked process that may die at a chosen step."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from contrail.config.settings import settings
from tests.chaos.ending import end_with
from tests.chaos.observed import Observed
from tests.chaos.preload import arm
from tests.commands import exit_of

_PATIENCE_S = 120.0
_POLL_S = 0.005


def _nothing() -> None:
    """There is nothing else."""


class UnreadableError(Exception):
    """A home in which nobody can look, with why."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative: the signal; None: it never ended), and what it said."""

    code: int | None
    said: str

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


@dataclass(frozen=True)
class Trap:
    """At which step a command dies; see ``preload.arm``."""

    at: int = 0
    torn: bool = False
    error: int = 0
    signal: int = 0


class Arena:
    """A home of one pipeline below ``folder``, as ``fill`` leaves it; ``restore`` brings it back."""

    def __init__(
        self, folder: Path, pipeline: str, pipelines: Path, project: Path, patience: float = _PATIENCE_S
    ) -> None:
        self.folder, self.pipeline, self._patience = folder, pipeline, patience
        self.home, self._copy = folder / "home", folder / "copy"
        # What else is kept and brought back with the home.
        self.kept: Callable[[], None] = _nothing
        self.restored: Callable[[], None] = _nothing
        self.servers: Any = None
        os.environ |= {
            "CONTRAIL_HOME": str(self.home),
            "CONTRAIL_PROJECT": str(project),
            "CONTRAIL_PIPELINES": str(pipelines),
            "CONTRAIL_SANDBOX": "",
            "USER": "chaos",
            "LOGNAME": "chaos",
        }

    def fill(self, fill: Callable[[], None]) -> None:
        """Fill the home, and keep a copy of it."""
        self.home.mkdir(parents=True, exist_ok=True)
        ended = self.ends(self.starts(fill))
        assert ended.code == 0, ended.said
        shutil.copytree(self.home, self._copy, symlinks=True)
        self.kept()

    def filled_in(self, line: str) -> str:
        """Put the folder, and the snapshot that ``fill`` has written beside the home, into a command."""
        kept = self.folder / "snapshot"
        return line.format(folder=self.folder, snapshot=kept.read_text() if kept.exists() else "")

    def restore(self) -> None:
        """Make the home as ``fill`` left it. What a lake holds names files by their whole paths: so it keeps its place."""
        shutil.rmtree(self.home)
        shutil.copytree(self._copy, self.home, symlinks=True)
        self.restored()

    def run(
        self, line: str, trap: Trap | None = None, log: Path | None = None, inside: Callable[[], None] | None = None
    ) -> Ended:
        """Run a command of the shell to its end. ``inside`` is called in its process before."""
        return self.ends(self.begin(line, trap, log, inside))

    def begin(
        self, line: str, trap: Trap | None = None, log: Path | None = None, inside: Callable[[], None] | None = None
    ) -> "Running":
        """Start a command of the shell, or several with ``&&`` between them."""

        def act() -> None:
            if inside:
                inside()
            for one in line.split(" && "):
                if code := exit_of(one):
                    sys.exit(code)

        return self.starts(act, trap, log)

    def look(self, watch: Callable[[str], Observed]) -> Observed:
        """Look at the home, in a process of its own.

        Raises:
            UnreadableError: what the look ended with.
        """
        found = self.folder / "observed.json"
        ended = self.ends(self.starts(lambda: watch(self.pipeline).save(found)))
        if ended.code:
            raise UnreadableError(ended.said)
        return Observed.read(found)

    def starts(self, act: Callable[[], Any], trap: Trap | None = None, log: Path | None = None) -> "Running":
        """Fork a process that acts."""
        said = self.folder / f"said-{time.monotonic_ns()}"
        if (child := os.fork()) == 0:
            _child(act, said, self.home, trap, log)
        with suppress(PermissionError, ProcessLookupError):
            os.setpgid(child, child)
        return Running(child, said)

    def ends(self, running: "Running") -> Ended:
        """Wait for its end, or kill it when it does not end."""
        until = time.monotonic() + self._patience
        code: int | None = None
        while True:
            ended, status = os.waitpid(running.process, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                break
            if time.monotonic() > until:
                os.killpg(running.process, signal.SIGKILL)
                os.waitpid(running.process, 0)
                break
            time.sleep(_POLL_S)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(running.process, signal.SIGKILL)  # what it may have started
        said = running.said.read_text(errors="replace") if running.said.exists() else ""
        running.said.unlink(missing_ok=True)
        return Ended(code, said)


@dataclass(frozen=True)
class Running:
    """A process, and the file that gets what it says."""

    process: int
    said: Path


def _child(act: Callable[[], Any], said: Path, home: Path, trap: Trap | None, log: Path | None) -> NoReturn:
    """Act and end."""

    def prepared() -> None:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell may have ignored for us
        out = os.open(said, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        settings.cache_clear()
        lines = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC) if log else -1
        if trap or log:
            own = trap or Trap()
            arm(home, at=own.at, torn=own.torn, error=own.error, signal=own.signal, log=lines)
        act()

    end_with(prepared)
