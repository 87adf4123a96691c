"""Which rows certainly keep an expectation, as DuckDB conditions on the columns of a relation.

Great Expectations stays the judge of rows. A condition from here only clears rows: where it holds, Great Expectations
has nothing to object to, and never sees the row. All other rows go to it. So a condition may clear too few rows, and
never too many. Great Expectations judges all rows of an expectation that has no condition.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contrail.adapters.patterns import means_same
from contrail.config.names import literal, quoted

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

_INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"})
_TIMES = frozenset({"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"})
_EXACT = 2**53  # a float holds every whole number up to it
_ASCII = "regexp_full_match({}, '[ -~]*')"
_LENGTH_IS_SURE = "NOT contains({}, chr(0))"  # pandas drops a NUL at the end of a text before it counts

# Whether a row breaks one of these depends on no other row, so batches of rows can be judged one by one.
_ROW_WISE = frozenset(
    {
        "ExpectColumnValuesToBeDateutilParseable",
        "ExpectColumnValuesToBeJsonParseable",
        "ExpectColumnValuesToMatchJsonSchema",
        "ExpectColumnValuesToMatchStrftimeFormat",
        "ExpectColumnPairValuesToBeInSet",
        "ExpectMulticolumnSumToEqual",
        "ExpectMulticolumnValuesToBeEqual",
        "ExpectSelectColumnValuesToBeUniqueWithinRecord",
    }
)


@dataclass(frozen=True)
class Clearance:
    """Two conditions on a row: that it ``keeps`` the expectation for certain, and that the expectation counts it at all.

    ``together``: whether the rows that are not cleared must be judged in one batch, because they depend on each other.
    """

    keeps: str
    counts: str
    together: bool = False


@dataclass(frozen=True)
class _Column:
    """A column of the judged relation."""

    name: str
    type: str

    @property
    def sql(self) -> str:
        return quoted(self.name)

    @property
    def present(self) -> str:
        """SQL of whether a row has a value. To pandas, NaN is none."""
        given = f"{self.sql} IS NOT NULL"
        return f"({given} AND NOT isnan({self.sql}))" if self.type == "DOUBLE" else given

    @property
    def kind(self) -> str:
        """What its values can be compared with."""
        return "whole" if self.type in _INTEGERS else self.type


def is_row_wise(expectation: "Expectation") -> bool:
    """Whether an expectation judges each row alone, for certain."""
    name = type(expectation).__name__
    return _is_plain(expectation) and (name in _ROW_WISE or (name in _KINDS and name not in _TOGETHER))


def clearance(expectation: "Expectation", relation: str, types: Mapping[str, str]) -> Clearance | None:
    """Return the conditions of an expectation; None: nothing is certain, Great Expectations must judge every row.

    Args:
        expectation: From a contract.
        relation: The relation whose rows are judged.
        types: Its columns, and DuckDB's names of their types.
    """
    kind = type(expectation).__name__
    if not _is_plain(expectation) or kind not in _KINDS:
        return None
    named = [getattr(expectation, name, None) for name in ("column", "column_A", "column_B")]
    names = [name for name in named if name is not None] or list(getattr(expectation, "column_list", []))
    if any(name not in types for name in names):
        return None
    columns = [_Column(name, types[name]) for name in names]
    if kind in _TOGETHER:
        return _alone(expectation, relation, columns)
    keeps = _KINDS[kind](expectation, columns)
    if keeps is None:
        return None
    if len(columns) == 1:
        return _of_one(kind, keeps, columns[0])
    counts = _counted(expectation, columns)
    return Clearance(f"NOT ({counts}) OR ({_all_present(columns)} AND {keeps})", counts) if counts else None


def _is_plain(expectation: "Expectation") -> bool:
    """Whether it is Great Expectations' own, and of all rows."""
    own = type(expectation).__module__.startswith("great_expectations.expectations.core.")
    return own and getattr(expectation, "row_condition", None) is None


def _of_one(kind: str, keeps: str, column: _Column) -> Clearance:
    if kind in ("ExpectColumnValuesToBeNull", "ExpectColumnValuesToNotBeNull"):
        return Clearance(keeps, column.present)
    return Clearance(f"NOT ({column.present}) OR ({keeps})", column.present)


def _all_present(columns: Sequence[_Column]) -> str:
    return " AND ".join(column.present for column in columns)


