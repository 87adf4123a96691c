"""What a landed table demands of its own columns: names, key and knowledge time."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from contrail.config import names
from contrail.config.landed_spec import landed_problems
from contrail.config.problems import Problem, hint
from contrail.config.yaml_file import Place

if TYPE_CHECKING:
    from contrail.config.table_spec import ColumnSpec, FeatureSpec, TableSpec


def table_problems(place: Place, table: "TableSpec") -> list[Problem]:
    """List all that is wrong with a table at this place of the spec."""
    landed = landed_problems(table.landed, table.source, daily=table.kind == "daily")
    found = [*_columns(table), *_key(table), *_known_at(table), *landed]
    return [Problem((*place, *at), said) for at, said in found] + [
        Problem((*place, "columns", *at), said) for at, said in earlier_name_problems(table.columns)
    ]


def earlier_name_problems(
    columns: "Mapping[str, ColumnSpec] | Mapping[str, FeatureSpec]",
) -> Iterator[tuple[Place, str]]:
    """List the earlier names that do not lead to one column."""
    seen: dict[str, str] = {}
    for name, column in columns.items():
        for earlier in column.renamed_from:
            if earlier in columns:
                yield (name, "renamed_from"), f"'{earlier}' is a column of its own; one name cannot mean two columns"
            elif (other := seen.setdefault(earlier, name)) != name:
                yield (name, "renamed_from"), f"'{earlier}' is an earlier name of {other} already"


def _columns(table: "TableSpec") -> Iterator[Problem]:
    if not table.columns:
        yield Problem(("columns",), "a table needs columns")
    for name in table.columns:
        if said := names.column_problem(name):
            yield Problem(("columns", name), said)
    for name, other in names.same_but_for_case(table.columns):
        yield Problem(
            ("columns", name), f"'{name}' differs only in case from '{other}'; engines take them for one column"
        )


def _key(table: "TableSpec") -> Iterator[Problem]:
    if not table.key or len(set(table.key)) < len(table.key):
        yield Problem(("key",), "the key must have columns, each once")
    for n, name in enumerate(table.key):
        if name not in table.columns:
            near = hint(name, list(table.columns), "its columns")
            yield Problem(("key", n), f"'{name}' is named in key but is not in columns; {near}")
        elif not table.columns[name].required:
            yield Problem(
                ("columns", name, "required"), "a column of the key must be required: without it, rows are alike"
            )


def _known_at(table: "TableSpec") -> Iterator[Problem]:
    name = table.known_at
    if table.kind == "daily" and not name:
        yield Problem(("known_at",), "a daily table needs known_at: the timestamp column from which a row was known")
    if table.kind == "reference" and table.known_ahead:
        yield Problem(
            ("known_ahead",), "a reference table has no partitions, so it cannot be known ahead; leave it out"
        )
    if not name:
        return
    if name not in table.columns:
        near = hint(name, list(table.columns), "its columns")
        yield Problem(("known_at",), f"'{name}' is named in known_at but is not in columns; {near}")
    elif table.columns[name].type != "timestamp":
        yield Problem(("known_at",), f"known_at column {name} must have type timestamp")
    elif table.kind == "daily" and not table.columns[name].required:
        yield Problem(("columns", name, "required"), "known_at must be required: a row without it is never known")
