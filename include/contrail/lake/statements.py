"""What a statement in SQL does, and which tables it names, found by DuckDB's parser. Nothing is run."""

import json
from collections.abc import Iterator
from typing import Any

import duckdb

from contrail.errors import SpecError

_ALLOWED = "one SELECT, WITH, DESCRIBE, SHOW or EXPLAIN"
# Table functions that read no table. Any other may read each that there is, as query_table('predictions') does.
_OF_NO_TABLE = frozenset({"range", "generate_series", "unnest", "repeat", "repeat_row"})
_CATALOGS = ("information_schema", "pg_catalog")


def refuse_writing(sql: str) -> None:
    """Refuse what is not one statement that reads.

    Raises:
        SpecError: for anything else.
    """
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


def named_in(sql: str) -> set[str] | None:
    """Find the names of the tables in a statement that reads; None where it may show any, as SHOW TABLES does."""
    if duckdb.extract_statements(sql)[0].type is duckdb.StatementType.EXPLAIN:
        sql = _without_explain(sql)
    with duckdb.connect() as parser:
        ((parsed,),) = parser.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
    tree = json.loads(parsed)
    names: set[str] = set()
    if tree["error"]:
        return None
    for kind, node in _nodes(tree):
        if kind == "BASE_TABLE":
            if node.get("schema_name") in _CATALOGS or node["table_name"].startswith(("duckdb_", "pg_", "sqlite_")):
                return None
            names.add(node["table_name"].lower())
        elif _may_show_any(kind, node):
            return None
    return names


def _may_show_any(kind: str, node: dict[str, Any]) -> bool:
    if kind == "TABLE_FUNCTION":
        return node["function"]["function_name"] not in _OF_NO_TABLE
    return kind == "SHOW_REF" and node.get("query") is None


def _nodes(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every node of a parsed statement with its type."""
    if isinstance(value, dict):
        if isinstance(kind := value.get("type"), str):
            yield kind, value
        for part in value.values():
            yield from _nodes(part)
    elif isinstance(value, list):
        for part in value:
            yield from _nodes(part)
