"""What a statement in SQL does, and which tables it names, found by DuckDB's parser. Nothing is run."""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import duckdb

from contrail.errors import SpecError

_ALLOWED = "one SELECT, WITH, DESCRIBE, SHOW or EXPLAIN"
# Table functions that read no table.
_OF_NO_TABLE = frozenset({"range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"})
# Those that list tables, columns and types. No other is called: `read_parquet` would show the rows of a table's files below
# its pseudonyms, `query` and `json_execute_serialized_sql` run SQL that nobody has looked at.
_LISTING = frozenset({"duckdb_columns", "duckdb_functions", "duckdb_keywords", "duckdb_tables", "duckdb_types"})
_CATALOGS = ("information_schema", "pg_catalog")
_OF_CATALOG = ("duckdb_", "pg_", "sqlite_", "pragma_")
# Views of the catalog that show no view's SQL, in which the key of the pseudonyms and the names of files stand.
_LISTED = frozenset(
    {"columns", "duckdb_columns", "duckdb_schemas", "duckdb_tables", "duckdb_types", "pg_attribute", "pg_class"}
    | {"pg_namespace", "pg_tables", "pg_type", "schemata", "tables"}
)
# Functions that show a view's SQL, a plan, or the paths of the tables' files.
_SHOWING = frozenset(
    {"current_setting", "getenv", "json_serialize_plan", "pg_get_constraintdef", "pg_get_expr", "pg_get_viewdef"}
)
_OWN = ("", "main")  # where the views are; DuckDB would make a path of other names


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


def refuse_other_sources(sql: str, *, personal: bool) -> None:
    """Refuse a statement that reads by another way than the views of the tables.

    DuckDB opens the tables' own files for the views, so it would open them for whoever names one, too.

    Args:
        sql: One statement that reads.
        personal: Whether it may see personal values.

    Raises:
        SpecError: for a file, a function that reads one or runs SQL, and a part of the catalog that shows a view's SQL.
    """
    explains = duckdb.extract_statements(sql)[0].type is duckdb.StatementType.EXPLAIN
    if explains and not personal:
        raise SpecError("a plan would show how personal columns are hidden. To see it, ask with --personal.")
    tree = _tree(_without_explain(sql) if explains else sql)
    if tree is None:
        raise SpecError("the tables of this statement cannot be told. Write it as one SELECT over tables with names.")
    for kind, node in _nodes(tree):
        if kind == "TABLE_FUNCTION":
            name = str(node["function"].get("function_name", "")).lower()
            if name not in _OF_NO_TABLE | _LISTING:
                raise SpecError(f"a query reads the tables and no other file: it does not call {name}.")
        elif kind == "FUNCTION" and (name := str(node["function_name"]).lower()) in _SHOWING:
            raise SpecError(f"a query reads the tables alone: it does not call {name}.")
        elif kind in ("BASE_TABLE", "SHOW_REF"):
            _refuse_no_table(node)


def _refuse_no_table(node: dict[str, Any]) -> None:
    name = str(node["table_name"]).lower()
    if _of_catalog(node):
        if name not in _LISTED:
            raise SpecError(
                f"a query does not read {node['table_name']}, which shows how tables are hidden. SHOW TABLES, duckdb_tables "
                "and information_schema.columns list them."
            )
        return
    schema, catalog = (str(node.get(f"{part}_name") or "").lower() for part in ("schema", "catalog"))
    if schema not in _OWN or catalog or "." in name or "/" in name:
        whole = ".".join(part for part in (catalog, schema, node["table_name"]) if part)
        raise SpecError(f"a query reads the tables and no other file: it does not read {whole}.")


def _of_catalog(node: dict[str, Any]) -> bool:
    return str(node.get("schema_name")).lower() in _CATALOGS or node["table_name"].lower().startswith(_OF_CATALOG)


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
    tree = _tree(sql)
    names: set[str] = set()
    if tree is None:
        return None
    for kind, node in _nodes(tree):
        if kind == "BASE_TABLE":
            if _of_catalog(node):
                return None
            names.add(node["table_name"].lower())
        elif _may_show_any(kind, node):
            return None
    return names


@lru_cache(8)
def _tree(sql: str) -> Any:
    """The parsed statement, which nobody changes; None where DuckDB cannot show it, as of one that it makes several of.

    It is kept, because a question asks for it twice, and a session of DuckDB takes some 14 ms to begin.
    """
    with duckdb.connect() as parser:
        ((parsed,),) = parser.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
    tree = json.loads(parsed)
    return None if tree["error"] else tree


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
