"""Make an earlier snapshot of a table the current one again, and keep who did so."""

from pyiceberg.table import Table
from pyiceberg.table.update.snapshot import ManageSnapshots

from contrail.errors import DataError
from contrail.lake import data_files, integrity, publisher, rollbacks, snapshots
from contrail.lake.catalog import Tables
from contrail.lake.provenance import BACK_TO, PARTITIONS
from contrail.lake.selection import Selection
from contrail.lake.transactions import ThriftyTransaction


def rollback(tables: Tables, name: str, snapshot_id: int) -> None:
    """Make an earlier snapshot the current one, in one atomic commit. Later snapshots stay readable by id.

    Where the snapshot is in the table's archive, a new snapshot gets its files, and its lineage goes on there.

    Raises:
        DataError: for a snapshot that the table does not have.
        DamagedError: when files of a snapshot of the archive are damaged, or its manifests. Nothing was changed.
        CommitConflictError: Other writers won every attempt.
    """
    tried: list[int] = []

    def attempt() -> None:
        table = tables.table(name)
        if snapshots.landed(table, tried) is not None:
            return  # an earlier attempt, whose answer was lost
        if snapshots.find(table, snapshot_id) is None:
            raise DataError(
                f"{tables.namespace}.{name} has no snapshot {snapshot_id}; "
                f"contrail history {name} --pipeline {tables.namespace} lists its snapshots."
            )
        if table.snapshot_by_id(snapshot_id):
            _set_current(table, snapshot_id)
            return
        now, then = (
            data_files.listed(table, Selection.of(None)),
            data_files.listed(table, Selection.of(None), snapshot_id),
        )
        here, there = ({file.file_path for file in files} for files in (now, then))
        gone, back = [f for f in now if f.file_path not in there], [f for f in then if f.file_path not in here]
        integrity.check(table, back, current=False)
        summary = {BACK_TO: str(snapshot_id), PARTITIONS: ""}
        publisher.swap(table, gone, back, summary, tried.append, kept=tables.settings.snapshots_kept)

    tables.commit(name, attempt)


def _set_current(table: Table, snapshot_id: int) -> None:
    """Make a snapshot of the metadata current. Who did so is kept in the same commit."""
    current = table.current_snapshot()
    if current is None or current.snapshot_id == snapshot_id:
        return
    with ThriftyTransaction(table) as transaction:
        ManageSnapshots(transaction).set_current_snapshot(snapshot_id).commit()
        transaction.set_properties(rollbacks.with_another(table, snapshot_id, current.snapshot_id))