def _counted(expectation: Any, columns: Sequence[_Column]) -> str | None:
    """SQL of whether an expectation on several columns counts a row."""
    either = " OR ".join(column.present for column in columns)
    return {
        "neither": "true",
        "never": "true",
        "both_values_are_missing": f"({either})",
        "all_values_are_missing": f"({either})",
        "either_value_is_missing": f"({_all_present(columns)})",
        "any_value_is_missing": f"({_all_present(columns)})",
    }.get(expectation.ignore_row_if)


# ---- one column ----


def _between(expectation: Any, columns: Sequence[_Column]) -> str | None:
    (column,) = columns
    least, most = expectation.min_value, expectation.max_value
    bounds = [bound for bound in (least, most) if bound is not None]
    if not bounds or not all(map(_is_number, bounds)) or (len(bounds) == 2 and least > most):
        return None
    strict = bool(expectation.strict_min), bool(expectation.strict_max)
    if column.kind == "whole":
        return _whole_between(column.sql, least, most, *strict)
    if column.type != "DOUBLE" or not all(map(_is_float, bounds)):
        return None
    above = [] if least is None else [f"{column.sql} {'>' if strict[0] else '>='} {_double(least)}"]
    below = [] if most is None else [f"{column.sql} {'<' if strict[1] else '<='} {_double(most)}"]
    return " AND ".join(above + below)


def _whole_between(sql: str, least: float | None, most: float | None, strict_min: bool, strict_max: bool) -> str | None:
    """Compare with whole numbers, because DuckDB would round the column to compare it with a float."""
    if not all(math.isfinite(bound) for bound in (least, most) if bound is not None):
        return None
    found = []
    if least is not None:
        found.append(f"{sql} >= {_within(math.floor(least) + 1 if strict_min else math.ceil(least))}")
    if most is not None:
        found.append(f"{sql} <= {_within(math.ceil(most) - 1 if strict_max else math.floor(most))}")
    return " AND ".join(found)


def _within(bound: int) -> int:
    """A bound beyond all whole numbers of 64 bits, near enough for DuckDB to read it as one."""
    return min(max(bound, -(2**64)), 2**64)


def _in_set(expectation: Any, columns: Sequence[_Column]) -> str | None:
    values = _set_sql(expectation.value_set, columns[0])
    if values is None:
        return None
    return f"{columns[0].sql} IN ({', '.join(values)})" if values else "false"


def _not_in_set(expectation: Any, columns: Sequence[_Column]) -> str | None:
    values = _set_sql(expectation.value_set, columns[0])
    if values is None:
        return None
    return f"{columns[0].sql} NOT IN ({', '.join(values)})" if values else "true"


def _set_sql(values: Any, column: _Column) -> list[str] | None:
    """The values of a set, when all are of the column's own kind, and exact."""
    if not isinstance(values, list | tuple | set | frozenset):
        return None
    if column.type == "VARCHAR" and all(map(_is_text, values)):
        return [literal(value) for value in values]
    if column.type == "BOOLEAN" and all(isinstance(value, bool) for value in values):
        return [str(value).lower() for value in values]
    if not all(_is_number(value) and abs(value) <= _EXACT for value in values):
        return None
    if column.kind == "whole" and all(value == int(value) for value in values):
        return [str(int(value)) for value in values]
    return [_double(value) for value in values] if column.type == "DOUBLE" else None


def _present(_: Any, columns: Sequence[_Column]) -> str:
    return columns[0].present


def _absent(_: Any, columns: Sequence[_Column]) -> str:
    return f"NOT ({columns[0].present})"


def _lengths_between(expectation: Any, columns: Sequence[_Column]) -> str | None:
    least, most = expectation.min_value, expectation.max_value
    if columns[0].type != "VARCHAR" or not all(bound is None or _is_number(bound) for bound in (least, most)):
        return None
    if (least is None and most is None) or (least is not None and most is not None and least > most):
        return None
    strict = bool(expectation.strict_min), bool(expectation.strict_max)
    within = _whole_between(f"length({columns[0].sql})", least, most, *strict)
    return within and f"{_LENGTH_IS_SURE.format(columns[0].sql)} AND {within}"


def _lengths_equal(expectation: Any, columns: Sequence[_Column]) -> str | None:
    wanted = expectation.value
    if columns[0].type != "VARCHAR" or not _is_number(wanted) or not math.isfinite(wanted) or wanted != int(wanted):
        return None
    return f"{_LENGTH_IS_SURE.format(columns[0].sql)} AND length({columns[0].sql}) = {_within(int(wanted))}"


