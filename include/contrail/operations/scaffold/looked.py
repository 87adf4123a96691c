"""A sample that is looked at: its rows in a session, and what a person says of them."""

from dataclasses import dataclass

import duckdb

from contrail.adapters.sample_files import Sample, SampleColumn
from contrail.config.names import quoted
from contrail.config.problems import hint
from contrail.errors import SpecError
from contrail.operations.scaffold.choices import Choices, NewOptions


@dataclass(frozen=True)
class Looked:
    """A sample, the session with its rows, and what a person says of it."""

    connection: duckdb.DuckDBPyConnection
    sample: Sample
    options: NewOptions
    choices: Choices

    def one(self, select: str, where: str = "true") -> tuple[object, ...]:
        """A row of aggregates over the sample."""
        (found,) = self.connection.sql(f"SELECT {select} FROM {self.sample.relation} WHERE {where}").fetchall()
        return tuple(found)

    def count(self, select: str, where: str = "true") -> int:
        """An aggregate that counts."""
        return int(str(self.one(select, where)[0] or 0))

    def named(self, option: str, name: str) -> SampleColumn:
        """The column that an option names, as the file calls it or as the pipeline does.

        Raises:
            SpecError: There is none.
        """
        for column in self.sample.columns:
            if name in (column.given, column.name):
                return column
        near = hint(name, [column.given for column in self.sample.columns], "columns")
        raise SpecError(f"{option} {name}: the sample {self.sample.name} has no such column; {near}")


def local(time: SampleColumn) -> str:
    """SQL of a time by the local clock."""
    own = quoted(time.name)
    return own if time.type == "date" else f"timezone(getvariable('zone'), {own})"
