"""Build features in a scratch folder that nobody reads: as they are, without the future, and with a spoilt future.

The pipeline's own code makes them, from the rows that its stage would read. Comparing them belongs to ``moved``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

from upath import UPath

from contrail.adapters.engine import column as named
from contrail.config.pipeline import Pipeline
from contrail.config.table_spec import ColumnType
from contrail.files import remove_folder
from contrail.lake.datasets import PARTITION
from contrail.methods.windows import VISIBLE
from contrail.partitions import Partitions
from contrail.stages import features
from contrail.stages.base import StageRun
from contrail.stages.options import FeaturesOptions

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_DECADE = 3_650  # days


@dataclass(frozen=True)
class Builds:
    """Builds of one range of days. ``snapshots`` has that of each validated table."""

    run: StageRun[FeaturesOptions]
    snapshots: Mapping[str, int | None]

    @cached_property
    def _tables(self) -> "dict[str, DataFrame]":
        return features.sources(self.run, self.snapshots)

    def whole(self, name: str = "whole") -> UPath:
        """Build the range as the stage does. Every row of the range is there to be seen."""
        return self._built(self.run, self._tables, name)

    def cut(self, day: date) -> UPath:
        """Build a day from what was known at its cut-off."""
        first, last = f"{PARTITION} >= DATE '{self._back_from(day).start}'", f"{VISIBLE} <= DATE '{day}'"
        return self._changed("cut", Partitions(day, day), lambda rows, _: rows.where(f"{first} AND {last}"))

    def spoilt(self, day: date) -> UPath:
        """Build a day and all days after it, with absurd values in every row that the day's cut-off does not know."""
        first, later = f"{PARTITION} >= DATE '{self._back_from(day).start}'", f"{VISIBLE} > DATE '{day}'"

        def spoil(rows: "DataFrame", table: str) -> "DataFrame":
            return rows.where(first).withColumns(_spoilt(self.run.pipeline, table, later))

        return self._changed("spoilt", Partitions(day, self.run.partitions.end), spoil)

    def as_known(self, earlier: Mapping[str, Mapping[date, int]]) -> UPath:
        """Build the range, with days of some tables as they were at earlier snapshots."""
        # The rows of the other builds lie in this run's folder, so these need one of their own.
        then = replace(self.run, run_id=f"{self.run.run_id}-then")
        return self._built(then, features.sources(then, self.snapshots, earlier), "as_known")

    def remove(self) -> None:
        """Remove everything that was built."""
        for run_id in (self.run.run_id, f"{self.run.run_id}-then"):
            remove_folder(replace(self.run, run_id=run_id).staging)

    def _back_from(self, day: date) -> Partitions:
        return Partitions(day, day).reaching_back(self.run.pipeline.spec.features.lookback_days)

    def _changed(self, name: str, days: Partitions, change: "Callable[[DataFrame, str], DataFrame]") -> UPath:
        daily = self.run.pipeline.spec.daily_tables
        tables = {table: change(rows, table) if table in daily else rows for table, rows in self._tables.items()}
        return self._built(replace(self.run, partitions=days), tables, f"{name}-{days.start}")

    def _built(self, run: StageRun[FeaturesOptions], tables: "dict[str, DataFrame]", name: str) -> UPath:
        folder = f"{self.run.partitions}/{name}"
        features.build_from(run, tables, folder)
        return run.staging / folder


def _spoilt(pipeline: Pipeline, table: str, later: str) -> "dict[str, Column]":
    """Columns with absurd values where ``later`` holds. Keys and times of knowledge stay, so that joins find the rows."""
    from pyspark.sql import functions as F

    source = pipeline.spec.tables[table]
    kept = {*source.key, *pipeline.spec.key, source.known_at}
    return {
        name: F.when(F.expr(later), _absurd(name, column.type)).otherwise(named(name))
        for name, column in source.columns.items()
        if name not in kept
    }


def _absurd(name: str, kind: ColumnType) -> "Column":
    """A value that no row has in this column."""
    from pyspark.sql import functions as F

    match kind:
        case "int":
            return F.lit(99_999)  # of any width of a number
        case "float":
            return F.lit(-987_654_321.0)
        case "string":
            return F.lit("planted")
        case "bool":
            return ~F.coalesce(named(name), F.lit(False))
        case "date":
            return F.date_add(F.coalesce(named(name), F.col(PARTITION)), _DECADE)
        case "timestamp":
            return F.coalesce(named(name), F.to_timestamp(PARTITION)) + F.expr(f"INTERVAL {_DECADE} DAYS")
