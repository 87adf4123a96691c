"""The SQL expressions of a spec, bound to the columns of their tables before any row is read.

DuckDB binds them on an empty table of the right types, without access to files. It is loaded only then, because DAG files
are parsed without it. What a label is joined to belongs to ``contrail.lake.labels``.
"""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from contrail.config.names import quoted
from contrail.config.problems import Problem
from contrail.config.table_spec import SQL_TYPES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from contrail.config.spec import PipelineSpec

_PLACE = ("label", "expression")
_NUMBERS = re.compile(r"BOOLEAN|U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL.*")
# A label is made of its own row, and of nothing that is different tomorrow or elsewhere.
_REFUSED_CLASSES = {"SUBQUERY": "a subquery", "WINDOW": "a window function", "STAR": "*"}
CHANGING = frozenset(
    [
        "current_localtime",
        "current_localtimestamp",
        "unnest",
        "version",
        "current_connection_id",
        "current_database",
        "current_date",
        "current_query",
        "current_query_id",
        "current_schema",
        "current_schemas",
        "current_setting",
        "current_transaction_id",
        "currval",
        "error",
        "gen_random_uuid",
        "get_current_time",
        "get_current_timestamp",
        "getvariable",
        "in_search_path",
        "nextval",
        "now",
        "random",
        "setseed",
        "setval",
        "sleep_ms",
        "stats",
        "today",
        "transaction_timestamp",
        "txid_current",
        "uuid",
        "uuidv4",
        "uuidv7",
        "vector_type",
        "write_log",
    ]
)
# Written without brackets, where no column has the name.
_WORDS = frozenset(
    ["current_date", "current_time", "current_timestamp", "current_user", "localtime", "localtimestamp", "user"]
)


def problems(spec: "PipelineSpec") -> list[Problem]:
    """List what is wrong with the expressions."""
    table = spec.tables.get(spec.label.table)
    if table is None or not table.columns:
        return []  # said already
    columns = tuple((name, SQL_TYPES[column.type]) for name, column in table.columns.items())
    return [Problem(_PLACE, said) for said in _of_label(spec.label.table, spec.label.expression, columns)]


@lru_cache(maxsize=64)
def _of_label(name: str, text: str, columns: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """What is wrong, asked once: a process loads a spec for each of its stages, and opening DuckDB takes 20 ms."""
    import duckdb

    # Without external access, an expression cannot read a file while it is bound.
    with duckdb.connect(config={"enable_external_access": "false", "threads": "1"}) as connection:
        return tuple(_bound(connection, name, text, dict(columns)))


def _bound(connection: "DuckDBPyConnection", name: str, text: str, columns: dict[str, str]) -> Iterator[str]:
    import duckdb

    try:
        duckdb.SQLExpression(text)
        if refused := sorted(_refused(json.loads(_parsed(connection, text))) - set(columns)):
            yield f"'{text}' uses {', '.join(refused)}; a label is made of the columns of its own row alone"
            return
        listed = ", ".join(f"{quoted(column)} {kind}" for column, kind in {"partition_date": "DATE", **columns}.items())
        connection.execute(f"CREATE TABLE _bound ({listed})")
        # As where labels are read: the column beside it makes an aggregate an error, and a comment would hide a bracket.
        bound = connection.sql(f"SELECT partition_date, ({text}) FROM _bound")
    except (duckdb.Error, RecursionError) as error:
        yield f"'{text}' does not fit the columns of {name}: {_reason(error)}"
        return
    kind = str(bound.types[-1])
    if len(bound.types) != 2 or not _NUMBERS.fullmatch(kind):
        yield f"'{text}' is {kind}; a label is a number, or true or false, for example delay > 15"


def _parsed(connection: "DuckDBPyConnection", text: str) -> str:
    (tree,) = connection.execute("SELECT json_serialize_sql(?)", [f"SELECT (\n{text}\n)"]).fetchone() or ("{}",)
    return str(tree)


def _refused(tree: Any) -> set[str]:
    """Name what no label may use, anywhere in the parsed expression."""
    if isinstance(tree, list):
        return set().union(*map(_refused, tree)) if tree else set()
    if not isinstance(tree, dict):
        return set()
    found = set().union(*map(_refused, tree.values())) if tree else set()
    if tree.get("class") in _REFUSED_CLASSES:
        found.add(_REFUSED_CLASSES[tree["class"]])
    if tree.get("class") == "FUNCTION" and str(tree.get("function_name")).lower() in CHANGING:
        found.add(f"{tree['function_name']}()")
    if tree.get("class") == "COLUMN_REF":
        found |= _WORDS & {str(name).lower() for name in tree["column_names"]}
    return found


def _reason(error: Exception) -> str:
    """DuckDB's words without the drawing of the place, in one line."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith("LINE ") and line.strip() != "^"]
    return " ".join(" ".join(said).split())[:300]
