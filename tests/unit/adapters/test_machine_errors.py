"""Faults of the machine end a stage with a short message and a status that says whether a retry can help."""

import errno
import socket
import sqlite3
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import duckdb
import psycopg2
import pyarrow as pa
import pytest
import sqlalchemy
from sqlalchemy.exc import OperationalError
from tests.conftest import Toy

from contrail.adapters.machine_errors import as_ours, machine_errors
from contrail.config.settings import settings
from contrail.errors import ContrailError, DamagedError, EngineError, SpecError
from contrail.lake.lake import Lake

FIRST, LAST = "2024-01-01", "2024-01-03"


def _passed_on(message: str, code: int) -> Exception:
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    return OperationalError("INSERT", {}, error)


def _of_postgres(message: str, code: str | None = None) -> Exception:
    class Told(psycopg2.OperationalError):
        pgcode = code

    Told.__module__ = "psycopg2.errors"
    return OperationalError("UPDATE", {}, Told(message))


def _wrapped(error: Exception) -> Exception:
    wrapper = RuntimeError("the library's own words")
    wrapper.__cause__ = error
    return wrapper


def _of_the_engine(text: str) -> Exception:
    from pyspark.errors import PySparkException

    return PySparkException(f'{text} (os error 28), path: "/data/staging/x.parquet"')


def _of_duckdb() -> Exception:
    """More rows than its limit holds, and no folder to spill to."""
    with duckdb.connect() as connection:
        connection.execute("SET memory_limit = '8MiB'; SET temp_directory = ''; SET threads = 1")
        with pytest.raises(duckdb.OutOfMemoryException) as raised:
            connection.execute("CREATE TABLE rows AS SELECT random() AS r, i FROM range(4_000_000) _(i)")
        return raised.value


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), EngineError, "/data/x: no room is left"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/data/x"), EngineError, "/data/x: no room is left"),
        (OSError(errno.ENOSPC, "No space left on device"), EngineError, "home: no room is left"),
        (_wrapped(OSError(errno.ENOSPC, "No space left on device", "/data/x")), EngineError, "/data/x: no room"),
        (_of_the_engine("No space left on device"), EngineError, "/data/staging/x.parquet: no room is left"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/x"), EngineError, "/data/x: this user may not"),
        (OSError(errno.EROFS, "Read-only file system", "/data/x"), EngineError, "/data/x: it can only be read"),
        (OSError(errno.EIO, "Input/output error", "/data/x"), EngineError, "/data/x: the disk failed"),
        (OSError(errno.EMFILE, "Too many open files", "/data/x"), EngineError, "too many files are open"),
        (MemoryError(), EngineError, "no memory is left"),
        (
            _of_duckdb(),
            EngineError,
            r"no memory is left \(Out of Memory Error.*\)[^$]*CONTRAIL_MEMORY_LIMIT\) as this machine",
        ),
        (OSError("Out of Memory Error: failed to allocate"), EngineError, "no memory is left"),
        (FileNotFoundError("/data/x.parquet"), DamagedError, "is missing"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), EngineError, "a service does not answer"),
        (TimeoutError("timed out"), EngineError, "a service does not answer"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), EngineError, "^no address is known for the name"),
        (
            _of_postgres('could not translate host name "db" to address'),
            EngineError,
            "^no address is known for the name",
        ),
        (_of_postgres("server closed the connection unexpectedly"), EngineError, "^a service does not answer"),
        (
            _of_postgres("terminating connection due to administrator command"),
            EngineError,
            "^a service does not answer",
        ),
        (_of_postgres("FATAL:  the database system is starting up"), EngineError, "^a service does not answer"),
        (_of_postgres("FATAL:  sorry, too many clients already"), EngineError, "^the database takes no more"),
        (_of_postgres("could not extend file", "53100"), EngineError, "^the database: no room is left"),
        (_of_postgres("die Verbindung wird beendet", "57P01"), EngineError, "^a service does not answer"),
        (_of_postgres("zu viele Verbindungen", "53300"), EngineError, "^the database takes no more connections"),
        (_of_postgres("out of memory", "53200"), EngineError, "^the database: no memory is left"),
        (_of_postgres('FATAL:  password authentication failed for user "x"'), SpecError, "^the database refused"),
        (_of_postgres('FATAL:  database "x" does not exist'), SpecError, "^the database refused this process"),
        (_of_postgres("permission denied for table iceberg_tables", "42501"), SpecError, "^the database refused"),
        (_of_postgres("deadlock detected"), EngineError, "^another process keeps a row"),
        (socket.gaierror(errno.ENOENT, "nodename nor servname provided"), EngineError, "^no address is known"),
        (ssl.SSLError(1, "[SSL] record layer failure"), EngineError, "^no secure connection to a service was made"),
        (OSError(errno.ENETDOWN, "Network is down"), EngineError, "^a service does not answer"),
        (RuntimeError("can't start new thread"), EngineError, "^no further thread may start"),
        (
            duckdb.Error("Traceback (most recent\n  x\nCannot connect to host a:1 [Connect call failed]"),
            EngineError,
            r"^a service does not answer \(Cannot connect to host a:1",
        ),
        (duckdb.Error("Cannot connect to host a:1 [Name or service not known]"), EngineError, "^no address is known"),
        (pa.ArrowMemoryError("malloc of size 1 failed"), EngineError, "no memory is left"),
        (_passed_on("database or disk is full", sqlite3.SQLITE_FULL), EngineError, "no room is left"),
        (_passed_on("database is locked", sqlite3.SQLITE_BUSY), EngineError, "another process keeps it locked"),
        (_passed_on("attempt to write a readonly database", 8), EngineError, "it can only be read"),
        (_passed_on("disk I/O error", sqlite3.SQLITE_IOERR), EngineError, "the disk failed"),
        (_passed_on("unable to open database file", sqlite3.SQLITE_CANTOPEN), EngineError, "it cannot be opened"),
    ],
)
def test_each_fault_has_its_kind_place_and_remedy(
    home: Path, error: Exception, kind: type[ContrailError], words: str
) -> None:
    with pytest.raises(kind, match=words) as raised, machine_errors():
        raise error
    assert type(raised.value) is kind
    assert "Nothing is half published" in str(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("No space left on device"),
        RuntimeError("deadlock detected"),
        KeyError("x"),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
    ],
)
def test_other_errors_stay_as_they_are(home: Path, error: Exception) -> None:
    with pytest.raises(type(error)), machine_errors():
        raise error
    assert isinstance(error, BrokenPipeError) or as_ours(error) is None


