"""The publisher's audit of staged rows. The audit decides. It writes nothing.

What can be seen on the way, or in footers, raises no more than a suspicion. DuckDB then counts in the written files, and
says where. So good rows are read once.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from math import isinf
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from contrail.config.names import listed, quoted
from contrail.config.personal import hidden
from contrail.errors import AuditError
from contrail.lake.datasets import PARTITION, Dataset
from contrail.lake.ordering import Ascending
from contrail.lake.selection import Selection
from contrail.lake.staged import KEPT

# A session with the staged rows as the view ``staged``.
Asked = Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]


@dataclass
class Seen:
    """What was seen of the staged rows on their way."""

    rows: int = 0
    nulls: Counter[str] = field(default_factory=Counter)
    partitions: set[tuple[Any, ...]] = field(default_factory=set)
    maybe_infinite: set[str] = field(default_factory=set)
    maybe_repeated: bool = False

    def watched(self, dataset: Dataset, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass sorted rows on. Rows without a required value end the stream, and are counted."""
        ascending = Ascending(dataset.order)
        required = [name for name, column in dataset.columns.items() if column.required]
        for batch in batches:
            self.rows += len(batch)
            self.nulls.update({name: n for name in required if (n := batch.column(name).null_count)})
            if not self.nulls:
                ascending.see(batch)
                yield batch
        self.maybe_repeated = not ascending.holds

    def read(self, dataset: Dataset, partition: tuple[Any, ...], footer: pq.FileMetaData) -> None:
        """Take in what the footer of a file says."""
        self.partitions.add(partition)
        self.maybe_infinite |= set(_maybe_infinite(dataset, footer))

    def count(self, dataset: Dataset, footer: pq.FileMetaData) -> None:
        """Count the rows and nulls of a file whose rows did not come this way."""
        self.rows += footer.num_rows
        for group in map(footer.row_group, range(footer.num_row_groups)):
            for chunk in map(group.column, range(footer.num_columns)):
                if dataset.columns[chunk.path_in_schema].required:
                    self.nulls[chunk.path_in_schema] += chunk.statistics.null_count


def _maybe_infinite(dataset: Dataset, footer: pq.FileMetaData) -> Iterator[str]:
    floats = {name for name, column in dataset.columns.items() if column.type == "float"}
    places = [i for i in range(footer.num_columns) if footer.schema.column(i).name in floats]
    for group in range(footer.num_row_groups):
        own = footer.row_group(group)
        for place in places:
            chunk = own.column(place)
            found = chunk.statistics
            if found is not None and found.has_min_max:
                if isinf(found.min) or isinf(found.max):
                    yield chunk.path_in_schema
            elif found is None or not found.has_null_count or found.null_count < own.num_rows:
                yield chunk.path_in_schema  # all are NaN, or the writer says nothing


def check(dataset: Dataset, replaced: Selection, seen: Seen, asked: Asked) -> None:
    """Check required and infinite values, that every row lies in ``replaced``, and that keys are unique.

    Raises:
        AuditError: naming the table, the rule, the column and how many rows broke it.
    """
    for name in dataset.columns:
        if nulls := seen.nulls[name]:
            raise AuditError(f"{dataset.name}.{name}: {nulls} of {seen.rows} rows are null. {KEPT}")
    suspected = [name for name in dataset.columns if name in seen.maybe_infinite]
    if suspected:
        with asked() as connection:
            for name in suspected:
                _check_finite(dataset, name, seen.rows, connection)
    _check_partitions(dataset, seen, replaced)
    if dataset.key and seen.maybe_repeated:
        with asked() as connection:
            _check_key(dataset, connection)


def _check_finite(dataset: Dataset, name: str, rows: int, connection: duckdb.DuckDBPyConnection) -> None:
    """Refuse infinite numbers: means, drift and models that read them fail or lie days later. NaN is allowed."""
    infinite = connection.view("staged").filter(f"isinf({quoted(name)})")
    if count := infinite.count("*").fetchall()[0][0]:
        row = infinite.order(listed(dataset.order)).limit(1).to_arrow_table().to_pylist()[0]
        first = hidden(row, _personal(dataset))
        where = ", ".join(f"{key} {first[key]}" for key in dict.fromkeys([*dataset.partition_by, *dataset.key]))
        raise AuditError(
            f"{dataset.name}.{name}: {count} of {rows} rows are infinite, the first is {first[name]} at {where}. "
            f"Make such a value null where it is computed, for example a division by zero. {KEPT}"
        )


def check_selection(dataset: Dataset, replaced: Selection) -> None:
    """Refuse to replace a partitioned table as a whole.

    Raises:
        AuditError: when no partition is named.
    """
    if PARTITION in dataset.partition_by and replaced.days is None:
        raise AuditError(f"{dataset.name} is partitioned: name the partitions to replace. {KEPT}")


def _check_partitions(dataset: Dataset, seen: Seen, replaced: Selection) -> None:
    def present(column: str) -> set[Any]:
        place = dataset.partition_by.index(column)
        return {values[place] for values in seen.partitions}

    if replaced.days is not None and (outside := sorted(present(PARTITION) - set(replaced.days))):
        raise AuditError(
            f"{dataset.name}: staged rows lie in partitions {outside}, which this run does not replace. {KEPT}"
        )
    for column, value in replaced.scope.items():
        if other := present(column) - {value}:
            raise AuditError(f"{dataset.name}.{column}: staged {sorted(other)} outside the scope '{value}'. {KEPT}")


def _check_key(dataset: Dataset, connection: duckdb.DuckDBPyConnection) -> None:
    columns = list(dataset.order)
    repeated = connection.sql(f"SELECT {listed(columns)} FROM staged GROUP BY ALL HAVING count(*) > 1")
    count = repeated.count("*").fetchall()[0][0]
    if count:
        example = repeated.order(listed(columns)).limit(1).to_arrow_table().to_pylist()[0]
        raise AuditError(
            f"{dataset.name}: {count} keys occur more than once, for example {hidden(example, _personal(dataset))}. {KEPT}"
        )


def _personal(dataset: Dataset) -> frozenset[str]:
    return frozenset(name for name, column in dataset.columns.items() if column.personal)
