"""Several writers of one table: they take turns on one machine, and try a commit again that another machine's won.

The commit itself decides who was first. Turns only spare the writers of one machine attempts that must fail. A commit
that a catalog service did not answer is tried again too. It may have been made, so an attempt looks for its own.
"""

import fcntl
import os
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from pyiceberg.exceptions import CommitFailedException, ValidationException
from sqlalchemy.exc import OperationalError
from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_random,
    wait_random_exponential,
)

from contrail.config.settings import Settings
from contrail.errors import CommitConflictError, EngineError
from contrail.lake import rest_catalog, sql_catalog
from contrail.lake.rest_catalog import wait_asked

# Writers of other machines win by chance. A writer that loses for this long meets something else.
SECONDS = 300
_TURN_SECONDS = 120
_SQLITE_CONFLICTS = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
# A transaction that was rolled back for another's sake (a deadlock is one), and a lock that was not to be had.
_POSTGRES_CONFLICTS = ("40", "55P03")
Made = TypeVar("Made")


def commit(settings: Settings, namespace: str, table: str, attempt: Callable[[], Made]) -> Made:
    """Take this machine's turn to change a table, and call ``attempt`` until it is done and no other writer was first.

    ``attempt`` must load the table again each time. It must take for done what an earlier one did.

    Raises:
        CommitConflictError: Other writers won every attempt for ``SECONDS``. Nothing was published.
        EngineError: The catalog did not answer for ``SECONDS``. It may have made the commit.
    """
    retries = Retrying(retry=retry_if_exception(may_pass), wait=_wait, stop=stop_after_delay(SECONDS))
    try:
        with _turn(settings, f"{namespace}.{table}"):
            return retries(attempt)
    except RetryError as error:
        last = error.last_attempt.exception()
        if last is not None and is_unanswered(last):
            raise EngineError(
                f"{namespace}.{table}: the catalog {settings.catalog.uri} did not answer properly for {SECONDS} seconds: "
                f"{last}. Readers see the previous rows or the new ones, whole. Run the stage again: it finds out which."
            ) from last
        raise CommitConflictError(
            f"{namespace}.{table}: other writers won every attempt of {SECONDS} seconds. Nothing was published; "
            "readers still see the previous rows. Run the stage again."
        ) from error


def is_unanswered(error: BaseException) -> bool:
    """Say whether the catalog gave no answer, or one that leaves open whether it did what it was asked for."""
    return rest_catalog.is_unanswered(error) or sql_catalog.is_away(error)


def may_pass(error: BaseException) -> bool:
    """Say whether the same commit may pass now: another writer was first, or the catalog did not answer."""
    return is_conflict(error) or is_unanswered(error)


# A service that fails is left alone for longer and longer. Waits for other writers do not grow: a writer that has lost
# often would otherwise wait longest, and lose again.
_LOST, _UNANSWERED = wait_random(0.01, 0.2), wait_random_exponential(multiplier=0.5, max=20)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if error is None or not is_unanswered(error):
        return _LOST(state)
    return max(_UNANSWERED(state), wait_asked(error))


def is_conflict(error: BaseException) -> bool:
    """Say whether another writer was first, so that the same commit may pass now.

    A catalog that is full, read-only, damaged or away is no conflict.
    """
    if isinstance(error, OperationalError):
        # SQLite raises "database is locked" when two writers meet. Postgres names a lost race by a code of its own.
        code = getattr(error.orig, "sqlite_errorcode", None)
        if code is not None:
            return code & 0xFF in _SQLITE_CONFLICTS
        return str(getattr(error.orig, "pgcode", None) or "").startswith(_POSTGRES_CONFLICTS)
    return isinstance(error, CommitFailedException | ValidationException)


@contextmanager
def _turn(settings: Settings, name: str) -> Iterator[None]:
    """Wait in line until those of this machine that came before have committed to the table, or have ended.

    Nobody waits for long: a process may be stopped. The line is for speed and fairness, not for safety.
    """
    if not hasattr(fcntl, "F_OFD_SETLK"):  # macOS: the writers there meet, and try again
        yield
        return
    path = settings.home_path / "lake" / "turns" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + _TURN_SECONDS
    with path.open("a+b", buffering=0) as line:  # to close it releases its locks, however this process ends
        number = _number(line.fileno())
        while not _locked(line.fileno(), number - 1) and time.monotonic() < end:
            time.sleep(0.005)
        yield


def _number(line: int) -> int:
    """Draw the next number, and hold its lock. Whoever has the next one waits for that lock."""
    fcntl.flock(line, fcntl.LOCK_EX)
    number = int.from_bytes(os.pread(line, 8, 0)) + 1
    _locked(line, number)
    os.truncate(line, 0)
    os.write(line, number.to_bytes(8))
    fcntl.flock(line, fcntl.LOCK_UN)
    return number


def _locked(line: int, number: int) -> bool:
    """Lock one byte of the file, which need not exist. The lock belongs to this opened file, not to the process."""
    wanted = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0)
    try:
        fcntl.fcntl(line, fcntl.F_OFD_SETLK, wanted)
    except BlockingIOError:
        return False
    return True
