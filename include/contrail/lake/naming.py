"""Names of snapshots. One with a name never expires."""

from contrail.lake import archive, publisher
from contrail.lake.archive import Archive
from contrail.lake.catalog import Tables
from contrail.lake.provenance import COMPACTED, PARTITIONS


def tag(tables: Tables, name: str, snapshot_id: int, tag: str) -> None:
    """Tag a snapshot of a table so that it never expires. The same call again is harmless."""

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
        table.manage_snapshots().create_tag(snapshot_id, tag).commit()

    tables.commit(name, attempt)


def untag(tables: Tables, name: str, tag: str) -> None:
    """Remove a tag, so that its snapshot may expire. An unknown tag is no error."""

    def attempt() -> None:
        table = tables.table(name)
        if tag in table.refs():
            table.manage_snapshots().remove_tag(tag).commit()
        elif tag in (kept := archive.of(table)).tags:
            left = {other: snapshot for other, snapshot in kept.tags.items() if other != tag}
            said = {PARTITIONS: "", COMPACTED: f"the name {tag} was removed"}
            publisher.swap(table, [], [], said, archived=_tagged(kept, left))

    tables.commit(name, attempt)


def _tagged(kept: Archive, tags: dict[str, int]) -> Archive:
    return kept.model_copy(update={"tags": tags})
