"""The end of a wait for an embedded engine that has stopped working.

Its threads may wait for each other for ever (apache/datafusion#24883), and its client waits with them. The engine is in this
process. So one that works takes CPU, however busy the machine is. A distributed engine has limits of its own.
"""

import _thread
import atexit
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from contrail.config.settings import Settings
from contrail.errors import EngineError

PATIENCE = 600.0  # seconds
_LOOKS = 20  # in that time; a process that was stopped for hours has missed one
# Seconds of CPU between two looks. An idle engine took 0.05 in 30 s, one at work on two processors among 30 took 2.
_AT_WORK = 0.25
_GRACE = 60.0  # seconds in which the client ends its wait


@contextmanager
def awaited(settings: Settings, patience: float = PATIENCE) -> Iterator[None]:
    """Wait for the embedded engine in the block, as long as it does something.

    Args:
        settings: Name the engine.
        patience: Seconds without work after which it is given up.

    Raises:
        EngineError: It did nothing for so long. The process ends without it, whatever else the engine holds up.
    """
    if settings.engine.kind != "sail" or threading.current_thread() is not threading.main_thread():
        yield
        return
    words = (
        f"the embedded engine (Sail) has done nothing for {patience / 60:g} minutes, and was given up. Nothing was published. "
        "Run the same command again. If it ends so again, build fewer days at a time, set memory_limit (or "
        "CONTRAIL_MEMORY_LIMIT) higher, or use Apache Spark."
    )
    done, given_up = threading.Event(), threading.Event()
    watcher = threading.Thread(target=_watch, args=(patience / _LOOKS, words, done, given_up), daemon=True)
    try:
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
    except KeyboardInterrupt as error:
        if not given_up.is_set():
            raise
        atexit.register(_leave)  # before what stops the engine, which may wait for ever too
        raise EngineError(words) from error


def _watch(pause: float, words: str, done: threading.Event, given_up: threading.Event) -> None:
    used, idle = time.process_time(), 0
    while not done.wait(pause):
        used, before = time.process_time(), used
        idle = 0 if used - before > _AT_WORK else idle + 1
        if idle >= _LOOKS:
            given_up.set()
            _thread.interrupt_main()
            if not done.wait(_GRACE):
                _leave(f"✗ EngineError: {words}\n")
            return


def _leave(words: str = "") -> None:
    """End the process, whoever still listens to it."""
    try:
        with suppress(OSError, ValueError):  # a closed pipe, a closed file
            sys.stderr.write(words)
            sys.stderr.flush()
        with suppress(OSError, ValueError):
            sys.stdout.flush()
    finally:
        os._exit(EngineError.exit_code)
