"""One question in SQL, answered from the tables of one pipeline and from nothing else.

The session reads. It cannot write, and it sees no file but the tables' own. What a person sees of the answer does not
belong here.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from contrail.config.names import literal, quoted
from contrail.config.spec import PipelineSpec
from contrail.errors import EngineError, SpecError
from contrail.files import gone_below
from contrail.lake import data_files
from contrail.lake.bounds import GRACE_SECONDS, bounded_memory, bounded_time
from contrail.lake.lake import Lake
from contrail.lake.sessions import session
from contrail.lake.statements import named_in, refuse_other_sources, refuse_writing
from contrail.lake.views import Wanted, create_views, shown, unknown_table

SECONDS = 600.0
_SPILL = "20GB"
_ROWS = 10_000
_LOCKED = (
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET python_enable_replacements = false",
    f"SET max_temp_directory_size = '{_SPILL}'",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
    # The views are made. From here on not even the session's own memory changes.
    "BEGIN TRANSACTION READ ONLY",
)
_MISSING = re.compile(r"Table with name (\w+) does not exist")


@dataclass(frozen=True)
class Answer:
    """The rows of a question, read as they are asked for."""

    columns: list[str]
    _connection: duckdb.DuckDBPyConnection
    _question: str
    _bounded: Callable[[], AbstractContextManager[None]] = nullcontext

    def first(self, count: int) -> list[tuple[Any, ...]]:
        """Return the first rows, at most ``count`` of them."""
        with self._bounded():  # not while somebody reads what is there
            return self._connection.fetchmany(count)

    def batches(self) -> pa.RecordBatchReader:
        """Ask once more, and return all rows as a stream of Arrow. They need not fit into memory."""
        self._connection.abort()  # of what was executed it would copy the rows
        return self._connection.sql(self._question).to_arrow_reader(_ROWS)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield all rows. They need not fit into memory."""
        while rows := self.first(_ROWS):
            yield from rows


@contextmanager
def ask(
    lake: Lake,
    spec: PipelineSpec,
    sql: str,
    seconds: float = SECONDS,
    as_of: datetime | None = None,
    personal: bool = False,
    also: Mapping[str, str] | None = None,
    alone: bool = False,
    sooner: str = "Ask for fewer days, or set --seconds.",
) -> Iterator[Answer]:
    """Answer one question. Every table is a view of one snapshot. A table that does not exist yet has no rows.

    Personal columns have pseudonyms, the same for the same value. Times and flags of persons are null.

    Args:
        lake: The tables of the pipeline.
        spec: The pipeline.
        sql: One statement that reads, in DuckDB's dialect.
        seconds: After so long the question is given up.
        as_of: Show each table as it was at this moment. Default: as it is now.
        personal: Show the values of personal columns.
        also: Further views for the statement, by name. Each is a query over the tables.
        alone: This process does nothing but answer. So the operating system bounds its memory, and a question that does
            not stop ends it.
        sooner: What a person does about a question that is given up.

    Raises:
        SpecError: if the statement is wrong, does not only read, or takes too long.
        EngineError: if the machine has too little memory or space for it.
    """
    late = f"the query was given up after {seconds:g} s. {sooner}"
    with session(lake.settings) as connection, _in_words(lake, spec, late) as given_up:
        refuse_writing(sql)
        refuse_other_sources(sql, personal=personal or not spec.personal)
        # Unlike a stage, a person expects the rows in the order of the table.
        connection.execute("SET preserve_insertion_order = true")
        wanted = Wanted(as_of=as_of, personal=personal)
        named = [named_in(each) for each in (sql, *(also or {}).values())]
        tables = None if None in named else {table for each in named for table in each or ()}
        opened = create_views(connection, lake, spec, tables, wanted)
        for name, query in (also or {}).items():
            connection.execute(f"CREATE VIEW {quoted(name)} AS {query}")
        _confine(connection, opened)
        timer = threading.Timer(seconds, _give_up, (given_up, connection))
        bounded = _bounded(connection, seconds, late) if alone else nullcontext
        # Twice `memory_limit`: once for what DuckDB counts, and once for single values, which it does not.
        with bounded_memory(2 * lake.settings.memory_bytes) if alone else nullcontext():
            timer.start()
            try:
                with bounded():
                    connection.execute(sql)
                yield Answer([column[0] for column in connection.description or ()], connection, sql, bounded)
            finally:
                timer.cancel()


