"""Which commit made each partition of a table, and whether an input changed after it was read.

The lineage comes from the provenance in a table's snapshots; there is no other ledger. Nothing is known about an expired
snapshot, so an input from it counts as changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from contrail.lake.provenance import BACK_TO, COMPACTED, JOB_ROWS, PARTITIONS, SAME, SCOPE, Provenance
from contrail.partitions import Partitions

ALL_PARTITIONS = "all"


@dataclass(frozen=True)
class Commit:
    """One commit: the partitions that it replaced (None: the whole table) and its provenance.

    ``same`` has those of the partitions that hold the same rows as before: the commit says anew what they were made of,
    and changed nothing for readers. ``scope`` narrows the partitions, for example ``stage=validate,table_name=parcels``.
    ``job_rows`` counts the rows of the whole job. A job may have made one commit for each partition. ``compacted`` says in
    words what a compaction did, or to which snapshot a rollback went back.
    """

    snapshot: int
    partitions: tuple[Partitions, ...] | None
    job_rows: int | None
    provenance: Provenance
    same: tuple[Partitions, ...] | None = ()
    scope: str = ""
    compacted: str = ""

    @property
    def label(self) -> str:
        """The partitions as text: ``all``, or ranges separated by commas."""
        return _label(self.partitions)

    @property
    def words(self) -> str:
        """What a person reads of the partitions: their label, or what a compaction or a rollback did."""
        return self.compacted or self.label

    @property
    def same_label(self) -> str:
        """The partitions that stayed the same, as text; empty when there are none."""
        return _label(self.same)

    def is_of(self, scope: str) -> bool:
        """Say whether the commit may have replaced rows of a part of a scope, as ``table_name=parcels``; all for none."""
        return not (scope and self.scope) or scope in self.scope.split(",")

    def touches(self, window: Partitions) -> bool:
        """Say whether the commit replaced a partition of the window."""
        return _meet(self.partitions, window)

    def changes(self, window: Partitions) -> bool:
        """Say whether the commit gave a partition of the window other rows."""
        if not self.touches(window) or self.same is None:
            return False
        if not self.same or self.partitions is None:
            return True
        return any(
            part.start <= day <= part.end and not _meet(self.same, Partitions(day, day))
            for part in self.partitions
            for day in window
        )


@dataclass(frozen=True)
class Lineage:
    """The commits that make up a table's current state, newest first. A rollback removes the later commits.

    ``complete`` says that none of them has expired. The order is that of the commits, never that of a clock.
    """

    commits: Sequence[Commit]
    complete: bool = False

    def maker(self, day: date, scope: str = "") -> Commit | None:
        """Return the last commit that published a partition. None: it has expired, or there was none."""
        window = Partitions(day, day)
        return next((c for c in self.commits if c.touches(window) and scope in ("", c.scope)), None)

    def knows(self, snapshot: int | None) -> bool:
        """Say whether it is known what came after a snapshot. None is the time before the first commit."""
        if snapshot is None:
            return self.complete or not self.commits
        return any(commit.snapshot == snapshot for commit in self.commits)

    def unchanged_since(self, snapshot: int | None, window: Partitions, scope: str = "") -> bool:
        """Say whether no later commit gave a partition of the window other rows. Unknown counts as false.

        ``scope`` leaves out commits of other parts of the partitions.
        """
        for commit in self.commits:
            if commit.snapshot == snapshot:
                return True
            if commit.is_of(scope) and commit.changes(window):
                return False
        return snapshot is None and self.knows(snapshot)


def _label(parts: tuple[Partitions, ...] | None) -> str:
    return ALL_PARTITIONS if parts is None else ",".join(map(str, parts))


def _parts(label: str) -> tuple[Partitions, ...] | None:
    return None if label == ALL_PARTITIONS else tuple(Partitions.from_text(part) for part in label.split(",") if part)


def _meet(parts: tuple[Partitions, ...] | None, window: Partitions) -> bool:
    return parts is None or any(part.start <= window.end and window.start <= part.end for part in parts)


def commit_of(snapshot: int, summary: Mapping[str, str]) -> Commit:
    """Read a commit from its snapshot's summary. A summary without partitions counts as the whole table."""
    rows, back = summary.get(JOB_ROWS), summary.get(BACK_TO)
    return Commit(
        snapshot,
        _parts(summary.get(PARTITIONS, ALL_PARTITIONS)),
        int(rows) if rows else None,
        Provenance.read(summary),
        _parts(summary.get(SAME, "")),
        summary.get(SCOPE, ""),
        summary.get(COMPACTED) or (f"back to snapshot {back}" if back else ""),
    )
