"""A process that has imported Contrail's libraries, and forks for each command. It saves the imports: 1 to 5 s a task.

The embedded Airflow starts it. ``forked_process`` asks it. It stays without threads and open files of the libraries, so
that a fork is safe. A command sees the code as it is on disk: when a file of an imported module has changed, the server
starts again, and the command that asked starts in the usual way. Linux only.
"""

import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from setproctitle import setproctitle

SOCKET = "fork-server"
# What most commands import. Training alone uses DVC and Matplotlib, so they are not here.
_PRELOADED = (
    "contrail.cli.app",
    "contrail.stages.runner",
    "contrail.stages.lineage_events",
    "contrail.operations.backfill",
    "pyarrow.dataset",
    "great_expectations",
    "great_expectations.expectations",
)
_REQUEST_SECONDS = 5


class Request(NamedTuple):
    """A command: its arguments without the interpreter, its whole environment, and its working folder."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str


class _ChangedError(Exception):
    """A file of an imported module is not what was imported."""


class ForkServer:
    """Forks for each request on a socket, tells the process id and the exit code, and ends what a command left behind."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._running: dict[int, socket.socket] = {}
        self._imported = _files()
        self._wake, self._woken = os.pipe()
        for end in (self._wake, self._woken):
            os.set_blocking(end, False)
        self._selector.register(self._wake, selectors.EVENT_READ)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)

    def next_command(self) -> Request:
        """Serve until a child has a command to run. It returns in the child only.

        Raises:
            _ChangedError: in the server, when it must start again.
        """
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    if request := self._accept():
                        return request
                elif key.fileobj == self._wake:
                    with suppress(BlockingIOError):
                        os.read(self._wake, 4096)
            self._tell_ended()

    def _accept(self) -> Request | None:
        asking, _ = self._listener.accept()
        asking.settimeout(_REQUEST_SECONDS)
        try:
            _, files, _, _ = socket.recv_fds(asking, 1, 2)
            text = b"".join(iter(lambda: asking.recv(65536), b""))
            request = Request(**json.loads(text))
        except (OSError, ValueError, TypeError):
            asking.close()
            return None
        if _files() != self._imported:
            raise _ChangedError  # the caller sees a closed connection, and starts the command itself
        ready, is_ready = os.pipe()
        pid = os.fork()
        if not pid:
            self._become(files, asking)
            os.close(ready)
            os.close(is_ready)
            return request
        for file in (is_ready, *files):
            os.close(file)
        os.read(ready, 1)  # until the child has its own session, by which its caller can end it
        os.close(ready)
        self._running[pid] = asking
        with suppress(OSError):
            asking.sendall(f"{pid}\n".encode())
        return None

    def _become(self, files: list[int], asking: socket.socket) -> None:
        """Make this child an ordinary process: a session of its own, its caller's files, nothing of the server's."""
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, file in enumerate(files, start=1):
            os.dup2(file, number)
        self._selector.close()
        for own in (self._listener, asking, *self._running.values()):
            own.close()
        for number in (self._wake, self._woken, *files):
            os.close(number)

    def _tell_ended(self) -> None:
        """Send the exit code of each command that has ended. Whatever it left behind in its session ends too."""
        for pid, asking in [*self._running.items()]:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            with suppress(OSError):
                asking.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            asking.close()
            del self._running[pid]


def _files() -> dict[str, tuple[int, int]]:
    """The time and size of the file of each imported module."""
    found = {}
    for module in [*sys.modules.values()]:
        path = getattr(module, "__file__", None)
        with suppress(OSError):
            if path:
                state = Path(path).stat()
                found[path] = (state.st_mtime_ns, state.st_size)
    return found


def _preload() -> None:
    from contrail.config.settings import settings
    from contrail.imports import quick_imports
    from contrail.methods.xgboost_loading import load_xgboost

    settings()  # switches off what the libraries would send home
    settings.cache_clear()  # a command reads its own environment
    with quick_imports():  # and no command's collector looks through the libraries, or copies their memory
        for name in _PRELOADED:
            importlib.import_module(name)
        load_xgboost()


def _listening(folder: Path) -> socket.socket:
    """A socket in a folder that is its owner's alone. The name is relative, because a socket's path is short."""
    os.chdir(folder)
    Path(SOCKET).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(SOCKET)
    Path(SOCKET).chmod(0o600)
    return listener


def become_next_command(folder: Path, preload: Callable[[], None]) -> None:
    """Serve in a folder. Return in each child, which then has its command's arguments, environment and folder."""
    listener = _listening(folder)
    preload()
    listener.listen()
    try:
        request = ForkServer(listener).next_command()
    except _ChangedError:
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - itself
    # People look for a command in a list of processes. Its name has no place any more once the environment has changed.
    setproctitle(" ".join(["contrail", *request.arguments]))
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.folder)
    sys.argv[1:] = request.arguments


if __name__ == "__main__":
    become_next_command(Path(sys.argv[1]), _preload)
    runpy.run_module("contrail", run_name="__main__", alter_sys=True)