# ---- a disk without room ----


@pytest.fixture
def small_disk(toy_home: Path) -> Iterator[Callable[[str], None]]:
    """A home on a disk of 24 MB that can be filled, emptied and made read-only."""
    toy_home.mkdir(parents=True)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", toy_home], capture_output=True)
    if made.returncode:
        pytest.skip("only root may mount a small disk")
    filler = toy_home / "filler"

    def change(to: str) -> None:
        if to == "full":
            with suppress(OSError), filler.open("wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
        elif to == "free":
            filler.unlink()
        else:
            subprocess.run(["mount", "-o", f"remount,{to}", toy_home], check=True)

    yield change
    subprocess.run(["umount", "-l", toy_home], check=True)


@pytest.mark.parametrize("verb", ["ingest", "validate"])
def test_a_full_disk_stops_a_stage_whole_and_the_next_run_goes_on(
    toy: Toy, small_disk: Callable[[str], None], verb: str
) -> None:
    toy.land(FIRST, LAST)
    if verb == "validate":
        toy.run("ingest", FIRST, LAST)
    small_disk("full")
    with pytest.raises(EngineError, match="no room is left") as raised:
        toy.run(verb, FIRST, LAST)
    assert raised.value.exit_code == 75
    small_disk("free")
    assert not toy.lake.exists(f"{verb}d_parcels") or not toy.lake.partitions(f"{verb}d_parcels")
    assert toy.run(verb, FIRST, LAST).rows == 3 * 60 * 2 + 3


def test_a_disk_that_can_only_be_read_stops_a_stage(toy: Toy, small_disk: Callable[[str], None]) -> None:
    toy.land(FIRST, LAST)
    small_disk("ro")
    with pytest.raises(EngineError, match=r"it can only be read|it cannot be opened"):
        toy.run("ingest", FIRST, LAST)
    small_disk("rw")
    assert toy.run("ingest", FIRST, LAST).rows == 3 * 60 * 2 + 3


# ---- databases ----


def test_a_locked_catalog_is_told_as_such(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.land(FIRST, LAST)
    toy.run("ingest", FIRST, LAST)
    own = sqlalchemy.create_engine
    # SQLite waits for five seconds by default.
    monkeypatch.setattr(
        "pyiceberg.catalog.sql.create_engine", lambda uri, **given: own(uri, connect_args={"timeout": 0.01}, **given)
    )
    with sqlite3.connect(settings().home_path / "lake" / "catalog.db") as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(EngineError, match="another process keeps it locked"):
            toy.run("validate", FIRST, LAST)
    assert toy.run("validate", FIRST, LAST).rows == 3 * 60 * 2 + 3


@pytest.mark.parametrize("name", ["lake/catalog.db"])
def test_a_damaged_database_is_named_with_its_remedy(toy: Toy, name: str) -> None:
    toy.land(FIRST, LAST)
    toy.run("ingest", FIRST, LAST)
    path = settings().home_path / name
    path.write_bytes(b"rubbish" * 1000)
    with pytest.raises(DamagedError, match=rf"(?s){name}.*Move its file away.*\n  contrail recover -p toy"):
        toy.run("validate", FIRST, LAST)
    path.unlink()
    with pytest.raises(DamagedError, match="\n  contrail recover -p toy"):
        Lake(settings(), "toy").table_names()


@pytest.mark.parametrize(
    "words", ["[Errno 2] Failed to open local file '{}'", "Object at location file://{} not found"]
)
def test_a_data_file_that_went_while_it_was_read_is_read_again(home: Path, words: str) -> None:
    from pyspark.errors import PySparkException

    path = f"{settings().catalog.warehouse_uri.removeprefix('file://')}/toy/features/data/day/1-a.parquet"
    error = (FileNotFoundError if words.startswith("[") else PySparkException)(words.format(path))
    with pytest.raises(EngineError, match="was removed while it was read") as raised, machine_errors():
        raise error
    assert path in str(raised.value)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no room is left"),
        (errno.EACCES, "this user may not use it"),
        (errno.EROFS, "it can only be read"),
    ],
)
def test_a_data_file_that_cannot_be_made_has_not_gone(home: Path, number: int, words: str) -> None:
    place = f"{settings().catalog.warehouse_uri.removeprefix('file://')}/toy/features/data/a-{'0' * 64}.parquet"
    with pytest.raises(EngineError, match=words), machine_errors():
        raise OSError(number, f"Failed to open local file '{place}'")
