"""Compaction: a partition that an engine left in many small files is rewritten into one, with the same rows in their order.

The publisher writes a partition into one file, up to a size. Executors write one each (``adoption``), and a reader opens all
of them. The new snapshot replaces no partition, so its lineage says what it said before, and nothing becomes stale.
"""

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from contrail.lake import data_files, integrity, publisher, readers, snapshots, writing
from contrail.lake.catalog import Tables
from contrail.lake.evolution import KEY
from contrail.lake.ordering import ordered
from contrail.lake.parquet import plain, read_batches
from contrail.lake.provenance import COMPACTED, PARTITIONS, Provenance
from contrail.lake.selection import Selection

# A partition is rewritten when it has this many times the files that its bytes need.
_TOO_MANY = 4


@dataclass(frozen=True)
class Compacted:
    """How many small files a table has, or had, and their bytes. ``snapshot`` is None where nothing was committed."""

    files: int = 0
    size: int = 0
    snapshot: int | None = None


def compact(tables: Tables, name: str, made_by: Provenance, *, dry_run: bool = False) -> Compacted:
    """Rewrite the partitions of a table that have too many small files, in one atomic commit.

    A partition that another writer replaces meanwhile keeps what that writer published.

    Raises:
        DamagedError: when a file or a manifest is damaged. Nothing was changed.
        CommitConflictError: Other writers won every attempt. Nothing was changed.
    """
    table = tables.table(name)
    small = _small(table)
    old = [file for part in small for file in part]
    if dry_run or not old:
        return Compacted(len(old), sum(file.file_size_in_bytes for file in old))
    integrity.check(table, old)
    new: list[list[DataFile]] = []
    tried: list[int] = []
    try:
        for part in small:
            new.append(_rewritten(tables, table, part))
        snapshot = tables.commit(name, lambda: _replace(tables, name, small, new, made_by, tried))
    except BaseException:
        if not tried:  # else a commit without an answer may have been made
            data_files.remove(table, [file for part in new for file in part])
        raise
    return Compacted(len(old), sum(file.file_size_in_bytes for file in old), snapshot)


def _small(table: Table) -> list[list[DataFile]]:
    """The files of each partition that has too many."""
    parts: dict[tuple[object, ...], list[DataFile]] = {}
    for file in data_files.listed(table, Selection.of(None)):
        parts.setdefault(tuple(file.partition[i] for i in range(len(file.partition))), []).append(file)
    return [part for part in parts.values() if len(part) >= _TOO_MANY * _needed(part)]


def _needed(part: Sequence[DataFile]) -> int:
    return max(1, math.ceil(sum(file.file_size_in_bytes for file in part) / writing.FILE_BYTES))


def _rewritten(tables: Tables, table: Table, part: Sequence[DataFile]) -> list[DataFile]:
    """Write the rows of a partition anew, in the order in which the publisher writes rows."""
    schema = readers.schema_of(table)
    partition_by = [field.name for field in table.spec().fields]
    key = [name for name in table.properties.get(KEY, "").split(",") if name]
    order = list(dict.fromkeys([*partition_by, *(key or schema.names)]))
    batches = (batch for file in part for batch in read_batches([file.file_path], schema))
    staged = pa.schema([field.with_nullable(True) for field in plain(schema)])
    spill = tables.settings.home_path / "tmp"
    with closing(ordered(tables.settings, staged, (batch.cast(staged) for batch in batches), order)) as rows:
        return [one.file for one in writing.write(table, rows, partition_by, spill)]


def _replace(
    tables: Tables,
    name: str,
    old: Sequence[Sequence[DataFile]],
    new: Sequence[Sequence[DataFile]],
    made_by: Provenance,
    tried: list[int],
) -> int | None:
    """Try one commit. New files of a partition that is another by now are left for upkeep."""
    table = tables.table(name)
    if landed := snapshots.landed(table, tried):
        return landed  # an earlier attempt, whose answer was lost
    there = {file.file_path for file in data_files.listed(table, Selection.of(None))}
    pairs = [pair for pair in zip(old, new, strict=True) if {file.file_path for file in pair[0]} <= there]
    gone, made = ([file for pair in pairs for file in pair[i]] for i in (0, 1))
    if not gone:
        return None
    said = f"{len(gone)} small files became {len(made)}; no row changed"
    summary = {**made_by.summary(), PARTITIONS: "", COMPACTED: said}
    return publisher.swap(table, gone, made, summary, tried.append)
