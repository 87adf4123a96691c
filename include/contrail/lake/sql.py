"""One question in SQL, answered from the tables of one pipeline and from nothing else.

The session reads. It cannot write, and it sees no file but the tables' own. What a person sees of the answer does not
belong here.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from contrail.config.names import literal, quoted
from contrail.config.spec import PipelineSpec
from contrail.errors import EngineError, SpecError
from contrail.lake import readers
from contrail.lake.catalog import Tables
from contrail.lake.datasets import Dataset
from contrail.lake.pseudonyms import Pseudonyms
from contrail.lake.records import all_datasets
from contrail.lake.sessions import session
from contrail.lake.warehouse import View, views

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
_ALLOWED = "one SELECT, WITH, DESCRIBE, SHOW or EXPLAIN"


@dataclass(frozen=True)
class Answer:
    """The rows of a question, read as they are asked for."""

    columns: list[str]
    _connection: duckdb.DuckDBPyConnection

    def first(self, count: int) -> list[tuple[Any, ...]]:
        """Return the first rows, at most ``count`` of them."""
        return self._connection.fetchmany(count)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield all rows. They need not fit into memory."""
        while rows := self._connection.fetchmany(_ROWS):
            yield from rows


def shown(spec: PipelineSpec) -> dict[str, Dataset]:
    """Return what a question may name: every table of a pipeline, and the views over them."""
    return {**all_datasets(spec), **{view.dataset.name: view.dataset for view in _views(spec)}}


@contextmanager
def ask(
    tables: Tables,
    spec: PipelineSpec,
    sql: str,
    seconds: float = SECONDS,
    as_of: datetime | None = None,
    personal: bool = False,
) -> Iterator[Answer]:
    """Answer one question. Every table is a view of one snapshot. A table that does not exist yet has no rows.

    Personal columns have pseudonyms, the same for the same value. Times and flags of persons are null.

    Args:
        tables: The tables of the pipeline.
        spec: The pipeline.
        sql: One statement that reads, in DuckDB's dialect.
        seconds: After so long the question is given up.
        as_of: Show each table as it was at this moment. Default: as it is now.
        personal: Show the values of personal columns.

    Raises:
        SpecError: if the statement is wrong, does not only read, or takes too long.
        EngineError: if the machine has too little memory or space for it.
    """
    with session(tables.settings) as connection, _in_words(tables, spec, seconds) as given_up:
        _refuse_writing(sql)
        # Unlike a stage, a person expects the rows in the order of the table.
        connection.execute("SET preserve_insertion_order = true")
        opened = _create_views(connection, tables, spec, sql, as_of, None if personal else Pseudonyms(spec))
        _confine(connection, opened)
        timer = threading.Timer(seconds, _give_up, (given_up, connection))
        timer.start()
        try:
            connection.execute(sql)
            yield Answer([column[0] for column in connection.description or ()], connection)
        finally:
            timer.cancel()


def _give_up(given_up: threading.Event, connection: duckdb.DuckDBPyConnection) -> None:
    given_up.set()
    connection.interrupt()


def _views(spec: PipelineSpec) -> list[View]:
    return [view for view in views(spec) if view.dataset.name != view.source]


