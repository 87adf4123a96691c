"""Strict casts from text to typed values, as DuckDB expressions.

DuckDB's own casts read ``12.7`` as the integer 13, ``NaN`` and ``1e999`` as numbers, and an instant without a zone as UTC.
Here a value becomes null if it lacks its type's form, or lies beyond what its type can hold. The caller can tell it from
an empty field.
"""

from collections.abc import Mapping
from typing import NamedTuple

from contrail.config.names import quoted
from contrail.config.table_spec import ColumnSpec, ColumnType
from contrail.partitions import FIRST_DAY, LAST_DAY


class _Form(NamedTuple):
    """How a type's values are written, and which of them it can hold.

    ``wide`` is a type that holds every value of the form. ``holds`` is a condition on a value of ``sql_type``, as a format.
    """

    sql_type: str
    pattern: str | None
    words: str
    wide: str
    holds: str = ""
    beyond: str = ""


_DATE = r"\d{4}-\d{2}-\d{2}"
_YEARS = f"it is outside the years {FIRST_DAY.year} to {LAST_DAY.year}"

_FORMS: Mapping[ColumnType, _Form] = {
    "string": _Form("VARCHAR", None, "text", "VARCHAR"),
    "int": _Form(
        "BIGINT",
        r"[+-]?\d+(\.0+)?",
        "a whole number such as 42",
        "DOUBLE",
        beyond=f"it is outside {-(2**63)} to {2**63 - 1}",
    ),
    "float": _Form(
        "DOUBLE",
        r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?",
        "a number such as 4.2",
        "DOUBLE",
        "isfinite({})",
        "it is outside -1.8e308 to 1.8e308",
    ),
    "bool": _Form("BOOLEAN", r"(?i)true|false|0|1", "true or false", "BOOLEAN"),
    # Pandas and Evidently count nanoseconds in 64 bits: they hold 1678 to 2261, in every zone.
    "date": _Form(
        "DATE",
        _DATE,
        "a date such as 2013-01-31",
        "DATE",
        f"{{}} BETWEEN DATE '{FIRST_DAY}' AND DATE '{LAST_DAY}'",
        _YEARS,
    ),
    "timestamp": _Form(
        "TIMESTAMPTZ",
        _DATE + r"[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-](0\d|1[0-5])(:?[0-5]\d)?)",
        "an instant with its zone such as 2013-01-31T05:15:00Z",
        "TIMESTAMPTZ",
        f"timezone('UTC', {{}})::DATE BETWEEN DATE '{FIRST_DAY}' AND DATE '{LAST_DAY}'",
        _YEARS,
    ),
}


def cast_sql(column: str, kind: ColumnType) -> str:
    """Make an expression for the typed value of a text column.

    It is null when the text lacks the type's form, or its value lies beyond what the type can hold.
    """
    form = _FORMS[kind]
    if form.pattern is None:
        return quoted(column)
    value = f"TRY_CAST({quoted(column)} AS {form.sql_type})"
    held = f" AND {form.holds.format(value)}" if form.holds else ""
    return f"CASE WHEN {_fits(form, column)}{held} THEN {value} END"


def misfit_sql(column: str, kind: ColumnType) -> str:
    """Make an expression that says why ``cast_sql`` gives no value for a text: its form, or its size."""
    form = _FORMS[kind]
    if not form.beyond:
        return f"'is not {form.words}'"
    beyond = f"{_fits(form, column)} AND TRY_CAST({quoted(column)} AS {form.wide}) IS NOT NULL"
    return f"CASE WHEN {beyond} THEN 'cannot be kept: {form.beyond}' ELSE 'is not {form.words}' END"


def _fits(form: _Form, column: str) -> str:
    return f"regexp_full_match({quoted(column)}, '{form.pattern}')"


def cast_list(columns: Mapping[str, ColumnSpec]) -> str:
    """Make a SELECT list that casts every column, under its own name."""
    return ", ".join(f"{cast_sql(name, column.type)} AS {quoted(name)}" for name, column in columns.items())
