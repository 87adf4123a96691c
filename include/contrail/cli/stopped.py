"""A command that is asked to end: it cleans up as after an error, and says what that means for the data.

What a command does, and errors, do not belong here.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM


class Stopped(SystemExit):
    """The process got SIGTERM. It is no ``Exception``, so that no stage takes it for an error of its own."""

    def __init__(self) -> None:
        super().__init__(TERMINATED)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM raise ``Stopped`` in the block. By itself it would end the process before any clean-up.

    A second SIGTERM ends the process at once.
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
    signal.signal(number, signal.SIG_DFL)
    raise Stopped


def tell(code: int) -> str:
    """Say by what a command was stopped, and how it goes on."""
    by = signal.Signals(code - 128).name
    return (
        f"stopped by {by}, before its end. Nothing is half published: readers see whole partitions, old or new. To go on, "
        "run the same command again."
    )
