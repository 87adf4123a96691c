"""Ctrl-C in a library that calls back into Python.

What a command does when it is stopped does not belong here.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class InterruptedCallError(Exception):
    """Ends a call of a library from within a callback. ``held_back`` makes a ``KeyboardInterrupt`` of it."""


@contextmanager
def held_back() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back while a library calls back, and raise ``KeyboardInterrupt`` after the block.

    Raised in a callback, it is lost: XGBoost then takes the rows that it has got for all of them, and trains on.

    Yields:
        What a callback calls, to end early after a Ctrl-C. It raises ``InterruptedCallError``, which libraries pass on.
    """
    asked: list[int] = []

    def check() -> None:
        if asked:
            raise InterruptedCallError

    is_main = threading.current_thread() is threading.main_thread()  # Python takes signals there alone
    if not is_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield check
        return
    before = signal.signal(signal.SIGINT, lambda number, _: asked.append(number))
    try:
        yield check
    except InterruptedCallError as error:
        raise KeyboardInterrupt from error
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt
