"""What ``--where`` asks to forget: columns, and the values that they must have.

Only equality is understood, because rows that come later are known by a hash of these values. DuckDB parses the text; no
part of it is ever run.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from contrail.config.names import listed, literal
from contrail.config.problems import hint
from contrail.config.spec import PipelineSpec
from contrail.config.table_spec import ColumnType
from contrail.errors import SpecError
from contrail.lake.forgotten import Columns, asking, value_sql

_MOST = 10_000
_HOW = "write \"column = 'value'\", \"column IN ('one', 'other')\", or several of them with AND"


@dataclass(frozen=True)
class Asked:
    """Columns, and each combination of values that a person's rows have in them."""

    columns: Columns
    values: tuple[tuple[str, ...], ...]

    @property
    def query(self) -> str:
        """SQL for the values, one row for each combination."""
        rows = ", ".join(f"({', '.join(map(literal, row))})" for row in self.values)
        return f"SELECT * FROM (VALUES {rows}) v({listed(self.columns.names)})"

    @property
    def texts(self) -> Iterator[tuple[str, str]]:
        """Each column with each of its values."""
        for row in self.values:
            yield from zip(self.columns.names, row, strict=True)


def parse(where: str, spec: PipelineSpec) -> Asked:
    """Read a condition on columns of the landed tables.

    Raises:
        SpecError: when it is no such condition, names an unknown column, or has a value that is none of its column.
    """
    tree = _tree(where)
    wanted: dict[str, list[str]] = {}
    for name, values in _conditions(tree, where):
        if name in wanted:
            raise SpecError(f"--where {where}: '{name}' is named twice; {_HOW}")
        wanted[name] = values
    types = _types(spec, wanted)
    columns = Columns.of(types)
    combined = list(product(*(dict.fromkeys(wanted[name]) for name in columns.names)))
    if len(combined) > _MOST:
        raise SpecError(f"--where asks for {len(combined):,} combinations of values; ask for {_MOST:,} at most at once")
    found = Asked(columns, tuple(combined))
    _check_values(found)
    return found


def _tree(where: str) -> Mapping[str, Any]:
    with asking() as connection:
        whole, plain = (
            json.loads(connection.execute("SELECT json_serialize_sql(?)", [f"SELECT 1 WHERE {text}"]).fetchall()[0][0])
            for text in (where, "true")
        )
    if whole.get("error"):
        raise SpecError(f"--where {where}: {whole['error_message']}; {_HOW}")
    node = whole["statements"][0]["node"]
    others = [{key: value for key, value in one.items() if key != "where_clause"} for one in (
        node, plain["statements"][0]["node"])]  # fmt: skip
    if len(whole["statements"]) != 1 or others[0] != others[1]:
        raise SpecError(f"--where {where}: this is more than a condition; {_HOW}")
    found: Mapping[str, Any] = node["where_clause"]
    return found


def _conditions(tree: Mapping[str, Any], where: str) -> Iterator[tuple[str, list[str]]]:
    match tree["type"]:
        case "CONJUNCTION_AND":
            for part in tree["children"]:
                yield from _conditions(part, where)
            return
        case "COMPARE_EQUAL":
            sides = [tree["left"], tree["right"]]
        case "COMPARE_IN":
            sides = tree["children"]
        case _:
            raise SpecError(f"--where {where}: only equality is understood; {_HOW}")
    named = [side for side in sides if side["type"] == "COLUMN_REF" and len(side["column_names"]) == 1]
    values = [_value(side) for side in sides if side not in named]
    if len(named) != 1 or not values or None in values:
        raise SpecError(f"--where {where}: compare a column with values; {_HOW}")
    yield named[0]["column_names"][0], [value for value in values if value is not None]


def _value(side: Mapping[str, Any]) -> str | None:
    if side["type"] == "OPERATOR_CAST":
        side = side["child"]
    if side["type"] != "VALUE_CONSTANT":
        return None
    return side["literal"]["text"] or None  # an empty field is null, as NULL is, and identifies nobody


def _types(spec: PipelineSpec, names: Mapping[str, object]) -> dict[str, ColumnType]:
    known = types_of(spec)
    for name in names:
        if name not in known:
            raise SpecError(f"--where: no landed table has a column '{name}'; {hint(name, sorted(known), 'columns')}")
    if not any(set(names) <= set(table.columns) for table in spec.tables.values()):
        raise SpecError(
            f"--where: no landed table has all of the columns {', '.join(names)}; ask for those of one table"
        )
    return {name: known[name] for name in names}


def types_of(spec: PipelineSpec) -> dict[str, ColumnType]:
    """The type of each landed column."""
    return {name: column.type for table in spec.tables.values() for name, column in table.columns.items()}


def _check_values(asked: Asked) -> None:
    with asking() as connection:
        for (name, value), kind in zip(asked.texts, asked.columns.types * len(asked.values), strict=True):
            found = connection.execute(f"SELECT {value_sql(literal(value), kind, True)}").fetchall()[0][0]
            if found is None:
                raise SpecError(f"--where: '{name}' is {kind}, and the value that is asked for is none")
