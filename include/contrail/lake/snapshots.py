"""The snapshots of a table: those in its metadata and those in its archive, as one history.

Which snapshots stay belongs to ``upkeep``, and what they were made of to ``history``.
"""

from collections.abc import Collection
from contextlib import suppress

from pyiceberg.table import Table
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import Snapshot

from contrail.errors import DamagedError
from contrail.lake import archive
from contrail.lake.archive import Archive


def find(table: Table, snapshot_id: int) -> Snapshot | None:
    """Return a snapshot by its id; None where it has expired.

    Raises:
        DamagedError: It is not in the metadata, and the archive is damaged.
    """
    return table.snapshot_by_id(snapshot_id) or archive.of(table).find(snapshot_id)


def landed(table: Table, tried: Collection[int]) -> int | None:
    """Return which of these new snapshots a table has; None for none. A damaged archive has none of them.

    While it is damaged, nothing moves into it.
    """
    here = next((one for one in tried if table.snapshot_by_id(one)), None)
    if here is not None or not tried:
        return here
    with suppress(DamagedError):
        kept = archive.of(table).ids()
        return next((one for one in tried if one in kept), None)
    return None


def in_order(table: Table, kept: Archive | None = None) -> list[Snapshot]:
    """List the snapshots in the order of their commits. Their clocks may have jumped, or be of different machines.

    ``kept`` is taken for the table's archive.
    """
    found = (*(Snapshot(**one) for one in (kept or archive.of(table)).snapshots), *table.snapshots())
    return sorted(found, key=lambda snapshot: snapshot.sequence_number or 0)


def parent(table: Table, snapshot: Snapshot) -> Snapshot | None:
    """Return the snapshot before; None where there is none, or it has expired. The archive is opened only for its own."""
    found = snapshot.parent_snapshot_id
    if found is None and archive.place_in(table.metadata):
        found = archive.of(table).parents.get(snapshot.snapshot_id)
    return None if found is None else find(table, found)


def at(table: Table, moment: int) -> Snapshot | None:
    """Return the snapshot that was current at a moment, in milliseconds from 1970 on; None where none is known."""
    log = [(entry.timestamp_ms, entry.snapshot_id) for entry in table.history()]
    if not log or min(log)[0] > moment or archive.place_in(table.metadata):
        log = sorted([*archive.of(table).log, *log])
    return next((find(table, snapshot) for when, snapshot in reversed(log) if when <= moment), None)


def tags(table: Table, kept: Archive | None = None) -> dict[str, int]:
    """Return the name and the id of each snapshot that has a name. ``kept`` is taken for the table's archive."""
    own = {name: ref.snapshot_id for name, ref in table.refs().items() if name != MAIN_BRANCH}
    return {**(kept or archive.of(table)).tags, **own}
