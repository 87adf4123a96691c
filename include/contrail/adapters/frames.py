"""Rows as pandas frames in which Great Expectations compares every value exactly."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from contrail.config.names import quoted

if TYPE_CHECKING:
    import pandas as pd

_EXACT = 2**53  # a float holds every whole number up to it
_WHOLE = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"})


@dataclass(frozen=True)
class Frames:
    """How batches of a relation become frames. All batches have the types that a frame of all rows would have.

    Only columns that pandas would change, or cannot compare, hold objects: whole numbers that a float would round, and
    nulls that a rule compares with another column. Other texts are Arrow's: object columns made checks three times slower.

    Attributes:
        types: DuckDB's name of each column's type.
        compared: The columns of rules on several columns.
        objects: The columns that hold objects.
    """

    types: Mapping[str, str]
    compared: Collection[str]
    objects: frozenset[str] = frozenset()

    @property
    def _asked(self) -> list[str]:
        mixed = ("VARCHAR", "BOOLEAN")
        return [
            name for name, kind in self.types.items() if kind in _WHOLE or (kind in mixed and name in self.compared)
        ]

    @property
    def figures(self) -> list[str]:
        """The SQL aggregates over all rows that ``seen`` needs."""
        found = []
        for name in self._asked:
            whole = self.types[name] in _WHOLE
            ends = [f"min({quoted(name)})", f"max({quoted(name)})"] if whole else ["0", "0"]
            found += [f"count({quoted(name)})", *ends]
        return found

    def seen(self, total: int, figures: Sequence[int | None]) -> "Frames":
        """Decide which columns hold objects."""
        triples = zip(self._asked, figures[::3], figures[1::3], figures[2::3], strict=True)
        ambiguous = {
            name
            for name, count, least, most in triples
            if count != total or (least or 0) < -_EXACT or (most or 0) > _EXACT
        }
        return replace(self, objects=frozenset(ambiguous))

    def of(self, rows: pa.Table) -> "pd.DataFrame":
        """Convert a batch."""
        import pandas as pd

        types = {pa.string(): pd.ArrowDtype(pa.string()), pa.bool_(): pd.BooleanDtype()}
        frame = rows.to_pandas(types_mapper=types.get, date_as_object=False)
        for name in self.objects:
            values = [math.nan if value is None else value for value in rows.column(name).to_pylist()]
            frame[name] = pd.Series(values, frame.index, object)
        return frame
