"""Writers of one table: they commit in the order in which they came, and only a lost race is tried again."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg2
import pytest
from pyiceberg.exceptions import CommitFailedException
from sqlalchemy.exc import OperationalError

from contrail.config.settings import Settings, settings
from contrail.errors import EngineError
from contrail.lake import conflicts


@pytest.fixture
def current(home: Path) -> Settings:
    return settings()


def test_writers_commit_in_the_order_in_which_they_came(current: Settings) -> None:
    done: list[int] = []
    writers = [
        threading.Thread(target=conflicts.commit, args=(current, "shop", "items", lambda n=n: done.append(n)))
        for n in range(8)
    ]
    with conflicts._turn(current, "shop.items"):
        for number, writer in enumerate(writers):
            writer.start()
            while _number_drawn(current) < number + 2:
                time.sleep(0.001)
        assert done == []
    for writer in writers:
        writer.join(30)
    assert done == list(range(8))


def _number_drawn(current: Settings) -> int:
    return int.from_bytes((current.home_path / "lake" / "turns" / "shop.items").read_bytes())


def test_a_writer_that_was_killed_in_its_turn_holds_nobody_up(current: Settings, home: Path) -> None:
    code = (
        "import time; from contrail.lake import conflicts; from contrail.config.settings import settings\n"
        "with conflicts._turn(settings(), 'shop.items'):\n    print('mine', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ})
    assert other.stdout is not None
    assert other.stdout.readline() == b"mine\n"
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert conflicts.commit(current, "shop", "items", lambda: "done") == "done"


def test_a_writer_that_stands_still_holds_nobody_up_for_long(
    current: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conflicts, "_TURN_SECONDS", 0.05)
    with conflicts._turn(current, "shop.items"):
        assert conflicts.commit(current, "shop", "items", lambda: "done") == "done"


def _database_error(message: str, code: int | None = None, pgcode: str | None = None) -> OperationalError:
    error = sqlite3.OperationalError(message)
    if code is not None:
        error.sqlite_errorcode = code
    if pgcode:
        error.pgcode = pgcode  # type: ignore[attr-defined]
    return OperationalError("UPDATE", {}, error)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (CommitFailedException("another was first"), True),
        (_database_error("database is locked", sqlite3.SQLITE_BUSY), True),
        (_database_error("database is locked", sqlite3.SQLITE_BUSY_SNAPSHOT), True),
        (_database_error("could not serialize access", pgcode="40001"), True),
        (_database_error("deadlock detected", pgcode="40P01"), True),
        (_database_error("could not obtain lock", pgcode="55P03"), True),
        (_database_error("terminating connection", pgcode="53300"), False),
        (_database_error("could not extend file", pgcode="53100"), False),
        (_database_error("database or disk is full", sqlite3.SQLITE_FULL), False),
        (_database_error("attempt to write a readonly database", sqlite3.SQLITE_READONLY), False),
        (_database_error("unable to open database file", sqlite3.SQLITE_CANTOPEN), False),
        (_database_error("connection to server failed"), False),
        (OSError(28, "No space left on device"), False),
    ],
)
def test_only_a_lost_race_is_tried_again(error: Exception, again: bool) -> None:
    assert conflicts.is_conflict(error) is again


@pytest.mark.parametrize(
    ("message", "again"),
    [
        ("server closed the connection unexpectedly", True),
        ("terminating connection due to administrator command", True),
        ('connection to server at "db", port 5432 failed: Connection refused', True),
        ('connection to server at "db" failed: FATAL:  the database system is starting up', True),
        ('could not translate host name "db" to address', True),
        ('connection to server at "db" failed: FATAL:  password authentication failed for user "x"', False),
        ('connection to server at "db" failed: FATAL:  database "x" does not exist', False),
        ("could not extend file", False),
    ],
)
def test_a_database_that_is_away_is_waited_for_and_one_that_refuses_is_not(message: str, again: bool) -> None:
    error = OperationalError("UPDATE", {}, psycopg2.OperationalError(message))
    assert conflicts.may_pass(error) is conflicts.is_unanswered(error) is again


def test_a_server_that_ends_is_waited_for_in_any_language() -> None:
    class Told(psycopg2.OperationalError):
        pgcode = "57P01"

    assert conflicts.may_pass(OperationalError("UPDATE", {}, Told("die Verbindung wird beendet")))


def test_a_writer_whose_database_restarts_commits_when_it_is_back(
    current: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conflicts, "_UNANSWERED", lambda _: 0.01)
    errors = ["terminating connection due to administrator command", "the database system is starting up"]

    def attempt() -> str:
        if errors:
            raise OperationalError("UPDATE", {}, psycopg2.OperationalError(errors.pop(0)))
        return "done"

    assert conflicts.commit(current, "shop", "items", attempt) == "done"
    monkeypatch.setattr(conflicts, "SECONDS", 0.05)
    errors += ["server closed the connection unexpectedly"] * 1000
    with pytest.raises(EngineError, match=r"did not answer properly for 0\.05 seconds: .*server closed"):
        conflicts.commit(current, "shop", "items", attempt)