def _bounded(
    connection: duckdb.DuckDBPyConnection, seconds: float, late: str
) -> Callable[[], AbstractContextManager[None]]:
    """What ends this process when DuckDB works for so long on a part of an answer, and does not stop when it is asked to."""
    ((spill,),) = connection.execute("SELECT current_setting('temp_directory')").fetchall()
    words = f"{late} It did not stop, so its process was ended."
    return partial(bounded_time, seconds + GRACE_SECONDS, Path(spill), words, SpecError.exit_code)


def _give_up(given_up: threading.Event, connection: duckdb.DuckDBPyConnection) -> None:
    given_up.set()
    connection.interrupt()


def _confine(connection: duckdb.DuckDBPyConnection, allowed: list[str]) -> None:
    connection.execute(f"SET allowed_paths = [{', '.join(map(literal, allowed))}]")
    for line in _LOCKED:
        connection.execute(line)


@contextmanager
def _in_words(lake: Lake, spec: PipelineSpec, late: str) -> Iterator[threading.Event]:
    """Say what went wrong in a person's words, also while rows are read."""
    given_up = threading.Event()
    try:
        with in_words(lake, spec):
            yield given_up
    except KeyboardInterrupt as error:
        if not given_up.is_set():
            raise
        raise SpecError(late) from error


@contextmanager
def in_words(lake: Lake, spec: PipelineSpec) -> Iterator[None]:
    """Turn DuckDB's errors into those of a person who asks for tables.

    Raises:
        SpecError: if the statement is wrong. An unknown table has the nearest name.
        EngineError: if the machine has too little memory or space for it, or files went while they were read.
        KeyboardInterrupt: if somebody interrupted it.
    """
    try:
        yield
    except duckdb.InterruptException as error:
        raise KeyboardInterrupt from error
    except duckdb.OutOfMemoryException as error:
        raise EngineError(
            f"the query needs more than {lake.settings.memory_bytes / 2**20:,.0f} MiB of memory (memory_limit) and {_SPILL} "
            f"of space in {lake.settings.home_path}. Ask for fewer days or columns. ({_first_line(error)})"
        ) from error
    except (duckdb.PermissionException, duckdb.IOException) as error:
        if _went(lake, str(error)):  # they were there when the views were made
            raise EngineError(
                "files of the tables were removed while they were read: other rows have taken the place of theirs, or those of "
                f"a person were taken out. Ask again. ({_first_line(error)})"
            ) from error
        if isinstance(error, duckdb.IOException):
            raise _failed(error, spec) from error
        raise SpecError(f"a query reads the tables and no other file: {_first_line(error)}") from error
    except duckdb.CatalogException as error:
        known = shown(spec).keys() | set(lake.table_names())
        missing = _MISSING.search(str(error))
        if missing is None or missing[1] in known:
            raise _failed(error, spec) from error
        listed = ", ".join(sorted(known))
        raise SpecError(f"{unknown_table(spec, missing[1], known)}\nTables: {listed}") from error
    except duckdb.Error as error:
        if str(error).startswith("Traceback"):  # of the library that reads an object store: no fault of the question
            raise
        raise _failed(error, spec) from error


def _failed(error: duckdb.Error, spec: PipelineSpec) -> SpecError:
    return SpecError(f"the query failed: {error}\nTables: {', '.join(sorted(shown(spec)))}")


def _went(lake: Lake, text: str) -> bool:
    """Say whether an error names a data file of the lake that is not there. DuckDB then looks for it as a folder."""
    gone = gone_below(lake.settings.catalog.warehouse_uri, text)
    return gone is not None and data_files.digest_of(gone) is not None  # else it is what somebody asked for


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
