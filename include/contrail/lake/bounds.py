"""What the operating system holds a process to that answers one question, beside what DuckDB holds itself to.

DuckDB counts its tables against ``memory_limit``, and not single values: ``repeat('a', 4000000000)`` or a list made by ``range``
took 2 to 4 GB under a limit of 500 MB. And a function does not stop within a value when it is interrupted:
``levenshtein`` of two texts of 200,000 characters ran on for more than a minute.
"""

import os
import resource
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# After an interrupt a question has so long to stop by itself.
GRACE_SECONDS = 10.0
_STATUS = Path("/proc/self/status")


@contextmanager
def bounded_memory(more_bytes: int) -> Iterator[None]:
    """Let this process take at most so many more bytes. Beyond them an allocation fails, and the process goes on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = [limit for limit in (soft, hard, _taken() + more_bytes) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(allowed), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@contextmanager
def bounded_time(seconds: float, spill: Path, words: str, code: int) -> Iterator[None]:
    """End this process, should the block not be done after so long. Say why, and take its spill folder away."""

    def end() -> None:
        shutil.rmtree(spill, ignore_errors=True)
        sys.stderr.write(f"{words}\n")
        sys.stderr.flush()
        os._exit(code)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _taken() -> int:
    """The bytes of data that this process has now; 0 where the system does not say."""
    if not _STATUS.exists():
        return 0
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmData:"))
    return int(line.split()[1]) * 1024
