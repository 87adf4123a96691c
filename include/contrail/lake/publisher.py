"""The one publisher: it audits staged rows, then makes them visible in one atomic Iceberg commit.

Nothing else adds rows to a table or removes them. ``data_files`` writes the data files. ``history`` and ``upkeep`` have
what a person does with snapshots later.
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
    """Rows that passed the audit, and what they replace. ``job_rows`` counts the rows of all commits of the job."""

    dataset: Dataset
    rows: pa.Table
    replaced: Selection
    provenance: Provenance
    job_rows: int

    def of(self, day: date) -> "_Audited":
        """Select one partition."""
        own = self.rows.filter(pc.equal(self.rows[PARTITION], pa.scalar(day, pa.date32())))
        return replace(self, rows=own, replaced=replace(self.replaced, days=(day,)))

    def summary(self) -> dict[str, str]:
        """Return the summary of the snapshot to come."""
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
    """Audit staged rows, then replace the selected rows in one atomic commit.

    A partition without staged rows becomes empty. A reader sees all of the old rows or all of the new ones.
    When another writer commits first, this one tries again. The last commit of a partition wins.

    Args:
        tables: Has the dataset's table, or makes it.
        dataset: The table to publish to.
        rows: Staged rows, as Arrow or as a folder of Parquet files.
        replaced: The rows to replace. All staged rows must belong to this selection.
        provenance: Goes into the snapshot's summary.
        each_partition: Make one commit for each partition, in order. The audit of all rows comes before the first commit.

    Returns:
        The id of the table's snapshot that holds the rows.

    Raises:
        AuditError: The rows broke a rule. Nothing was published.
        CommitConflictError: Other writers won every attempt. Nothing was published.
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
            f"{tables.namespace}.{audited.dataset.name} {audited.replaced.label}: other writers won all {ATTEMPTS} "
            "attempts. Nothing was published; readers still see the previous rows. Run the stage again."
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
    """Commit one snapshot that drops the old files and adds the new ones, and return its id."""
    # The public overwrite() makes two snapshots, a delete and an append. This makes one (docs/adr/0002).
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
