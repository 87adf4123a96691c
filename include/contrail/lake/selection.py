"""A selection of a table's rows: some of its partitions, or the whole table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from pyiceberg.expressions import (
    AlwaysFalse,
    AlwaysTrue,
    And,
    BooleanExpression,
    EqualTo,
    GreaterThanOrEqual,
    LessThanOrEqual,
    Or,
)

from contrail.lake.datasets import PARTITION
from contrail.lake.lineage import ALL_PARTITIONS
from contrail.partitions import as_ranges


@dataclass(frozen=True)
class Selection:
    """The rows of these daily partitions, or all rows when ``days`` is None.

    ``scope`` narrows the selection by further partition columns, for example ``{"stage": "ingest"}``.
    """

    days: tuple[date, ...] | None
    scope: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, partitions: Iterable[date] | None, scope: Mapping[str, str] | None = None) -> "Selection":
        """Select these partitions, in any order, or the whole table when ``partitions`` is None."""
        return cls(None if partitions is None else tuple(sorted(set(partitions))), scope or {})

    @property
    def label(self) -> str:
        """``all``, or the partitions as ranges: ``2024-01-01..2024-01-03,2024-01-09``."""
        return ALL_PARTITIONS if self.days is None else ",".join(str(part) for part in as_ranges(self.days))

    @property
    def scope_label(self) -> str:
        """The scope as text: ``stage=ingest,table_name=parcels``, or nothing."""
        return ",".join(f"{column}={value}" for column, value in self.scope.items())

    def expression(self) -> BooleanExpression:
        """Return the selection as an Iceberg filter."""
        found: BooleanExpression = AlwaysTrue()
        if self.days is not None:
            # Ranges, not In(): PyIceberg's time for a list grows with the square of its length (a year: seconds).
            found = AlwaysFalse()
            for part in as_ranges(self.days):
                found = Or(found, And(GreaterThanOrEqual(PARTITION, part.start), LessThanOrEqual(PARTITION, part.end)))  # type: ignore[arg-type]
        for column, value in self.scope.items():
            found = And(found, EqualTo(column, value))  # type: ignore[arg-type]
        return found
