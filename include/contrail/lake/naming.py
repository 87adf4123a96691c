"""Names of snapshots. One with a name never expires."""

from contextlib import suppress

from pyiceberg.exceptions import CommitFailedException

from contrail.errors import DamagedError
from contrail.lake import archive, publisher, readers
from contrail.lake.archive import Archive
from contrail.lake.catalog import Tables
from contrail.lake.provenance import COMPACTED, PARTITIONS


def tag(tables: Tables, name: str, snapshot_id: int, tag: str) -> None:
    """Tag a snapshot of a table so that it never expires. The same call again is harmless.

    Raises:
        SnapshotGoneError: The table has no such snapshot.
        CommitConflictError: Other writers won every attempt.
    """

    def attempt() -> None:
        table = tables.table(name)
        existing = table.refs().get(tag)
        if existing is not None and existing.snapshot_id == snapshot_id:
            return
        if table.snapshot_by_id(snapshot_id) is None and snapshot_id in (kept := archive.of(table)).ids():
            if kept.tags.get(tag) != snapshot_id:
                # Only a commit of the main branch may change the archive: two writers of it then meet.
                said = {PARTITIONS: "", COMPACTED: f"snapshot {snapshot_id} was named {tag}"}
                publisher.swap(table, [], [], said, archived=_tagged(kept, {**kept.tags, tag: snapshot_id}))
            return
        if table.snapshot_by_id(snapshot_id) is None:
            raise readers.gone(tables, name, snapshot_id)
        try:
            table.manage_snapshots().create_tag(snapshot_id, tag).commit()
        except ValueError as error:
            if "unknown snapshot" not in str(error) or table.snapshot_by_id(snapshot_id) is None:
                raise
            raise CommitFailedException("a publication moved the snapshot to the archive meanwhile") from error

    tables.commit(name, attempt)


def untag(tables: Tables, name: str, tag: str) -> None:
    """Remove a tag, so that its snapshot may expire. An unknown tag is no error, nor one that only a damaged archive may have."""

    def attempt() -> None:
        table = tables.table(name)
        if tag in table.refs():
            table.manage_snapshots().remove_tag(tag).commit()
            return
        kept = Archive()
        with suppress(DamagedError):
            kept = archive.of(table)
        if tag in kept.tags:
            left = {other: snapshot for other, snapshot in kept.tags.items() if other != tag}
            said = {PARTITIONS: "", COMPACTED: f"the name {tag} was removed"}
            publisher.swap(table, [], [], said, archived=_tagged(kept, left))

    tables.commit(name, attempt)


def _tagged(kept: Archive, tags: dict[str, int]) -> Archive:
    return kept.model_copy(update={"tags": tags})
