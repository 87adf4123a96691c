"""Postgres with the catalog, which restarts, cuts connections and rolls transactions back in the middle of a commit."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import psycopg2

from tests.chaos.arena import Arena
from tests.chaos.disturbed import Disturbance, nothing
from tests.chaos.machine.services import usual
from tests.servers import Servers, served

_COPY = "iceberg_copy"
# The n-th change of a table's place, from the first that goes wrong to the last.
_TRIGGER = """
CREATE SEQUENCE changes;
CREATE FUNCTION goes_wrong() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  IF nextval('changes') BETWEEN {first} AND {last} THEN {fault}; END IF;
  RETURN NEW;
END $$;
GRANT ALL ON SEQUENCE changes TO contrail;
CREATE {kind} TRIGGER goes_wrong {when} UPDATE ON iceberg_tables {deferred} FOR EACH ROW EXECUTE FUNCTION goes_wrong();
"""
BEFORE = {"kind": "", "when": "BEFORE", "deferred": ""}
ON_COMMIT = {"kind": "CONSTRAINT", "when": "AFTER", "deferred": "DEFERRABLE INITIALLY DEFERRED"}
CUT = "PERFORM pg_terminate_backend(pg_backend_pid())"


@contextmanager
def postgres(arena: Arena) -> Iterator[None]:
    """Serve the catalog's database, which is brought back as the home is."""
    with served() as servers:
        arena.servers = servers
        os.environ |= usual(str(arena.home)) | {
            "CONTRAIL_CATALOG_URI": f"postgresql+psycopg2://contrail@127.0.0.1:{servers.postgres_port}/iceberg",
            "PGPASSWORD": servers.secrets["CONTRAIL_DB_PASSWORD"],
        }
        arena.kept = lambda: _copy(servers, "iceberg", _COPY)
        arena.restored = lambda: _copy(servers, _COPY, "iceberg")
        yield


def _copy(servers: Servers, old: str, new: str) -> None:
    _run(servers, "postgres", f"DROP DATABASE IF EXISTS {new} WITH (FORCE)")
    _run(servers, "postgres", f"CREATE DATABASE {new} TEMPLATE {old} OWNER contrail")


def _run(servers: Servers, database: str, text: str) -> None:
    password, port = servers.secrets["POSTGRES_PASSWORD"], servers.postgres_port
    connection = psycopg2.connect(user="postgres", password=password, host="127.0.0.1", port=port, dbname=database)
    connection.autocommit = True  # a database is made outside of any transaction
    try:
        with connection.cursor() as cursor:
            cursor.execute(text)
    finally:
        connection.close()


Around = Callable[[Arena], AbstractContextManager[None]]


@contextmanager
def trigger(servers: Servers, fault: str, first: int, last: int, place: dict[str, str]) -> Iterator[None]:
    """Let changes of tables' places go wrong, from the first to the last, counted from now on."""
    _run(servers, "iceberg", _TRIGGER.format(fault=fault, first=first, last=last, **place))
    try:
        yield
    finally:
        _run(servers, "iceberg", "DROP FUNCTION goes_wrong CASCADE; DROP SEQUENCE changes")


def _trigger(fault: str, first: int, last: int, place: dict[str, str]) -> Around:
    return lambda arena: trigger(arena.servers, fault, first, last, place)


def raises(code: str) -> str:
    """A statement that fails with a code of Postgres."""
    return f"RAISE EXCEPTION 'planned: {code}' USING ERRCODE = '{code}'"


def _crash(seconds: float) -> Around:
    """One of the server's processes dies, so that it closes all connections, recovers and starts again."""

    @contextmanager
    def around(arena: Arena) -> Iterator[None]:
        ended = threading.Event()

        def crash() -> None:
            while not ended.wait(seconds):
                with suppress(psycopg2.Error, ProcessLookupError):
                    found = arena.servers.query(
                        "postgres", "postgres", "SELECT pid FROM pg_stat_activity WHERE usename = 'contrail'"
                    )
                    for (pid,) in found[:1]:
                        os.kill(pid, signal.SIGKILL)

        crasher = threading.Thread(target=crash)
        crasher.start()
        try:
            yield
        finally:
            ended.set()
            crasher.join()

    return around


@contextmanager
def _full(arena: Arena) -> Iterator[None]:
    """The role may have no connection."""
    _run(arena.servers, "postgres", "ALTER DATABASE iceberg CONNECTION LIMIT 0")
    try:
        yield
    finally:
        _run(arena.servers, "postgres", "ALTER DATABASE iceberg CONNECTION LIMIT -1")


def _impatient() -> None:
    """Let a writer give up after seconds, not minutes."""
    from contrail.lake import conflicts

    conflicts.SECONDS = 4


FAULTS = (
    *(
        Disturbance(
            f"{name} at change {first} to {last}",
            _impatient if last > 100 else nothing,
            around=_trigger(fault, first, last, place),
        )
        for name, fault, place in (
            ("deadlock", raises("40P01"), BEFORE),
            ("serialization failure on commit", raises("40001"), ON_COMMIT),
            ("connection cut", CUT, BEFORE),
            ("connection cut on commit", CUT, ON_COMMIT),
            ("disk full", raises("53100"), BEFORE),
            ("shutting down", raises("57P01"), BEFORE),
        )
        for first, last in ((2, 4), (3, 10_000))
    ),
    *(Disturbance(f"a crash each {seconds} s", around=_crash(seconds)) for seconds in (0.3, 1.0, 3.0)),
    Disturbance("no connection left", around=_full),
)
