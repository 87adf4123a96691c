"""The machine's faults as Contrail's own errors: disk, permissions, databases, files that are gone.

They reach the boundaries of the package, the command line and ``run_stage``, through a dozen libraries. Each library words
them in its own way; the kinds are few. What a service of Google says belongs to ``google_errors``.
"""

import errno
import logging
import os
import re
import socket
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from contrail.config.pipeline import pipeline_names
from contrail.config.settings import settings
from contrail.errors import ContrailError, DamagedError, EngineError, SpecError
from contrail.faults import (
    NO_ANSWER,
    POSTGRES_AWAY,
    POSTGRES_NUMBERS,
    POSTGRES_REFUSED,
    POSTGRES_WITHOUT_NAME,
    postgres_code,
    postgres_text,
)
from contrail.files import gone_below

_NO_NAME, _NO_TRUST = -1000, -1001
_NO_THREAD = "can't start new thread"
KEPT = "Nothing is half published: readers see whole partitions, old or new."
_AGAIN = "Then run the same command again."
# Libraries that pass on an error of the system, or of SQLite, in their own words.
_PASSED_ON = (
    "sqlalchemy", "sqlite3", "mlflow", "pyspark", "_duckdb", "duckdb", "dvc", "grpc", "xgboost", "psycopg2", "pyarrow",
)  # fmt: skip
_PATH = re.compile(r"""['"](?:file://)?(/[^'"]+)['"]""")


@dataclass(frozen=True)
class _Kind:
    """A fault: how to recognise it, what to say, and what a person does about it."""

    numbers: tuple[int, ...]
    words: tuple[str, ...]
    what: str
    remedy: str
    elsewhere: bool = False  # a service's, so that no path of this machine is at fault

    def fits(self, number: int | None, text: str) -> bool:
        """Say whether an error with this number or text is of this kind."""
        said = (*(os.strerror(each) for each in self.numbers), *self.words)
        return number in self.numbers or (number is None and any(word in text for word in said))


_KINDS = (
    _Kind(
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
        ("database or disk is full",),
        "no room is left",
        "Free space, inodes or quota there (df -h and df -i show them).",
    ),
    _Kind(
        (errno.EROFS,),
        ("attempt to write a readonly database",),
        "it can only be read",
        "Mount it for writing, or give this user the right to write.",
    ),
    _Kind(
        (errno.EACCES, errno.EPERM),
        (),
        "this user may not use it",
        "Give this user the right to read and write there.",
    ),
    _Kind((errno.EIO,), ("disk I/O error",), "the disk failed", "Check the disk (dmesg), or move the data to another."),
    _Kind((errno.EMFILE, errno.ENFILE), (), "too many files are open", "Raise the limit (ulimit -n)."),
    _Kind(
        (errno.ENOMEM,),
        # DuckDB's, at its own limit too; what C++ says; Arrow's; and Python's, which has no class of its own.
        ("Out of Memory Error", "std::bad_alloc", "malloc of size"),
        "no memory is left",
        "Free memory, set memory_limit (or CONTRAIL_MEMORY_LIMIT) as this machine allows, or choose a shorter range of days.",
    ),
    _Kind(
        (),
        (_NO_THREAD,),
        "no further thread may start",
        "Raise the limit (ulimit -u, or the pids of the container), or end other processes.",
        elsewhere=True,
    ),
    _Kind(
        (errno.EBUSY, errno.ETXTBSY),
        ("database is locked", "database table is locked"),
        "another process keeps it locked",
        "Wait until it is done.",
    ),
    _Kind((), ("unable to open database file",), "it cannot be opened", "Give this user the right to its folder."),
    _Kind(
        (_NO_NAME,),
        (
            POSTGRES_WITHOUT_NAME,
            "Failed to resolve",
            "dns error",
            "name resolution",
            "Name or service not known",
            "nodename nor servname",
        ),
        "no address is known for the name of a service",
        "See that this machine's DNS answers, and that the environment file has the right name.",
        elsewhere=True,
    ),
    _Kind(
        (_NO_TRUST,),
        (),
        "no secure connection to a service was made",
        "See that it runs, that its certificate is valid, and that this machine knows who signed it.",
        elsewhere=True,
    ),
    _Kind(
        (),
        ("too many clients already", "remaining connection slots", "too many connections"),
        "the database takes no more connections",
        "Wait until others are closed, or let it take more.",
        elsewhere=True,
    ),
    _Kind(
        (),
        ("deadlock detected", "could not serialize access", "lock timeout"),
        "another process keeps a row of the database locked",
        "Wait until it is done.",
        elsewhere=True,
    ),
    _Kind(
        NO_ANSWER,
        (*POSTGRES_AWAY, "Cannot connect to host"),  # the last is of aiohttp
        "a service does not answer",
        "See that it runs and can be reached.",
        elsewhere=True,
    ),
)
_TALKATIVE = ("asyncio", "gcsfs", "mlflow.store.db.utils", "sqlalchemy.pool")
_BROKEN = ("database disk image is malformed", "file is not a database")


