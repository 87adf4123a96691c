"""Strict casts from text to typed values, as DuckDB expressions.

DuckDB's own casts read ``12.7`` as the integer 13, ``NaN`` as a number and an instant without a zone as UTC. Here a value
without its type's form becomes null. The caller can tell it from an empty field.
"""

from collections.abc import Mapping
from typing import NamedTuple

from contrail.config.table_spec import ColumnSpec, ColumnType


class _Form(NamedTuple):
    sql_type: str
    pattern: str | None
    words: str


_FORMS: Mapping[ColumnType, _Form] = {
    "string": _Form("VARCHAR", None, "text"),
    "int": _Form("BIGINT", r"[+-]?\d+(\.0+)?", "a whole number such as 42"),
    "float": _Form("DOUBLE", r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", "a number such as 4.2"),
    "bool": _Form("BOOLEAN", r"(?i)true|false|0|1", "true or false"),
    "date": _Form("DATE", r"\d{4}-\d{2}-\d{2}", "a date such as 2013-01-31"),
    "timestamp": _Form(
        "TIMESTAMPTZ",
        r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}(:?\d{2})?)",
        "an instant with its zone such as 2013-01-31T05:15:00Z",
    ),
}


def cast_sql(column: str, kind: ColumnType) -> str:
    """Make an expression for the typed value of a text column. It is null when the text lacks the type's form."""
    form = _FORMS[kind]
    if form.pattern is None:
        return f'"{column}"'
    fits = f"""regexp_full_match("{column}", '{form.pattern}')"""
    return f'CASE WHEN {fits} THEN TRY_CAST("{column}" AS {form.sql_type}) END'


def expected(kind: ColumnType) -> str:
    """Describe the form of a type's values in words."""
    return _FORMS[kind].words


def cast_list(columns: Mapping[str, ColumnSpec]) -> str:
    """Make a SELECT list that casts every column, under its own name."""
    return ", ".join(f'{cast_sql(name, column.type)} AS "{name}"' for name, column in columns.items())
