"""Staged rows as one bounded stream of the dataset's types: from a table, a stream, or a folder of Parquet files.

Which values the rows may have is the audit's matter. Their order is ``ordering``'s.
"""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import pyarrow as pa
from upath import UPath

from contrail.errors import AuditError
from contrail.lake.datasets import Dataset
from contrail.lake.parquet import batches_of, parquet_files

KEPT = "Nothing was published; readers still see the previous rows."
Staged: TypeAlias = pa.Table | pa.RecordBatchReader | UPath


def typed(dataset: Dataset, rows: Staged) -> Iterator[pa.RecordBatch]:
    """Yield staged rows in the dataset's column order and types.

    Raises:
        AuditError: at once for columns that differ; on the way, for values that have no place in a column's type.
    """
    if isinstance(rows, UPath):
        found = parquet_files([str(path) for path in files_in(rows)])
        batches, schema = batches_of(found), found.schema
    else:
        schema, batches = rows.schema, iter(rows.to_batches() if isinstance(rows, pa.Table) else rows)
    _check_columns(dataset, schema.names)
    return _cast(dataset, batches)


def files_in(folder: UPath) -> list[UPath]:
    """List the Parquet files of a folder and of those in it, sorted. What an engine has not finished is none of them.

    Raises:
        AuditError: when there is none.
    """
    found = [path for path in folder.glob("**/*.parquet") if not _is_unfinished(folder, path)]
    if not found:
        raise AuditError(f"no staged Parquet files in {folder}: the job wrote nothing. {KEPT}")
    return sorted(found, key=str)


def _is_unfinished(folder: UPath, path: UPath) -> bool:
    return any(part.startswith(("_temporary", ".")) for part in path.parts[len(folder.parts) :])


def _check_columns(dataset: Dataset, names: Iterable[str]) -> None:
    there = list(names)
    missing = [name for name in dataset.columns if name not in there]
    extra = [name for name in there if name not in dataset.columns]
    if missing or extra:
        raise AuditError(f"{dataset.name}: staged columns differ. Missing: {missing}. Not expected: {extra}. {KEPT}")


def _cast(dataset: Dataset, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    schema = dataset.staged_schema()
    for batch in batches:
        try:
            yield batch.select(schema.names).cast(schema)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise AuditError(f"{dataset.name}: staged types differ: {error}. {KEPT}") from error
