"""The tables of one pipeline as views in a DuckDB session, as a person may see them.

What is asked of the views does not belong here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import duckdb
import pyarrow as pa

from contrail.config.names import quoted
from contrail.config.problems import hint
from contrail.config.spec import PipelineSpec
from contrail.errors import SpecError
from contrail.lake import outcomes, readers
from contrail.lake.datasets import Dataset
from contrail.lake.lake import Lake
from contrail.lake.pseudonyms import Pseudonyms
from contrail.lake.records import all_datasets
from contrail.lake.warehouse import View, views
from contrail.partitions import Partitions


@dataclass(frozen=True)
class Wanted:
    """What a person wants to see of the tables; by default, all of them as they are now, with pseudonyms for persons.

    ``as_of`` shows each table as it was at that moment, ``snapshots`` single tables at a snapshot. ``days`` limits a table
    to these partitions. ``personal`` shows the values of personal columns.
    """

    as_of: datetime | None = None
    snapshots: Mapping[str, int] = field(default_factory=dict)
    days: Mapping[str, Partitions] = field(default_factory=dict)
    personal: bool = False


def shown(spec: PipelineSpec) -> dict[str, Dataset]:
    """Return what a person may name: every table of a pipeline, and the views over them."""
    derived = {view.dataset.name: view.dataset for view in _derived(spec).values()}
    return {**all_datasets(spec), **derived, outcomes.NAME: outcomes.dataset(spec)}


def source_of(spec: PipelineSpec, name: str) -> str:
    """The table whose snapshots a view has, or the table itself."""
    found = _derived(spec).get(name)
    return found.source if found else outcomes.SOURCE if name == outcomes.NAME else name


def unknown_table(spec: PipelineSpec, name: str, known: Iterable[str]) -> SpecError:
    """The error for a name that no table has: with the nearest one, or all."""
    return SpecError(f"no table '{name}' in {spec.name}; {hint(name, sorted(known), 'tables')}")


def create_views(
    connection: duckdb.DuckDBPyConnection, lake: Lake, spec: PipelineSpec, names: set[str] | None, wanted: Wanted
) -> list[str]:
    """Make views of these tables in a session, or of all, and return the files that they read.

    Each is of one snapshot. A table that does not exist yet has no rows. A name that is unknown gets no view.

    Raises:
        MissingInputError: if a snapshot does not exist, or has expired.
        DamagedError: if a file is missing or has other bytes.
    """
    lake = lake.at_rest()
    found, pseudonyms = _Tables(lake, spec, wanted), None if wanted.personal else Pseudonyms(spec)
    derived = _derived(spec)
    named = found.known | derived.keys() | {outcomes.NAME} if names is None else names
    sources = {derived[name].source for name in named & derived.keys()}
    opened: list[str] = []
    for name in sorted((named | sources) & found.known):
        rows, uris = found.rows(name)
        select = pseudonyms.select(name, rows) if pseudonyms else "SELECT *"
        opened += readers.create_view(connection, name, rows, uris, select=select)
    for name in sorted(named & derived.keys()):
        columns = found.rows(derived[name].source)[0].names
        connection.execute(f"CREATE VIEW {quoted(name)} AS {_query(derived[name], spec, columns)}")
    if outcomes.NAME in named:
        tables = {name: found.rows(name) for name in outcomes.tables(spec)}
        at = found.snapshot(outcomes.label_table(spec))
        opened += outcomes.create_view(connection, lake, spec, tables, at, pseudonyms)
    return opened


def _derived(spec: PipelineSpec) -> dict[str, View]:
    return {view.dataset.name: view for view in views(spec) if view.dataset.name != view.source}


def _query(view: View, spec: PipelineSpec, columns: list[str]) -> str:
    """A view's SQL over a table with these columns, which may be fewer or more than those of the spec."""
    source = all_datasets(spec)[view.source]
    left_out = source.columns.keys() - view.dataset.columns.keys()
    lacking = [f"NULL AS {quoted(column)}" for column in sorted(left_out - set(columns))]
    table = quoted(view.source)
    over = f"(SELECT *, {', '.join(lacking)} FROM {table})" if lacking else table
    return view.query(over, "duckdb", [column for column in columns if column not in left_out])


class _Tables:
    """Finds the schema and the files of a table, once."""

    def __init__(self, lake: Lake, spec: PipelineSpec, wanted: Wanted) -> None:
        self._lake, self._wanted = lake, wanted
        self._datasets = all_datasets(spec)
        self._existing = set(lake.table_names())
        self.known = self._existing | self._datasets.keys()
        self._found: dict[str, tuple[pa.Schema, list[str]]] = {}

    def snapshot(self, name: str) -> int | None:
        """The snapshot of which a table is shown; None where it had none."""
        pinned = self._wanted.snapshots.get(name)
        return readers.snapshot_at(self._lake, name, self._wanted.as_of) if pinned is None else pinned

    def rows(self, name: str) -> tuple[pa.Schema, list[str]]:
        """The schema and the files of a table."""
        if name not in self._found:
            snapshot = self.snapshot(name)
            at = snapshot if self._wanted.as_of or name in self._wanted.snapshots else None
            there = name in self._existing
            rows = readers.schema(self._lake, name, at) if there else self._datasets[name].arrow_schema()
            days = self._wanted.days.get(name)
            uris = (
                readers.files(self._lake, name, partitions=days, snapshot_id=snapshot) if snapshot is not None else []
            )
            self._found[name] = rows, uris
        return self._found[name]
