"""The one publisher: it audits staged rows, then makes them visible in one atomic Iceberg commit.

Nothing else adds rows to a table or takes rows away. Writing data files belongs to ``data_files``, what a person does
with snapshots afterwards to ``history`` and ``upkeep``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from tenacity import RetryError
from upath import UPath

from contrail.errors import CommitConflictError
from contrail.lake import audit, data_files, upkeep
from contrail.lake.catalog import Tables
from contrail.lake.conflicts import ATTEMPTS, retrying
from contrail.lake.datasets import PARTITION, Dataset
from contrail.lake.provenance import JOB_ROWS, PARTITIONS, Provenance
from contrail.lake.selection import Selection


@dataclass(frozen=True)
class _Audited:
    """Rows that passed the audit and what they replace. ``job_rows`` counts those of all commits of the job."""

    dataset: Dataset
    rows: pa.Table
    replaced: Selection
    provenance: Provenance
    job_rows: int

    def of(self, day: date) -> "_Audited":
        """One partition of them."""
        own = self.rows.filter(pc.equal(self.rows[PARTITION], pa.scalar(day, pa.date32())))
        return replace(self, rows=own, replaced=replace(self.replaced, days=(day,)))

    def summary(self) -> dict[str, str]:
        """What their snapshot will say."""
        return self.provenance.summary() | {JOB_ROWS: str(self.job_rows), PARTITIONS: self.replaced.label}


def publish(
    tables: Tables,
    dataset: Dataset,
    rows: pa.Table | UPath,
    replaced: Selection,
    provenance: Provenance,
    *,
    each_partition: bool = False,
) -> int:
    """Audit staged rows, then replace what is selected in one atomic commit.

    A partition without staged rows becomes empty. A reader sees all of the old rows or all of the new ones.
    Other writers are waited for; the last commit of a partition wins.

    Args:
        tables: Where the dataset's table is, or is to be made.
        dataset: The table that the rows are for.
        rows: Staged rows, as Arrow or as a folder of Parquet files.
        replaced: The rows that go; all staged rows must belong to it.
        provenance: Goes into the snapshot's summary.
        each_partition: One commit a partition instead, in order; all rows are audited before the first.

    Returns:
        The id of the table's snapshot that holds the rows.

    Raises:
        AuditError: nothing was published.
        CommitConflictError: other writers won every attempt; nothing was published.
    """
    staged = audit.check(dataset, rows, replaced)
    audited = _Audited(dataset, staged, replaced, provenance, staged.num_rows)
    if not (each_partition and replaced.days):
        return _replace(tables, audited)
    return [_replace(tables, audited.of(day)) for day in replaced.days][-1]


def _replace(tables: Tables, audited: _Audited) -> int:
    try:
        return retrying()(_commit, tables, audited)
    except RetryError as error:
        raise CommitConflictError(
            f"{tables.namespace}.{audited.dataset.name} {audited.replaced.label}: {ATTEMPTS} commits were lost to other "
            "writers. Nothing was published; readers see what was there before. Run the stage again."
        ) from error


def _commit(tables: Tables, audited: _Audited) -> int:
    table = tables.ensure(audited.dataset)
    current = table.current_snapshot()
    old = [task.file for task in table.scan(row_filter=audited.replaced.expression()).plan_files()] if current else []
    if current and not old and audited.rows.num_rows == 0:
        return int(current.snapshot_id)
    new = data_files.write(table, audited.rows, audited.dataset.partition_by)
    snapshot = _swap(table, old, new, audited.summary())
    upkeep.expire(table, tables.settings.snapshots_kept)
    return snapshot


def _swap(table: Table, old: Sequence[DataFile], new: Sequence[DataFile], summary: dict[str, str]) -> int:
    """One snapshot without the old files and with the new ones; its id."""
    # The public overwrite() makes a delete snapshot and an append snapshot; this makes one (docs/adr/0002).
    with table.transaction() as transaction:
        update = transaction.update_snapshot(snapshot_properties=summary)
        with update.overwrite() if old else update.merge_append() as producer:
            for file in old:
                producer.delete_data_file(file)
            for file in new:
                producer.append_data_file(file)
    snapshot = table.current_snapshot()
    assert snapshot is not None
    return int(snapshot.snapshot_id)
