"""The history of a table: its snapshots, their lineage, and the rollback to an earlier one."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from pyiceberg.table.snapshots import ancestors_of

from contrail.errors import DataError
from contrail.lake.catalog import Tables
from contrail.lake.lineage import Commit, Lineage, commit_of
from contrail.lake.provenance import LEDGER, PREFIX, Provenance
from contrail.lake.upkeep import in_order
from contrail.partitions import Partitions

if TYPE_CHECKING:
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot


@dataclass(frozen=True)
class HistoryEntry:
    """One snapshot of a table.

    ``rows`` counts the rows of the whole table. ``committed_at`` is UTC in ISO 8601, to the second.
    """

    commit: Commit
    committed_at: str
    rows: int
    current: bool
    tags: tuple[str, ...]

    @property
    def snapshot(self) -> int:
        """The snapshot's id."""
        return self.commit.snapshot

    @property
    def provenance(self) -> Provenance:
        """Who made the snapshot, and from what."""
        return self.commit.provenance

    def as_dict(self) -> dict[str, Any]:
        """Return the entry as ``contrail history --json`` prints it."""
        made, rows = self.provenance, self.commit.job_rows
        return {
            "snapshot": self.snapshot,
            "committed_at": self.committed_at,
            "current": self.current,
            "tags": list(self.tags),
            "rows": self.rows,
            "run_id": made.run_id,
            "stage": made.stage,
            "pipeline_hash": made.pipeline_hash,
            "code_revision": made.code_revision,
            "lock_hash": made.lock_hash,
            **made.extra,
            "job_rows": None if rows is None else str(rows),
            "partitions": self.commit.label,
            "same": self.commit.same_label,
            "inputs": made.inputs,
        }


def entries(tables: Tables, name: str) -> list[HistoryEntry]:
    """List the snapshots of a table, newest first.

    Raises:
        MissingInputError: if the table does not exist.
    """
    table = tables.table(name)
    current = table.current_snapshot()
    tags: dict[int, list[str]] = {}
    for tag, ref in table.refs().items():
        if tag != "main":
            tags.setdefault(ref.snapshot_id, []).append(tag)
    return [
        HistoryEntry(
            commit=commit_of(snapshot.snapshot_id, _summary(snapshot)),
            committed_at=datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC).isoformat(timespec="seconds"),
            rows=int(_summary(snapshot).get("total-records", 0)),
            current=bool(current and snapshot.snapshot_id == current.snapshot_id),
            tags=tuple(tags.get(snapshot.snapshot_id, ())),
        )
        for snapshot in reversed(in_order(table))
    ]


def makers(tables: Tables, name: str, snapshot_id: int, days: Iterable[date]) -> dict[date, HistoryEntry]:
    """Return the commit that gave a table the rows of each partition which a snapshot has.

    A day is left out if the snapshot or that commit has expired, or the partition had no rows.
    """
    table = tables.find(name)
    snapshot = table.snapshot_by_id(snapshot_id) if table else None
    if table is None or snapshot is None:
        return {}
    before = [found.snapshot_id for found in ancestors_of(snapshot, table.metadata)]
    known = {entry.snapshot: entry for entry in entries(tables, name)}
    found: dict[date, HistoryEntry] = {}
    for day in days:
        window = Partitions(day, day)
        maker = next((known[one] for one in before if one in known and known[one].commit.changes(window)), None)
        if maker:
            found[day] = maker
    return found


def maker(tables: Tables, name: str, snapshot_id: int, day: date) -> HistoryEntry | None:
    """Return the commit that made one partition; see ``makers``."""
    return makers(tables, name, snapshot_id, [day]).get(day)


def lineage(tables: Tables, name: str) -> Lineage:
    """Return the commits that make up a table's current state. A missing table has none."""
    table = tables.find(name)
    return lineage_of(table) if table else Lineage((), complete=True)


def lineage_of(table: "Table") -> Lineage:
    """Return the commits that make up the state of a loaded table."""
    made, complete = _made(table)
    return Lineage(tuple(commit_of(snapshot, summary) for snapshot, summary in made), complete)


def ledger_of(table: "Table", kept: int) -> str:
    """Return the newest commits of a table as one text, for a snapshot that takes their place (``erasure``)."""
    made, complete = _made(table)
    ours = [
        [snapshot, {key: value for key, value in summary.items() if key.startswith(PREFIX) and key != LEDGER}]
        for snapshot, summary in made[:kept]
    ]
    return json.dumps({"complete": complete and len(ours) == len(made), "commits": ours}, separators=(",", ":"))


def _made(table: "Table") -> tuple[list[tuple[int, Mapping[str, str]]], bool]:
    """The commits of the current state with their summaries, newest first, and whether none is missing."""
    found: list[tuple[int, Mapping[str, str]]] = []
    oldest: Snapshot | None = None
    for oldest in ancestors_of(table.current_snapshot(), table.metadata):
        summary = _summary(oldest)
        found.append((oldest.snapshot_id, summary))
        if LEDGER in summary:
            ledger = json.loads(summary[LEDGER])
            return [*found, *((snapshot, own) for snapshot, own in ledger["commits"])], bool(ledger["complete"])
    # An expired parent is not named any more. The first snapshot of a table has the number 1.
    return found, oldest is None or oldest.sequence_number == 1


def rollback(tables: Tables, name: str, snapshot_id: int) -> None:
    """Make an earlier snapshot the current one, in one atomic commit. Later snapshots stay readable by id.

    Raises:
        DataError: for a snapshot that the table does not have.
        CommitConflictError: Other writers won every attempt.
    """

    def attempt() -> None:
        table = tables.table(name)
        if table.snapshot_by_id(snapshot_id) is None:
            raise DataError(
                f"{tables.namespace}.{name} has no snapshot {snapshot_id}; "
                f"contrail history {name} --pipeline {tables.namespace} lists its snapshots."
            )
        table.manage_snapshots().set_current_snapshot(snapshot_id).commit()

    tables.commit(name, attempt)


def _summary(snapshot: "Snapshot") -> Mapping[str, str]:
    found: Mapping[str, str] = snapshot.summary.additional_properties if snapshot.summary else {}
    return found