def _create_views(
    connection: duckdb.DuckDBPyConnection,
    tables: Tables,
    spec: PipelineSpec,
    sql: str,
    as_of: datetime | None,
    pseudonyms: Pseudonyms | None,
) -> list[str]:
    """Make the views that a question reads, and return the files that they read."""
    known, derived = shown(spec), {view.dataset.name: view for view in _views(spec)}
    named = _named_in(connection, sql) or known.keys()
    sources = {derived[name].source for name in named & derived.keys()}
    existing = set(tables.table_names())
    allowed: list[str] = []
    columns: dict[str, pa.Schema] = {}
    for name in sorted((named | sources) & (existing | known.keys()) - derived.keys()):
        snapshot = readers.snapshot_at(tables, name, as_of)
        at = snapshot if as_of else None
        columns[name] = readers.schema(tables, name, at) if name in existing else known[name].arrow_schema()
        uris = readers.files(tables, name, snapshot_id=snapshot) if snapshot else []
        select = pseudonyms.select(name, columns[name]) if pseudonyms else "SELECT *"
        allowed += readers.create_view(connection, name, columns[name], uris, select=select)
    for name in sorted(named & derived.keys()):
        source = derived[name].source
        left_out = known[source].columns.keys() - derived[name].dataset.columns.keys()
        shown_columns = [column for column in columns[source].names if column not in left_out]
        lacking = [f"NULL AS {quoted(c)}" for c in sorted(left_out - set(columns[source].names))]
        table = quoted(source)
        over = f"(SELECT *, {', '.join(lacking)} FROM {table})" if lacking else table
        query = derived[name].query(over, "duckdb", shown_columns)
        connection.execute(f"CREATE VIEW {quoted(name)} AS {query}")
    return allowed


def _refuse_writing(sql: str) -> None:
    found = duckdb.extract_statements(sql)
    if len(found) != 1 or not _only_reads(found[0]):
        kinds = ", ".join(statement.type.name for statement in found) or "nothing"
        raise SpecError(f"contrail query answers {_ALLOWED}; this is {kinds}. It never changes a table or a file.")


def _only_reads(statement: duckdb.Statement) -> bool:
    if statement.type is not duckdb.StatementType.EXPLAIN:
        return statement.type is duckdb.StatementType.SELECT
    # EXPLAIN ANALYZE runs what it explains.
    explained = duckdb.extract_statements(_without_explain(statement.query))
    return [one.type for one in explained] == [duckdb.StatementType.SELECT]


def _without_explain(sql: str) -> str:
    """Cut ``EXPLAIN [ANALYZE] [(options)]`` off a statement."""
    starts = [start for start, _ in duckdb.tokenize(sql)]
    words = [sql[start:end].strip().upper() for start, end in zip(starts, [*starts[1:], len(sql)], strict=True)]
    place = words.index("EXPLAIN") + 1
    if words[place : place + 1] == ["ANALYZE"]:
        place += 1
    if words[place : place + 1] == ["("]:
        place = words.index(")", place) + 1
    return sql[starts[place] :] if place < len(starts) else ""


def _named_in(connection: duckdb.DuckDBPyConnection, sql: str) -> set[str]:
    """Find the names of the tables in a statement; none where it may show any, as SHOW TABLES does."""
    try:
        return {name.lower() for name in connection.get_table_names(sql)}
    except duckdb.Error:
        return set()


def _confine(connection: duckdb.DuckDBPyConnection, allowed: list[str]) -> None:
    connection.execute(f"SET allowed_paths = [{', '.join(map(literal, allowed))}]")
    for line in _LOCKED:
        connection.execute(line)


@contextmanager
def _in_words(tables: Tables, spec: PipelineSpec, seconds: float) -> Iterator[threading.Event]:
    """Say what went wrong in a person's words, also while rows are read."""
    given_up = threading.Event()
    try:
        yield given_up
    except duckdb.InterruptException as error:
        if not given_up.is_set():
            raise KeyboardInterrupt from error
        raise SpecError(f"the query was given up after {seconds:g} s. Ask for fewer days, or set --seconds.") from error
    except duckdb.OutOfMemoryException as error:
        raise EngineError(
            f"the query needs more than {tables.settings.memory_bytes / 2**20:,.0f} MiB of memory (memory_limit) and {_SPILL} "
            f"of space in {tables.settings.home_path}. Ask for fewer days or columns. ({_first_line(error)})"
        ) from error
    except duckdb.PermissionException as error:
        raise SpecError(f"a query reads the tables and no other file: {_first_line(error)}") from error
    except duckdb.Error as error:
        raise SpecError(f"the query failed: {error}\nTables: {', '.join(sorted(shown(spec)))}") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
