"""The history of a table: its snapshots and their lineage."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, overload

from contrail.errors import DamagedError
from contrail.lake import archive, rollbacks, snapshots
from contrail.lake.catalog import Tables
from contrail.lake.lineage import Commit, Lineage, commit_of
from contrail.lake.provenance import BACK_TO, LEDGER, PREFIX, Provenance
from contrail.partitions import Partitions

if TYPE_CHECKING:
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot


@dataclass(frozen=True)
class HistoryEntry:
    """One snapshot of a table.

    ``rows`` counts the rows of the whole table. ``committed_at`` is UTC in ISO 8601, to the second. ``rollback`` says who last
    went back to the snapshot.
    """

    commit: Commit
    committed_at: str
    rows: int
    current: bool
    tags: tuple[str, ...]
    rollback: str = ""

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
            **({"rollback": self.rollback} if self.rollback else {}),
        }


def entries(tables: Tables, name: str, lost: Callable[[DamagedError], object] | None = None) -> list[HistoryEntry]:
    """List the snapshots of a table, newest first.

    Args:
        tables: Has the table.
        name: The table.
        lost: Is told of a damaged archive, and the list ends before it. Without this it is an error.

    Raises:
        MissingInputError: if the table does not exist.
    """
    table = tables.table(name)
    current = table.current_snapshot()
    kept = _archive(table, lost)
    back = {one.snapshot: one.words for one in rollbacks.of(table)}
    tags: dict[int, list[str]] = {}
    for tag, snapshot_id in snapshots.tags(table, kept).items():
        tags.setdefault(snapshot_id, []).append(tag)
    return [
        HistoryEntry(
            commit=commit_of(snapshot.snapshot_id, _summary(snapshot)),
            committed_at=datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC).isoformat(timespec="seconds"),
            rows=int(_summary(snapshot).get("total-records", 0)),
            current=bool(current and snapshot.snapshot_id == current.snapshot_id),
            tags=tuple(tags.get(snapshot.snapshot_id, ())),
            rollback=back.get(snapshot.snapshot_id, ""),
        )
        for snapshot in reversed(snapshots.in_order(table, kept))
    ]


def _archive(table: "Table", lost: Callable[[DamagedError], object] | None) -> archive.Archive:
    try:
        return archive.of(table)
    except DamagedError as error:
        if lost is None:
            raise
        lost(error)
        return archive.Archive()


def makers(tables: Tables, name: str, snapshot_id: int, days: Iterable[date]) -> dict[date, HistoryEntry]:
    """Return the commit that gave a table the rows of each partition which a snapshot has.

    A day is left out if the snapshot or that commit has expired, or the partition had no rows.
    """
    table = tables.find(name)
    snapshot = snapshots.find(table, snapshot_id) if table else None
    if table is None or snapshot is None:
        return {}
    before = [found for found, _ in _Walk(table, snapshot).summaries()]
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


def lineage(tables: Tables, name: str, lost: Callable[[DamagedError], object] | None = None) -> Lineage:
    """Return the commits that make up a table's current state. A missing table has none.

    Args:
        tables: Has the table.
        name: The table.
        lost: Is told of a damaged archive, and the lineage ends before it. Without this, whoever asks for more gets the
            error.
    """
    table = tables.find(name)
    return _LineageOf(_Walk(table, table.current_snapshot(), lost)) if table else Lineage((), complete=True)


def lineage_of(table: "Table") -> Lineage:
    """Return the commits that make up the state of a loaded table."""
    return _LineageOf(_Walk(table, table.current_snapshot()))


def ledger_of(table: "Table", kept: int) -> str:
    """Return the newest commits of a table as one text, for a snapshot that takes their place (``erasure``)."""
    walk = _Walk(table, table.current_snapshot())
    made = list(walk.summaries())
    ours = [
        [snapshot, {key: value for key, value in summary.items() if key.startswith(PREFIX) and key != LEDGER}]
        for snapshot, summary in made[:kept]
    ]
    return json.dumps({"complete": walk.complete and len(ours) == len(made), "commits": ours}, separators=(",", ":"))


def erased_since(table: "Table", moment: datetime) -> bool:
    """Say whether the rows of persons were taken out of a table since this moment, so that snapshots went before their time."""
    since = int(moment.timestamp() * 1000)
    return any(LEDGER in _summary(one) and one.timestamp_ms >= since for one in snapshots.in_order(table))


class _Walk(Sequence[Commit]):
    """The commits before a snapshot and its own, the newest first. They are read as far as somebody asks.

    A day's run asks for the newest few, and a table may keep hundreds.
    """

    def __init__(
        self,
        table: "Table",
        snapshot: "Snapshot | None",
        lost: Callable[[DamagedError], object] | None = None,
    ) -> None:
        self.table, self._snapshot, self._lost = table, snapshot, lost
        self._left = (commit_of(snapshot, summary) for snapshot, summary in self.summaries())
        self._read: list[Commit] = []
        self._complete = snapshot is None

    @property
    def complete(self) -> bool:
        """Whether no commit is missing."""
        self._read += self._left
        return self._complete

    @cached_property
    def near(self) -> tuple[Commit, ...]:
        """The newest commits: those before the first that is in the archive."""
        return tuple(commit_of(snapshot, summary) for snapshot, summary in self.summaries(near=True))

    def may_go_on_to(self, day: date) -> bool:
        """Whether a commit of a partition may come after ``near``: in the archive, or with a tag in the metadata."""
        known, window = {commit.snapshot for commit in self.near}, Partitions(day, day)
        others = (one for one in self.table.snapshots() if one.snapshot_id not in known)
        return archive.reaches(self.table.metadata, day) or any(
            LEDGER in _summary(one) or commit_of(one.snapshot_id, _summary(one)).touches(window) for one in others
        )

    def summaries(self, *, near: bool = False) -> Iterator[tuple[int, Mapping[str, str]]]:
        """Yield the id and the summary of each snapshot; of those in the metadata alone, if so asked."""
        found = self._snapshot
        while found is not None:
            summary = _summary(found)
            yield found.snapshot_id, summary
            if LEDGER in summary:
                ledger = json.loads(summary[LEDGER])
                self._complete = bool(ledger["complete"])
                yield from ((snapshot, own) for snapshot, own in ledger["commits"])
                return
            before = found.parent_snapshot_id
            if near and (BACK_TO in summary or before is None or self.table.snapshot_by_id(before) is None):
                return
            # An expired parent is not named any more. The first snapshot of a table has the number 1.
            self._complete = found.sequence_number == 1
            back = summary.get(BACK_TO)
            try:
                found = snapshots.find(self.table, int(back)) if back else snapshots.parent(self.table, found)
            except DamagedError as error:
                if self._lost is None:
                    raise
                self._lost(error)
                return

    def __iter__(self) -> Iterator[Commit]:
        yield from self._read
        at = len(self._read)
        while True:
            if at < len(self._read):  # another reader of this lineage came further
                yield self._read[at]
            elif (commit := next(self._left, None)) is not None:
                self._read.append(commit)
                yield commit
            else:
                return
            at += 1

    @overload
    def __getitem__(self, index: int) -> Commit: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Commit]: ...

    def __getitem__(self, index: int | slice) -> Commit | Sequence[Commit]:
        if isinstance(index, int):
            if index >= 0 and (found := list(islice(self, index, index + 1))):
                return found[0]
            return list(self)[index]
        whole = any(one is not None and one < 0 for one in (index.start, index.stop, index.step))
        return list(self)[index] if whole else list(islice(self, index.start, index.stop, index.step))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return any(True for _ in self)


class _LineageOf(Lineage):
    """The lineage of a loaded table. Whether it is complete is known when all of it is read."""

    _walk: _Walk

    def __init__(self, commits: _Walk) -> None:
        object.__setattr__(self, "commits", commits)
        object.__setattr__(self, "_walk", commits)

    @property
    def complete(self) -> bool:
        """Whether none of the commits has expired."""
        return self._walk.complete

    def maker(self, day: date, scope: str = "") -> Commit | None:
        """Return the last commit that published a partition. The archive is opened only when it may be there."""
        near = Lineage(self._walk.near).maker(day, scope)
        return near or (super().maker(day, scope) if self._walk.may_go_on_to(day) else None)


def _summary(snapshot: "Snapshot") -> Mapping[str, str]:
    found: Mapping[str, str] = snapshot.summary.additional_properties if snapshot.summary else {}
    return found
