"""Attach the lake to a file of DuckDB: views that plain DuckDB, or a BI tool, reads without Contrail.

The views are of one moment. The rows stay where they are.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from contrail.config.names import literal, quoted
from contrail.config.pipeline import Pipeline
from contrail.errors import EngineError, SpecError
from contrail.lake import readers
from contrail.lake.lake import Lake
from contrail.lake.sessions import session
from contrail.lake.views import Wanted, create_views, shown

# The oldest DuckDB that opens the file. It has read_parquet's columns by id, which the views need.
_STORAGE = "v1.2.0"
_FILE = "attached_file"
# No schema of a file can have, or be found by, these names.
_OF_DUCKDB = frozenset({"main", "temp", "system", "pg_catalog", "information_schema"})
_LOCKED = "Could not set lock on file"
ABOUT = "attached"


@dataclass(frozen=True)
class Attached:
    """What was written: the file, its schema as SQL names it, the moment of which the views are, and how many there are."""

    path: Path
    schema: str
    as_of: datetime
    views: int


def attach(pipeline: Pipeline, lake: Lake, path: Path, personal: bool = False) -> Attached:
    """Write views of every table into a schema of a DuckDB file, in one transaction. The schema has the pipeline's name.

    The file is made when it is missing. What else is in it stays. The same call again brings the views up to date.

    Args:
        pipeline: The pipeline.
        lake: Its tables.
        path: The file.
        personal: Show the values of persons.

    Raises:
        SpecError: if the lake is not on a disk, the file is not DuckDB's, or the schema would have a name of DuckDB's own.
        EngineError: while another process has the file open.
    """
    if not lake.settings.catalog.warehouse_uri.startswith("file://"):
        raise SpecError(
            f"the lake is at {lake.settings.catalog.warehouse_uri}, and a DuckDB file shows a lake on a disk. "
            "There, analysts query BigQuery: see docs/analysts-tables.md"
        )
    if pipeline.name in _OF_DUCKDB:
        raise SpecError(
            f"DuckDB has a schema or catalog '{pipeline.name}' of its own, so views of this pipeline cannot be in one of that "
            "name. Nothing was changed. Query it with contrail query"
        )
    as_of, own = datetime.now(UTC), quoted(pipeline.name)
    with session(lake.settings) as connection:
        _open(connection, path)
        _refuse_others_schema(connection, path, pipeline.name)
        connection.execute(f"BEGIN; USE {_FILE}; DROP SCHEMA IF EXISTS {own} CASCADE")
        connection.execute(f"CREATE SCHEMA {own}; USE {_FILE}.{own}")
        create_views(connection, lake, pipeline.spec, None, Wanted(as_of=as_of, personal=personal))
        views = [name for (name,) in connection.execute("SHOW TABLES").fetchall()]
        _document(connection, pipeline, views)
        _say_what(connection, lake, views, as_of)
        connection.execute("COMMIT; USE memory.main")
        connection.execute(f"DETACH {_FILE}")
        schema = _in_sql(connection, path, pipeline.name)
    return Attached(path, schema, as_of, len(views))


def _in_sql(connection: duckdb.DuckDBPyConnection, path: Path, schema: str) -> str:
    """The schema as a person writes it who has opened the file: quoted if it is a word of SQL."""
    sql = "SELECT count(*) FROM duckdb_keywords() WHERE keyword_name = ? AND keyword_category <> 'unreserved'"
    ((known,),) = connection.execute(sql, [schema]).fetchall()
    written = quoted(schema) if known else schema
    # DuckDB calls an open file by its name, and asks which of the two is meant.
    return f"{written}.{written}" if path.stem.casefold() == schema else written


def _open(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    try:
        version = "" if path.exists() else f" (STORAGE_VERSION '{_STORAGE}')"
        path.parent.mkdir(parents=True, exist_ok=True)
        connection.execute(f"ATTACH {literal(str(path))} AS {_FILE}{version}")
    except (duckdb.Error, OSError, ValueError) as error:
        first = str(error).partition("\n")[0]
        if _LOCKED in first:
            raise EngineError(
                f"another program has {path} open. Close it there, and run this again. ({first})"
            ) from error
        raise SpecError(f"{path} cannot be opened as a file of DuckDB: {first}. Nothing was changed.") from error


def _refuse_others_schema(connection: duckdb.DuckDBPyConnection, path: Path, schema: str) -> None:
    found = connection.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_catalog = ? AND table_schema = ?", [_FILE, schema]
    ).fetchall()
    if found and (ABOUT,) not in found:
        raise SpecError(
            f"{path} has a schema '{schema}' that contrail attach has not made, with {', '.join(name for (name,) in found)}. "
            "Nothing was changed. Rename it, or name another file."
        )


def _document(connection: duckdb.DuckDBPyConnection, pipeline: Pipeline, views: Iterable[str]) -> None:
    """Give views and columns their documentation, which BI tools show."""
    known = shown(pipeline.spec)
    for name in views:
        if name in known:
            connection.execute(f"COMMENT ON VIEW {quoted(name)} IS {literal(known[name].doc)}")
            for column, about in known[name].columns.items():
                with suppress(duckdb.CatalogException, duckdb.BinderException):  # published before the spec had it
                    connection.execute(f"COMMENT ON COLUMN {quoted(name)}.{quoted(column)} IS {literal(about.doc)}")


def _say_what(connection: duckdb.DuckDBPyConnection, lake: Lake, views: Iterable[str], as_of: datetime) -> None:
    """Write down of which snapshot each table is."""
    connection.execute(f"CREATE TABLE {ABOUT} (table_name VARCHAR, snapshot BIGINT, as_of TIMESTAMPTZ)")
    tables = sorted(set(views) & set(lake.table_names()))
    rows = [(name, readers.snapshot_at(lake, name, as_of), as_of) for name in tables]
    if rows:
        connection.executemany(f"INSERT INTO {ABOUT} VALUES (?, ?, ?)", rows)
