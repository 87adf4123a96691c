"""The one publisher: it audits staged rows, then makes them visible in one atomic Iceberg commit.

Nothing else adds rows to a table or removes them. ``data_files`` writes the data files. ``history`` and ``upkeep`` have
what a person does with snapshots later.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from upath import UPath

from contrail.errors import CommitConflictError
from contrail.lake import audit, data_files, history, integrity, readers, upkeep
from contrail.lake.catalog import Tables
from contrail.lake.comparison import same_days, same_rows
from contrail.lake.conflicts import may_pass
from contrail.lake.datasets import PARTITION, Dataset
from contrail.lake.parquet import read_rows
from contrail.lake.provenance import JOB_ROWS, PARTITIONS, SAME, SCOPE, Provenance
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

    def same_in(self, table: Table, old: Sequence[DataFile]) -> Selection:
        """Select what the table holds already. An unpartitioned table is the same as a whole or not at all.

        A damaged file is not the same, whatever can still be read of it.
        """
        damaged = {damage.file for damage in integrity.damages(table, old)}
        whole = [file.file_path for file in old if file.file_path not in damaged]
        try:
            there = read_rows(whole, readers.schema_of(table)) if whole else self.dataset.staged_schema().empty_table()
        except (OSError, pa.ArrowInvalid):
            return Selection.of(())
        if self.replaced.days is None:
            return Selection.of(None if not damaged and same_rows(self.dataset, there, self.rows) else ())
        return Selection.of(same_days(self.dataset, there, self.rows, self.replaced.days))

    def without(self, same: Selection) -> pa.Table:
        """Return the rows that are new."""
        if same.days is None:
            return self.rows.slice(0, 0)
        if not same.days:
            return self.rows
        kept = pc.is_in(self.rows[PARTITION], value_set=pa.array(same.days, pa.date32()))
        return self.rows.filter(pc.invert(kept))

    def summary(self, same: Selection) -> dict[str, str]:
        """Return the summary of the snapshot to come."""
        found = self.provenance.summary() | {JOB_ROWS: str(self.job_rows), PARTITIONS: self.replaced.label}
        marks = {SAME: same.label, SCOPE: self.replaced.scope_label}
        return found | {key: value for key, value in marks.items() if value}


def publish(
    tables: Tables,
    dataset: Dataset,
    rows: pa.Table | pa.RecordBatchReader | UPath,
    replaced: Selection,
    provenance: Provenance,
    *,
    each_partition: bool = False,
) -> int:
    """Audit staged rows, then replace the selected rows in one atomic commit.

    A partition without staged rows becomes empty. A reader sees all of the old rows or all of the new ones.
    When another writer commits first, this one tries again. The last commit of a partition wins.

    A partition whose rows are published already keeps them. The snapshot then says only what they were made of this time,
    and readers of its lineage see no change. The same work again publishes nothing.

    Args:
        tables: Has the dataset's table, or makes it.
        dataset: The table to publish to.
        rows: Staged rows, in any order: as Arrow, as a stream of batches, or as a folder of Parquet files.
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


def note(table: Table, summary: Mapping[str, str]) -> int:
    """Commit a snapshot that changes no row. It succeeds only if the table is still as ``table`` was loaded.

    Raises:
        CommitFailedException: Another writer was first. Nothing was committed.
    """
    return _swap(table, [], [], dict(summary))


def _replace(tables: Tables, audited: _Audited) -> int:
    name = audited.dataset.name
    table = tables.ensure(audited.dataset)
    attempts = _Attempts(audited)
    try:
        snapshot = tables.commit(name, lambda: _commit(tables, attempts))
    except BaseException as error:
        if _is_lost(tables, name, list(attempts.tried), error):
            data_files.remove(table, attempts.files_but(None))
        raise
    data_files.remove(table, attempts.files_but(attempts.tried.get(snapshot)))
    return snapshot


@dataclass
class _Attempts:
    """What the attempts of one replacement share: the snapshots they tried, and the files they have written.

    Files are written once, however often another writer is first. Only a winner who changes which partitions are the same
    causes others. ``tried`` has for each snapshot which ones were.
    """

    audited: _Audited
    tried: dict[int, str] = field(default_factory=dict)
    _written: dict[str, list[DataFile]] = field(default_factory=dict)

    def files(self, table: Table, same: Selection) -> list[DataFile]:
        """The data files of the rows that are new."""
        if same.label not in self._written:
            rows = self.audited.without(same)
            self._written[same.label] = data_files.write(table, rows, self.audited.dataset.partition_by)
        return self._written[same.label]

    def files_but(self, used: str | None) -> list[DataFile]:
        """The files of all attempts, but those for which these partitions were the same."""
        return [file for same, files in self._written.items() if same != used for file in files]


def _commit(tables: Tables, attempts: _Attempts) -> int:
    """Try one commit."""
    audited = attempts.audited
    table = tables.table(audited.dataset.name)
    if landed := next((snapshot for snapshot in attempts.tried if table.snapshot_by_id(snapshot)), None):
        return landed  # an earlier attempt, whose answer was lost
    current = table.current_snapshot()
    old = data_files.listed(table, audited.replaced)
    same = audited.same_in(table, old)
    if current and same.label == audited.replaced.label and _known(table, audited):
        return int(current.snapshot_id)
    gone = [file for file in old if not _holds(same, file)]
    new, summary = attempts.files(table, same), audited.summary(same)
    snapshot = _swap(table, gone, new, summary, lambda tried: attempts.tried.setdefault(tried, same.label))
    try:
        upkeep.expire(table, tables.settings.snapshots_kept)
    except Exception as error:
        if not may_pass(error):  # else the next publication expires what this one did not
            raise
    return snapshot


def _known(table: Table, audited: _Audited) -> bool:
    """Whether the lineage says already that these partitions are of this work."""
    lineage = history.lineage_of(table)
    days = audited.replaced.days
    makers = [lineage.maker(day, audited.replaced.scope_label) for day in days] if days else list(lineage.commits[:1])
    return all(maker is not None and audited.provenance.same_work(maker.provenance) for maker in makers)


def _holds(same: Selection, file: DataFile) -> bool:
    """Whether a data file is of a partition that stays. A file has rows of one partition; Iceberg counts its days."""
    return same.days is None or (bool(same.days) and integrity.day_of(file.partition[0]) in same.days)


def _swap(
    table: Table,
    old: Sequence[DataFile],
    new: Sequence[DataFile],
    summary: dict[str, str],
    trying: Callable[[int], object] = lambda _: None,
) -> int:
    """Commit one snapshot that drops the old files and adds the new ones. Return its id, told before to ``trying``."""
    # The public overwrite() makes two snapshots, a delete and an append. This makes one (docs/adr/0002).
    with table.transaction() as transaction:
        update = transaction.update_snapshot(snapshot_properties=summary)
        with update.overwrite() if old else update.merge_append() as producer:
            trying(producer.snapshot_id)
            for file in old:
                producer.delete_data_file(file)
            for file in new:
                producer.append_data_file(file)
    snapshot = table.current_snapshot()
    assert snapshot is not None
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
    replaced = Selection.of(days) if days else Selection.of(None)
    tried: list[int] = []

    def attempt() -> int:
        table = tables.table(name)
        if landed := next((snapshot for snapshot in tried if table.snapshot_by_id(snapshot)), None):
            return landed  # an earlier attempt, whose answer was lost
        gone = [file for file in data_files.listed(table, Selection.of(None)) if file.file_path in lost]
        return _swap(table, gone, [], {**provenance.summary(), PARTITIONS: replaced.label}, tried.append)

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
