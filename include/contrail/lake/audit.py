"""The publisher's audit of staged rows. The audit decides. It writes nothing."""

import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from contrail.errors import AuditError
from contrail.lake.datasets import PARTITION, Dataset
from contrail.lake.parquet import read_folder
from contrail.lake.selection import Selection

_KEPT = "Nothing was published; readers still see the previous rows."


def check(dataset: Dataset, rows: pa.Table | pa.RecordBatchReader | UPath, replaced: Selection) -> pa.Table:
    """Check staged rows, and return them in the dataset's column order and types.

    It checks columns, types, required and infinite values, and key uniqueness. Every row must also lie in ``replaced``.

    Raises:
        AuditError: naming the table, the rule, the column and how many rows broke it.
    """
    if isinstance(rows, pa.RecordBatchReader):
        rows = rows.read_all()
    table = _typed(dataset, rows if isinstance(rows, pa.Table) else _read(rows))
    _check_required(dataset, table)
    _check_finite(dataset, table)
    _check_partitions(dataset, table, replaced)
    _check_key(dataset, table)
    return table


def _read(folder: UPath) -> pa.Table:
    try:
        return read_folder(folder)
    except FileNotFoundError as error:
        raise AuditError(f"no staged Parquet files in {folder}: the job wrote nothing. {_KEPT}") from error


def _typed(dataset: Dataset, rows: pa.Table) -> pa.Table:
    schema = dataset.staged_schema()
    missing = [name for name in schema.names if name not in rows.column_names]
    extra = [name for name in rows.column_names if name not in schema.names]
    if missing or extra:
        raise AuditError(f"{dataset.name}: staged columns differ. Missing: {missing}. Not expected: {extra}. {_KEPT}")
    try:
        return rows.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise AuditError(f"{dataset.name}: staged types differ: {error}. {_KEPT}") from error


def _check_required(dataset: Dataset, table: pa.Table) -> None:
    for name, column in dataset.columns.items():
        nulls = table.column(name).null_count
        if column.required and nulls:
            raise AuditError(f"{dataset.name}.{name}: {nulls} of {table.num_rows} rows are null. {_KEPT}")


def _check_finite(dataset: Dataset, table: pa.Table) -> None:
    """Refuse infinite numbers: means, drift and models that read them fail or lie days later. NaN is allowed."""
    for name, column in dataset.columns.items():
        if column.type != "float":
            continue
        infinite = table.filter(pc.is_inf(table.column(name)))
        if infinite.num_rows:
            where = ", ".join(
                f"{key} {infinite[key][0].as_py()}" for key in dict.fromkeys([*dataset.partition_by, *dataset.key])
            )
            raise AuditError(
                f"{dataset.name}.{name}: {infinite.num_rows} of {table.num_rows} rows are infinite, the first is "
                f"{infinite[name][0].as_py()} at {where}. Make such a value null where it is computed, for example a "
                f"division by zero. {_KEPT}"
            )


def _check_partitions(dataset: Dataset, table: pa.Table, replaced: Selection) -> None:
    days = replaced.days
    if PARTITION in dataset.partition_by and days is None:
        raise AuditError(f"{dataset.name} is partitioned: name the partitions to replace. {_KEPT}")
    if days is not None:
        present = pc.unique(table.column(PARTITION)).to_pylist()
        if outside := sorted(set(present) - set(days)):
            raise AuditError(
                f"{dataset.name}: staged rows lie in partitions {outside}, which this run does not replace. {_KEPT}"
            )
    for column, value in replaced.scope.items():
        if other := set(pc.unique(table.column(column)).to_pylist()) - {value}:
            raise AuditError(f"{dataset.name}.{column}: staged {sorted(other)} outside the scope '{value}'. {_KEPT}")


def _check_key(dataset: Dataset, table: pa.Table) -> None:
    if not dataset.key:
        return
    columns = list(dict.fromkeys([*dataset.partition_by, *dataset.key]))
    counts = table.group_by(columns).aggregate([([], "count_all")])
    repeated = counts.filter(pc.greater(counts["count_all"], 1))
    if repeated.num_rows:
        example = {name: repeated[name][0].as_py() for name in columns}
        raise AuditError(
            f"{dataset.name}: {repeated.num_rows} keys occur more than once, for example {example}. {_KEPT}"
        )
