"""Which partitions of a replacement hold the rows that are published already.

Rows are compared by their content, never by snapshots or times. The columns that say who made a row, and when, are no
content (``Dataset.receipts``). Reading and publishing do not belong here.
"""

from collections.abc import Iterable
from datetime import date

import pyarrow as pa

from contrail.lake.datasets import PARTITION, Dataset


def same_days(dataset: Dataset, old: pa.Table, new: pa.Table, days: Iterable[date]) -> set[date]:
    """Return the partitions whose old and new rows have the same content, in any order. Both may have none."""
    before, after = _by_day(old), _by_day(new)
    empty = new.slice(0, 0)
    return {day for day in days if same_rows(dataset, before.get(day, empty), after.get(day, empty))}


def same_rows(dataset: Dataset, old: pa.Table, new: pa.Table) -> bool:
    """Say whether two tables have rows of the same content, in any order. A float is the same when its bits are."""
    if old.num_rows != new.num_rows:
        return False
    before, after = (_ordered(dataset, rows) for rows in (old, new))
    return all(
        name in before.column_names and _bits(before[name]).equals(_bits(after[name]))
        for name in dataset.columns
        if name not in dataset.receipts
    )


def _ordered(dataset: Dataset, rows: pa.Table) -> pa.Table:
    """Sort by the key, which is unique in a partition."""
    by = [
        (name, "ascending") for name in dict.fromkeys([*dataset.partition_by, *dataset.key]) if name in dataset.columns
    ]
    return (rows.sort_by(by) if by else rows).combine_chunks()


def _by_day(rows: pa.Table) -> dict[date, pa.Table]:
    ordered = rows.sort_by(PARTITION)
    counts = ordered.group_by(PARTITION, use_threads=False).aggregate([([], "count_all")])
    found, start = {}, 0
    for day, count in zip(counts[PARTITION].to_pylist(), counts["count_all"].to_pylist(), strict=True):
        found[day] = ordered.slice(start, count)
        start += count
    return found


def _bits(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    # Arrow's NaN is not equal to itself.
    return whole.view(pa.int64()) if pa.types.is_float64(whole.type) else whole