def quiet_libraries() -> None:
    """Let an error be said once. These libraries also log the trace of what they raise, in their own words."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def machine_errors() -> Iterator[None]:
    """Raise a fault of the machine as one of Contrail's errors.

    Raises:
        EngineError: The same call may pass later: disk, permissions, memory, locks, connections.
        DamagedError: A file is missing or damaged, which no retry mends.
        SpecError: A database refused the login.
    """
    try:
        yield
    except (ContrailError, BrokenPipeError):
        raise
    except Exception as error:
        if found := as_ours(error):
            raise found from error
        raise


def as_ours(error: BaseException) -> ContrailError | None:
    """Translate an error as ``machine_errors`` does. None: it is no fault of the machine that is known."""
    link: BaseException | None = error
    while link is not None:
        if found := _translated(link):
            return found
        link = link.__cause__
    return None


def _translated(error: BaseException) -> ContrailError | None:
    text = postgres_text(error)
    number = _number(error)
    known = isinstance(error, OSError | MemoryError) or type(error).__module__.split(".")[0] in _PASSED_ON
    if not known and _NO_THREAD not in text:
        return None
    if _is_of_postgres(error) and POSTGRES_REFUSED.search(text):
        return SpecError(
            f"the database refused this process ({_first_line(text)}).\n{KEPT} Check the address in the environment file, "
            "the user's rights, and the password (PGPASSWORD)."
        )
    if any(word in text for word in _BROKEN):
        return _broken_database(text)
    # Who reads a table asks before whether its files are there, and tells damage.
    if number in (None, errno.ENOENT) and (gone := gone_below(settings().catalog.warehouse_uri, text)):
        return EngineError(
            f"{gone} was removed while it was read: other rows have taken the place of its own, or those of a person were "
            f"taken out.\n{KEPT} Run the same command again."
        )
    for kind in _KINDS:
        if kind.fits(number, text):
            where = "" if kind.elsewhere else f"{_where(error)}: "
            return EngineError(f"{where}{kind.what} ({_first_line(text)}).\n{KEPT} {kind.remedy} {_AGAIN}")
    if isinstance(error, FileNotFoundError):
        return DamagedError(
            f"{_where(error)} is missing ({_first_line(text)}).\n{KEPT} Put it back from a backup. To see what else is "
            "missing: contrail verify --pipeline <name>"
        )
    if number is not None and isinstance(error, OSError):
        return EngineError(f"{_where(error)}: {_first_line(text)}.\n{KEPT} {_AGAIN}")
    return None


def _number(error: BaseException) -> int | None:
    """The system's number of an error. PyArrow leaves it out of the errors that have a class of their own."""
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, socket.gaierror):
        return _NO_NAME  # its own numbers are those of other faults on some systems
    if isinstance(error, ssl.SSLError):
        return _NO_TRUST  # so are the numbers of OpenSSL
    kinds = {PermissionError: errno.EACCES, ConnectionError: errno.ECONNREFUSED, TimeoutError: errno.ETIMEDOUT}
    number = getattr(error, "errno", None) if isinstance(error, OSError) else None
    if _is_of_postgres(error):
        number = POSTGRES_NUMBERS.get(postgres_code(error))
    return number or next((own for kind, own in kinds.items() if isinstance(error, kind)), None)


def _where(error: BaseException) -> str:
    """The path that an error names, or the home, where nearly all that Contrail writes lies."""
    if _is_of_postgres(error):
        return "the database"
    named = getattr(error, "filename2", None) or getattr(error, "filename", None)
    if isinstance(named, str | bytes | Path):
        return os.fsdecode(named)
    found = _PATH.search(str(error))
    return found[1] if found else str(settings().home_path)


def _is_of_postgres(error: BaseException) -> bool:
    """Say whether an error is of Postgres's client, or of SQLAlchemy over it."""
    return type(getattr(error, "orig", error)).__module__.split(".")[0] == "psycopg2"


def _first_line(text: str) -> str:
    """The line that says what is wrong: the last one of a trace, which a library may have for a message."""
    lines = text.strip().splitlines() or ["no details"]
    return lines[-1 if lines[0].startswith("Traceback") else 0][:300].rstrip(".")


def _broken_database(text: str) -> DamagedError:
    """Which database is damaged, and what to do about it."""
    current = settings()
    broken = [uri for uri in (current.catalog.uri, current.registry.tracking_uri) if _is_broken(uri)]
    parts = [f"a database is damaged ({_first_line(text)}): {', '.join(broken) or current.home_path}. {KEPT}"]
    if current.catalog.uri in broken:
        parts.append("The catalog can be made again. Move its file away, then run:")
        parts += [f"  contrail recover -p {name}" for name in pipeline_names()]
    if current.registry.tracking_uri in broken:
        parts.append("Put the registry's file back from a backup: it has the only list of models and aliases.")
    return DamagedError("\n".join(parts))


def _is_broken(uri: str) -> bool:
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or not path.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",)
    except sqlite3.DatabaseError as error:
        return not isinstance(error, sqlite3.OperationalError)
