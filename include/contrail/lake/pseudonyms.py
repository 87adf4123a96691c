"""Tables as people see them who may not see persons: pseudonyms in the place of personal values.

A pseudonym is a keyed hash. Within one answer it is the same wherever the same value stands, so that tables can be joined
and counted. The next answer has another key, so nobody can collect pseudonyms.
"""

import json
import secrets
from collections.abc import Sequence
from functools import reduce

import pyarrow as pa

from contrail.config.names import literal, quoted
from contrail.config.personal import MASK, pseudonym_sql
from contrail.config.spec import PipelineSpec
from contrail.config.table_spec import ColumnType
from contrail.lake.parquet import earlier_of

_REASON, _VALUE = "reason_", "_value"
_JSON = ("row", "mended", "changes")  # columns of the quarantine and of the mends that have values by their column


class Pseudonyms:
    """How the personal columns of a pipeline are shown."""

    def __init__(self, spec: PipelineSpec) -> None:
        self._spec, self._key = spec, secrets.token_hex(32)
        self._types = {
            name: column.type
            for table in spec.tables.values()
            for name, column in table.columns.items()
            if column.personal
        }

    def select(self, name: str, schema: pa.Schema) -> str:
        """Make ``SELECT …`` for a table, without its ``FROM``."""
        changed = {field.name: sql for field in schema if (sql := self._shown(name, schema, field))}
        if not changed:
            return "SELECT *"
        listed = (
            f"{changed[column]} AS {quoted(column)}" if column in changed else quoted(column) for column in schema.names
        )
        return f"SELECT {', '.join(listed)}"

    def _shown(self, table: str, schema: pa.Schema, field: pa.Field) -> str | None:
        """SQL that shows a column; None for the column as it is."""
        name = field.name
        if {"table_name", "rule", "row"} <= set(schema.names) and name in _JSON:
            return self._in_json(name)
        if name.startswith(_REASON) and name.endswith(_VALUE) and self._types:
            personal = ", ".join(map(literal, sorted(self._types)))
            return f"CASE WHEN {quoted(name.removesuffix(_VALUE))} IN ({personal}) THEN NULL ELSE {quoted(name)} END"
        known = next((one for one in (name, *earlier_of(field)) if one in self._types), None)
        if known is None or not self._is_personal(table, known):
            return None
        kind: ColumnType = "string" if pa.types.is_string(field.type) else self._types[known]
        return pseudonym_sql(quoted(name), kind, self._key)

    def _is_personal(self, table: str, column: str) -> bool:
        """A landed table marks its own columns. Other tables have columns of any."""
        for stage in ("raw_", "validated_"):
            if (source := self._spec.tables.get(table.removeprefix(stage))) is not None and table.startswith(stage):
                return column in source.personal
        return True

    def _in_json(self, name: str) -> str | None:
        cases = [
            f"WHEN {literal(table)} THEN {_masked(quoted(name), sorted(own))}"
            for table, source in self._spec.tables.items()
            if (own := source.personal)
        ]
        return f"CASE table_name {' '.join(cases)} ELSE {quoted(name)}::JSON END::VARCHAR" if cases else None


def _masked(values: str, columns: Sequence[str]) -> str:
    """SQL for JSON with a mask in the place of each of these columns that it has."""

    def mask(name: str) -> str:
        there = f"json_exists({values}, {literal('$.' + quoted(name))})"
        return f"CASE WHEN {there} THEN {literal(json.dumps({name: MASK}))} ELSE '{{}}' END"

    masks = map(mask, columns)
    return reduce(lambda masked, mask: f"json_merge_patch({masked}, {mask})", masks, values)
