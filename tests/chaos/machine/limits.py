"""Limits of one process: no name is resolved, no memory is left, no file may grow."""

import resource
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from tests.chaos.disturbed import AGAIN, Disturbance

_MB = 2**20
# A library in C++ or Rust that gets no memory ends its process; nothing can be printed then.
_ABORTED = frozenset({AGAIN, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL, -signal.SIGTRAP})


def without_names() -> None:
    """Let every look-up of a host fail, as it does when the resolver is away."""

    def gone(*_: Any, **__: Any) -> NoReturn:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    socket.getaddrinfo = gone


def memory_limit(more: int) -> Callable[[], None]:
    """Let the process have so many MB of address space more than it has."""

    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + more * _MB
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

    return limit


def file_limit(size: int) -> Callable[[], None]:
    """Let no file grow beyond so many kB: a write gets EFBIG, since Python ignores the signal."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size * 1024, resource.RLIM_INFINITY))


def few_files(most: int) -> Callable[[], None]:
    """Let the process open so many files at once."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


NAMES = (Disturbance("no names", without_names),)
MEMORY = tuple(
    Disturbance(f"{more} MB left", memory_limit(more), ends=_ABORTED, message=False) for more in (8, 32, 96, 192, 384)
)
FILES = (
    *(
        Disturbance(f"files of {size} kB", file_limit(size), says="no room is left|disk I/O error")
        for size in (1, 4, 12, 40)
    ),
    *(
        Disturbance(f"{most} open files", few_files(most), says="too many files|cannot be opened|unable to open")
        for most in (12, 24, 48)
    ),
)
