"""Which columns a landed file has, against those of its table, in every format alike.

What the columns hold does not belong here.
"""

import difflib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from contrail.config.table_spec import TableSpec
from contrail.errors import StructureError

LINE = "_line"
# A header may have a million names. A message shows a few, each in part.
_NAMES_SHOWN, _NAME_SHOWN = 10, 60


@dataclass(frozen=True)
class Columns:
    """The columns of a table: all names, those that a file may lack, and those by earlier names."""

    names: Sequence[str]
    optional: Collection[str] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, table: TableSpec) -> "Columns":
        """The columns of a table of the spec."""
        return cls(list(table.columns), table.optional_columns, table.earlier_names)

    def current(self, header: Sequence[str]) -> list[str]:
        """The names that the columns of a file have today."""
        return [self.renamed.get(name, name) for name in header]

    def check(self, header: Sequence[str], where: str) -> None:
        """Compare the columns of a file, by today's names, with those of the table.

        Raises:
            StructureError: ``missing_column``, ``extra_column`` or ``repeated_column``, beginning with ``where``.
        """
        known, given = set(self.names), set(header)
        extra = [name for name in header if name not in known]
        absent = {name: _near(name, extra) for name in self.names if name not in given}
        if missing := {name: near for name, near in absent.items() if near or name not in self.optional}:
            raise StructureError("missing_column", f"{where}: {'; '.join(map(_missing, missing, missing.values()))}")
        if extra:
            raise StructureError(
                "extra_column",
                f"{where}: column {quoted_names(extra)} is not in the spec; "
                "add it to pipeline.yaml (required: false) or drop it",
            )
        if repeated := sorted(name for name, count in Counter(header).items() if count > 1):
            raise StructureError("repeated_column", f"{where}: column {quoted_names(repeated)} occurs more than once")

    def whole(self, batch: pa.RecordBatch, lines: pa.Array) -> pa.RecordBatch:
        """The text columns of all names, in their order, and the line of each row. Absent ones are null."""
        absent = pa.nulls(batch.num_rows, pa.string())
        present = set(batch.schema.names)
        columns = [batch.column(name) if name in present else absent for name in self.names]
        return pa.RecordBatch.from_arrays([*columns, lines], schema=self.schema)

    @property
    def schema(self) -> pa.Schema:
        """The schema of landed rows: text, and the line."""
        return pa.schema([*((name, pa.string()) for name in self.names), (LINE, pa.int64())])


def shown_name(name: str) -> str:
    """A name of a file's own, as far as a message shows it."""
    return name[:_NAME_SHOWN]


def _near(name: str, extra: Sequence[str]) -> str | None:
    given = {each.casefold(): each for each in map(shown_name, extra[:100])}
    found = next(iter(difflib.get_close_matches(name.casefold(), given, 1, 0.5)), None)
    return given[found] if found is not None else None


def _missing(name: str, near: str | None) -> str:
    hint = f"; was it renamed to '{near}'? Then give the column that name, with renamed_from: {name}" if near else ""
    return f"column '{name}' is missing{hint}"


def quoted_names(names: Sequence[str]) -> str:
    """Some names for a message."""
    shown = ", ".join(f"'{shown_name(name)}'" for name in names[:_NAMES_SHOWN])
    return shown + (f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else "")
