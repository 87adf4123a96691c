"""Locks among the processes that share a folder. The kernel frees a lock when its holder dies.

``contrail.lake.lease`` has the lock that machines without a common folder share.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

from contrail.errors import EngineError
from contrail.files import on_disk

_PAUSE_SECONDS = 0.05


@contextmanager
def locked(path: Path, what: str, wait_seconds: float = 300) -> Iterator[None]:
    """Hold a lock file for the length of a block. ``what`` says in an error what the other process is doing.

    Raises:
        EngineError: when another process holds the lock for longer than ``wait_seconds``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + wait_seconds
    # A lock file is never removed: two processes could then hold two files of the same name.
    with path.open("a+b") as file:
        while not _taken(file):
            if time.monotonic() >= end:
                raise EngineError(
                    f"another process {what} and holds {path}. Nothing was changed. Run the command again when it has ended."
                )
            time.sleep(_PAUSE_SECONDS)
        yield


@contextmanager
def place_of(path: Path, wait_seconds: float = 0) -> Iterator[str | None]:
    """Hold a lock file for the length of a block, and name it. The name is None while another process holds it.

    The name is kept in the file, and no other file has it. Who holds the lock knows that the process which last used
    this name is dead or done.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + wait_seconds
    with path.open("a+b") as file:
        while not (taken := _taken(file)) and time.monotonic() < end:
            time.sleep(_PAUSE_SECONDS)
        yield _name_in(path, file) if taken else None


def _taken(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _name_in(path: Path, file: IO[bytes]) -> str:
    file.seek(0)
    name = file.read().decode("ascii", "replace")
    if len(name) != len(uuid4().hex):  # new, or its first writer was killed
        name = uuid4().hex
        file.truncate(0)
        file.write(name.encode())
        file.flush()
        on_disk([path])  # else a power cut loses the name, and the next process takes another for its holder
    return name
