"""Upkeep of snapshots: tag those to keep, and expire the oldest of the others."""

from typing import TYPE_CHECKING

from pyiceberg.table import Table

from contrail.lake.catalog import Tables

if TYPE_CHECKING:
    from pyiceberg.table.snapshots import Snapshot

# Snapshots expire together when there are this many times the number to keep, not one after each commit.
_SLACK = 1.2


def expire(table: Table, kept: int) -> None:
    """Expire the oldest untagged snapshots once the table has a fifth more than ``kept``."""
    protected = {ref.snapshot_id for ref in table.refs().values()}
    snapshots = [s.snapshot_id for s in in_order(table)]
    if len(snapshots) > kept * _SLACK:
        expired = [s for s in snapshots[:-kept] if s not in protected]
        table.maintenance.expire_snapshots().by_ids(expired).commit()


def in_order(table: Table) -> list["Snapshot"]:
    """List the snapshots in the order of their commits. Their clocks may have jumped, or be of different machines."""
    return sorted(table.snapshots(), key=lambda snapshot: snapshot.sequence_number or 0)


def tag(tables: Tables, name: str, snapshot_id: int, tag: str) -> None:
    """Tag a snapshot of a table so that it never expires. The same call again is harmless."""

    def attempt() -> None:
        table = tables.table(name)
        existing = table.refs().get(tag)
        if existing is None or existing.snapshot_id != snapshot_id:
            table.manage_snapshots().create_tag(snapshot_id, tag).commit()

    tables.commit(name, attempt)


def untag(tables: Tables, name: str, tag: str) -> None:
    """Remove a tag, so that its snapshot may expire. An unknown tag is no error."""

    def attempt() -> None:
        table = tables.table(name)
        if tag in table.refs():
            table.manage_snapshots().remove_tag(tag).commit()

    tables.commit(name, attempt)
