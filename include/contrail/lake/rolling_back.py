"""Make an earlier snapshot of a table the current one again."""

from contrail.errors import DataError
from contrail.lake import data_files, integrity, publisher, snapshots
from contrail.lake.catalog import Tables
from contrail.lake.provenance import BACK_TO, PARTITIONS
from contrail.lake.selection import Selection


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
            table.manage_snapshots().set_current_snapshot(snapshot_id).commit()
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
