"""A command as a process of this machine, which ends with everything that it started. Linux only: it uses waitid."""

import os
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from contrail_airflow.operators.forked_process import FORK_SERVER, ForkedProcess, forked

_KEPT_LINES = 200
# Airflow kills a task 5 s after it has asked it to end; the stage must be gone by then.
_TERM_SECONDS = 3


class StageProcess:
    """A command that prints progress to standard error and its result to standard output."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed when the process has been waited for
        whole = {**os.environ, **environment}
        # A session of its own: ending its process group ends the stage with everything that it started.
        self._process: ForkedProcess | subprocess.Popen[str] = forked(
            command, whole, os.environ.get(FORK_SERVER), self._output
        ) or subprocess.Popen(
            command, env=whole, stdout=self._output, stderr=subprocess.PIPE, text=True, errors="replace",
            start_new_session=True,
        )  # fmt: skip
        self._watcher = threading.Thread(target=_watch, args=(self._process,), daemon=True)
        self._watcher.start()

    def wait(self, tell: Callable[[str], None]) -> tuple[int, list[str], str]:
        """Wait until the process ends, and pass each line of its progress to ``tell``.

        Returns:
            The exit status, the last lines of progress, and the standard output.
        """
        lines: deque[str] = deque(maxlen=_KEPT_LINES)
        try:
            assert self._process.stderr is not None
            for line in self._process.stderr:
                lines.append(line.rstrip())
                tell(lines[-1])
            self._watcher.join()
        finally:
            self.end()
        with self._output:
            code = self._process.wait()
            self._output.seek(0)
            return code, list(lines), self._output.read()

    def end(self) -> None:
        """End the process if it still runs. Readers never see what it has not published."""
        if not self._watcher.is_alive():
            return
        _signal_group(self._process.pid, signal.SIGTERM)
        self._watcher.join(_TERM_SECONDS)
        if self._watcher.is_alive():
            _signal_group(self._process.pid, signal.SIGKILL)


def _watch(process: ForkedProcess | subprocess.Popen[str]) -> None:
    if isinstance(process, ForkedProcess):
        process.wait()  # the server ends what is left of the group
    else:
        _end_with_leader(process.pid)


def _end_with_leader(pid: int) -> None:
    """Kill what is left of the stage's process group as soon as the stage itself is gone.

    A child that outlives it (its engine, after an out-of-memory kill) would keep the pipe open and the task waiting
    until its timeout. WNOWAIT leaves the exit status to ``Popen.wait``, so the process id cannot have a new owner yet.
    """
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    _signal_group(pid, signal.SIGKILL)


def _signal_group(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, number)
