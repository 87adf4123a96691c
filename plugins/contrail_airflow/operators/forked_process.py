"""A command of ``contrail`` as a child of the fork server, with the methods of ``subprocess.Popen`` that a stage needs."""

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from contrail_airflow.operators.fork_server import SOCKET, Request

# The variable with the folder of the server's socket.
FORK_SERVER = "CONTRAIL_FORK_SERVER"
_CONTRAIL = [sys.executable, "-m", "contrail"]


class ForkedProcess:
    """A running command. ``stderr`` is its standard error as text."""

    def __init__(self, answers: IO[str], pid: int, stderr: IO[str]) -> None:
        self._answers = answers
        self.pid = pid
        self.stderr = stderr
        self._code: int | None = None

    def wait(self) -> int:
        """Wait for the end and return the exit code, or minus the number of the signal. It may be called again."""
        if self._code is None:
            with self._answers:
                told = self._answers.readline()
            if not told:  # the server is gone, so nobody else ends what it has started
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
            self._code = int(told) if told else -signal.SIGKILL
        return self._code


def forked(
    command: Sequence[str], environment: Mapping[str, str], folder: str | None, output: IO[str]
) -> ForkedProcess | None:
    """Start a command of ``contrail`` in a fork of the server. It writes to ``output``.

    Args:
        command: The whole command, with the interpreter.
        environment: The whole environment.
        folder: The folder of the server's socket, if there is a server.
        output: The file for its standard output.

    Returns:
        The process, or None where there is no server, or the server has to read changed code first.
    """
    if not folder or list(command[:3]) != _CONTRAIL:
        return None
    request = Request(list(command[3:]), dict(environment), str(Path.cwd()))
    with ExitStack() as stack:
        try:
            server = stack.enter_context(_connected(Path(folder)))
            answers = stack.enter_context(server.makefile())
            readable, writable = os.pipe()
            stderr = stack.enter_context(os.fdopen(readable, errors="replace"))
            with os.fdopen(writable) as written:
                socket.send_fds(server, [b"f"], [output.fileno(), written.fileno()])
            server.sendall(json.dumps(request._asdict()).encode())
            server.shutdown(socket.SHUT_WR)
            pid = answers.readline()  # the server answers, or it ends and closes the connection
        except OSError:
            return None
        if not pid:
            return None
        stack.pop_all()
        server.close()  # what was made of it stays open
        return ForkedProcess(answers, int(pid), stderr)


def _connected(folder: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    place = os.open(folder, os.O_PATH)
    try:
        server.connect(f"/proc/self/fd/{place}/{SOCKET}")  # a socket's path is short, and a home's may be long
    except OSError:
        server.close()
        raise
    finally:
        os.close(place)
    return server