def _matches(expectation: Any, columns: Sequence[_Column]) -> str | None:
    return _regexes([expectation.regex], columns[0], "{}")


def _matches_not(expectation: Any, columns: Sequence[_Column]) -> str | None:
    return _regexes([expectation.regex], columns[0], "NOT {}")


def _matches_list(expectation: Any, columns: Sequence[_Column]) -> str | None:
    joined = {"any": " OR ", "all": " AND "}.get(expectation.match_on or "any")
    return joined and _regexes(expectation.regex_list, columns[0], "{}", joined)


def _matches_none(expectation: Any, columns: Sequence[_Column]) -> str | None:
    return _regexes(expectation.regex_list, columns[0], "NOT {}")


def _regexes(patterns: Any, column: _Column, form: str, joined: str = " AND ") -> str | None:
    if column.type != "VARCHAR" or not isinstance(patterns, list) or not patterns or not all(map(means_same, patterns)):
        return None
    found = joined.join(form.format(f"regexp_matches({column.sql}, {literal(each)})") for each in patterns)
    return f"{_ASCII.format(column.sql)} AND ({found})"


# ---- several columns ----


def _equal(_: Any, columns: Sequence[_Column]) -> str | None:
    return _compare(columns, "=", ("whole", "DOUBLE", "VARCHAR", "BOOLEAN", *_TIMES))


def _greater(expectation: Any, columns: Sequence[_Column]) -> str | None:
    return _compare(columns, ">=" if expectation.or_equal else ">", ("whole", "DOUBLE", *_TIMES))


def _compare(columns: Sequence[_Column], operator: str, kinds: Sequence[str]) -> str | None:
    left, right = columns
    if left.kind != right.kind or left.kind not in kinds:
        return None
    finite = [f"isfinite({each.sql})" for each in columns if each.type in _TIMES]
    return " AND ".join([*finite, f"{left.sql} {operator} {right.sql}"])


def _alone(expectation: Any, relation: str, columns: Sequence[_Column]) -> Clearance | None:
    """Clear the rows whose values no other row has."""
    if any(column.kind not in ("whole", "VARCHAR") for column in columns):
        return None
    counts = columns[0].present if len(columns) == 1 else _counted(expectation, columns)
    if counts is None:
        return None
    listed = ", ".join(column.sql for column in columns)
    same = " AND ".join(f"twice.{each.sql} IS NOT DISTINCT FROM {quoted(relation)}.{each.sql}" for each in columns)
    twice = f"SELECT {listed} FROM {quoted(relation)} GROUP BY ALL HAVING count(*) > 1"
    keeps = f"NOT ({counts}) OR NOT EXISTS (SELECT 1 FROM ({twice}) twice WHERE {same})"
    return Clearance(keeps, counts, together=True)


# ---- values ----


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _is_float(value: float) -> bool:
    """Whether a float holds the number exactly."""
    try:
        return float(value) == value
    except OverflowError:
        return False


def _is_text(value: object) -> bool:
    """Whether DuckDB holds the value as a text."""
    return isinstance(value, str) and "\0" not in value and value.isascii() | value.isprintable()


def _double(value: float) -> str:
    return f"CAST({literal(repr(float(value)))} AS DOUBLE)"


_Compile = Callable[[Any, Sequence[_Column]], str | None]
_TOGETHER = frozenset({"ExpectColumnValuesToBeUnique", "ExpectCompoundColumnsToBeUnique"})
_KINDS: Mapping[str, _Compile] = {
    "ExpectColumnValuesToBeBetween": _between,
    "ExpectColumnValuesToBeInSet": _in_set,
    "ExpectColumnValuesToNotBeInSet": _not_in_set,
    "ExpectColumnValuesToNotBeNull": _present,
    "ExpectColumnValuesToBeNull": _absent,
    "ExpectColumnValueLengthsToBeBetween": _lengths_between,
    "ExpectColumnValueLengthsToEqual": _lengths_equal,
    "ExpectColumnValuesToMatchRegex": _matches,
    "ExpectColumnValuesToNotMatchRegex": _matches_not,
    "ExpectColumnValuesToMatchRegexList": _matches_list,
    "ExpectColumnValuesToNotMatchRegexList": _matches_none,
    "ExpectColumnPairValuesToBeEqual": _equal,
    "ExpectColumnPairValuesAToBeGreaterThanB": _greater,
    **dict.fromkeys(_TOGETHER, lambda *_: None),
}
