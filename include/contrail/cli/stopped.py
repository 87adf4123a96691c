"""A command that is asked to end: it says what that means for the data, and ends at once.

What a command does, and errors, do not belong here.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from contrail.adapters.machine_errors import KEPT

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM end the process with a word, and with nothing cleaned up, as SIGKILL does: upkeep takes what is left.

    No exception is raised. Libraries that call back into Python would take it for an answer: XGBoost trains on the rows that
    it has got until then, and DuckDB says that a query was interrupted.
    """
    if threading.current_thread() is not threading.main_thread():  # Python takes signals there alone
        yield
        return
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, _: FrameType | None) -> None:
    os.write(2, f"\n✗ {tell(TERMINATED)}\n".encode())  # what Python would write with may be in use
    os._exit(TERMINATED)


def tell(code: int) -> str:
    """Say by what a command was stopped, and how it goes on."""
    by = signal.Signals(code - 128).name
    return f"stopped by {by}, before its end. {KEPT} To go on, run the same command again."
