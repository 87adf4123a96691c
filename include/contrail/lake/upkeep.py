"""Which snapshots are kept: naming one so that it stays, and expiring the oldest of the others."""

from pyiceberg.table import Table

from contrail.lake.catalog import Tables
from contrail.lake.conflicts import retrying

# Snapshots expire once so many times the number to keep have gathered, not one after each commit.
_SLACK = 1.2


def expire(table: Table, kept: int) -> None:
    """Forget the oldest untagged snapshots once a fifth more than ``kept`` have gathered."""
    protected = {ref.snapshot_id for ref in table.refs().values()}
    snapshots = [s.snapshot_id for s in sorted(table.snapshots(), key=lambda s: s.timestamp_ms)]
    if len(snapshots) > kept * _SLACK:
        expired = [s for s in snapshots[:-kept] if s not in protected]
        table.maintenance.expire_snapshots().by_ids(expired).commit()


def tag(tables: Tables, name: str, snapshot_id: int, tag: str) -> None:
    """Name a snapshot of a table so that it never expires; naming it again is harmless."""

    def commit() -> None:
        table = tables.table(name)
        existing = table.refs().get(tag)
        if existing is None or existing.snapshot_id != snapshot_id:
            table.manage_snapshots().create_tag(snapshot_id, tag).commit()

    retrying()(commit)


def untag(tables: Tables, name: str, tag: str) -> None:
    """Remove a snapshot's name, so that it may expire; a name that is not there is no fault."""

    def commit() -> None:
        table = tables.table(name)
        if tag in table.refs():
            table.manage_snapshots().remove_tag(tag).commit()

    retrying()(commit)
