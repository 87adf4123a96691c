"""The one publisher: it audits staged rows, then makes them visible in one atomic Iceberg commit.

Nothing else adds rows to a table or removes them. ``data_files`` writes the data files. ``history`` and ``upkeep`` have
what a person does with snapshots later.
"""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.manifest import DataFile
from upath import UPath

from contrail.errors import CommitConflictError
from contrail.lake import audit, data_files, upkeep
from contrail.lake.catalog import Tables
from contrail.lake.conflicts import is_conflict
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
    name = audited.dataset.name
    table = tables.ensure(audited.dataset)
    # Once, however often another writer is first: the same files replace what that writer left.
    new = data_files.write(table, audited.rows, audited.dataset.partition_by)
    tried: list[int] = []
    try:
        return tables.commit(name, lambda: _commit(tables, audited, new, tried))
    except BaseException as error:
        if _is_lost(tables, name, tried, error):
            data_files.remove(table, new)
        raise


def _commit(tables: Tables, audited: _Audited, new: Sequence[DataFile], tried: list[int]) -> int:
    """Try one commit. ``tried`` has the snapshots of all attempts."""
    table = tables.table(audited.dataset.name)
    if landed := next((snapshot for snapshot in tried if table.snapshot_by_id(snapshot)), None):
        return landed  # an earlier attempt, whose answer was lost
    current = table.current_snapshot()
    old = [task.file for task in table.scan(row_filter=audited.replaced.expression()).plan_files()] if current else []
    if current and not old and not new:
        return int(current.snapshot_id)
    # The public overwrite() makes two snapshots, a delete and an append. This makes one (docs/adr/0002).
    with table.transaction() as transaction:
        update = transaction.update_snapshot(snapshot_properties=audited.summary())
        with update.overwrite() if old else update.merge_append() as producer:
            tried.append(producer.snapshot_id)
            for file in old:
                producer.delete_data_file(file)
            for file in new:
                producer.append_data_file(file)
    snapshot = table.current_snapshot()
    assert snapshot is not None
    try:
        upkeep.expire(table, tables.settings.snapshots_kept)
    except Exception as error:
        if not is_conflict(error):  # else the next publication expires what this one did not
            raise
    return int(snapshot.snapshot_id)


def give_up(tables: Tables, name: str, lost: Collection[str], days: Iterable[date], provenance: Provenance) -> int:
    """Take data files out of a table, in one atomic commit: their rows are lost, and readers see the others.

    Args:
        tables: Has the table.
        name: The table.
        lost: The locations of the files.
        days: Their partitions.
        provenance: Goes into the snapshot's summary.

    Returns:
        The id of the new snapshot.
    """

    def attempt() -> int:
        table = tables.table(name)
        replaced = Selection.of(days) if days else Selection.of(None)
        with table.transaction() as transaction:
            update = transaction.update_snapshot(
                snapshot_properties={**provenance.summary(), PARTITIONS: replaced.label}
            )
            with update.overwrite() as producer:
                for task in table.scan().plan_files():
                    if task.file.file_path in lost:
                        producer.delete_data_file(task.file)
        snapshot = table.current_snapshot()
        assert snapshot is not None
        return int(snapshot.snapshot_id)

    return tables.commit(name, attempt)


def _is_lost(tables: Tables, name: str, tried: Sequence[int], error: BaseException) -> bool:
    """Say whether certainly no attempt became visible, so that nothing refers to its data files."""
    if not tried:
        return True
    # After any other error the catalog may have made the commit, or may still make it.
    if not isinstance(error, CommitConflictError | OSError):
        return False
    with suppress(Exception):
        table = tables.table(name)
        return not any(table.snapshot_by_id(snapshot) for snapshot in tried)
    return False
