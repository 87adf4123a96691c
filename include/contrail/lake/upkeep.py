"""Upkeep of snapshots: the oldest leave the metadata of a table, and then its archive."""

from collections.abc import Collection

from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update.snapshot import ExpireSnapshots, ManageSnapshots

from contrail.lake import archive
from contrail.lake.transactions import ThriftyTransaction

# Each commit reads and writes the metadata. With 200 snapshots in it a day's chain took 2 s longer (docs/adr/0066).
LISTED = 16
# Snapshots leave together when there are so many times the number to keep, not one at each commit.
_SLACK = 1.2


def expire(table: Table, kept: int) -> None:
    """Expire the oldest untagged snapshots once the table has a fifth more than ``kept``. None moves to an archive."""
    gone = _oldest(table.metadata, kept)
    if gone:
        table.maintenance.expire_snapshots().by_ids([snapshot.snapshot_id for snapshot in gone]).commit()


def put_away(table: Table, transaction: ThriftyTransaction, kept: int) -> None:
    """Move the oldest untagged snapshots from the metadata to the archive, as a part of a commit that adds one.

    Args:
        table: As it was loaded for the commit.
        transaction: The commit. It has added its snapshot.
        kept: The number of snapshots that stay readable, in both places.

    Raises:
        DamagedError: The archive is damaged. The snapshots stay where they are.
    """
    listed = min(kept, LISTED)
    gone = _oldest(transaction.table_metadata, listed)
    if not gone:
        return
    before = archive.of(table)
    after = before.with_more(transaction.table_metadata, gone).newest(kept - listed)
    ExpireSnapshots(transaction).by_ids([snapshot.snapshot_id for snapshot in gone]).commit()
    if after != before:
        transaction.set_properties(archive.write(table, after))


def drop(transaction: ThriftyTransaction, gone: Collection[int]) -> None:
    """Let snapshots of the metadata expire with their tags, as a part of a commit that makes another one current."""
    for name, ref in transaction.table_metadata.refs.items():
        if ref.snapshot_id in gone and name != MAIN_BRANCH:
            ManageSnapshots(transaction).remove_tag(name).commit()
    ExpireSnapshots(transaction).by_ids(sorted(gone)).commit()


def _oldest(metadata: TableMetadata, kept: int) -> list[Snapshot]:
    """The snapshots to move away, in the order of their commits; none while there are few more than ``kept``."""
    named = {ref.snapshot_id for name, ref in metadata.refs.items() if name != MAIN_BRANCH}
    current = metadata.current_snapshot_id
    loose = sorted((s for s in metadata.snapshots if s.snapshot_id not in named), key=lambda s: s.sequence_number or 0)
    if len(loose) <= kept * _SLACK:
        return []
    return [snapshot for snapshot in loose[:-kept] if snapshot.snapshot_id != current]
