"""Which commit made each partition of a table, and whether an input changed after it was read.

The lineage comes from the provenance in a table's snapshots; there is no other ledger. Nothing is known about an expired
snapshot, so an input from it counts as changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from contrail.lake.provenance import JOB_ROWS, PARTITIONS, Provenance
from contrail.partitions import Partitions

ALL_PARTITIONS = "all"


@dataclass(frozen=True)
class Commit:
    """One commit: the partitions that it replaced (None: the whole table) and its provenance.

    ``job_rows`` counts the rows of the whole job. A job may have made one commit for each partition.
    """

    snapshot: int
    partitions: tuple[Partitions, ...] | None
    job_rows: int | None
    provenance: Provenance

    @property
    def label(self) -> str:
        """The partitions as text: ``all``, or ranges separated by commas."""
        return ALL_PARTITIONS if self.partitions is None else ",".join(map(str, self.partitions))

    def touches(self, window: Partitions) -> bool:
        """Say whether the commit replaced a partition of the window."""
        if self.partitions is None:
            return True
        return any(part.start <= window.end and window.start <= part.end for part in self.partitions)


@dataclass(frozen=True)
class Lineage:
    """The commits that make up a table's current state, newest first. A rollback removes the later commits."""

    commits: tuple[Commit, ...]

    def maker(self, day: date) -> Commit | None:
        """Return the last commit that published a partition. None: it has expired, or there was none."""
        window = Partitions(day, day)
        return next((commit for commit in self.commits if commit.touches(window)), None)

    def unchanged_since(self, snapshot: int | None, window: Partitions) -> bool:
        """Say whether no commit replaced a partition of the window after this snapshot. Unknown counts as false."""
        for commit in self.commits:
            if commit.snapshot == snapshot:
                return True
            if commit.touches(window):
                return False
        return snapshot is None and not self.commits


def commit_of(snapshot: int, summary: Mapping[str, str]) -> Commit:
    """Read a commit from its snapshot's summary. A summary without partitions counts as the whole table."""
    label = summary.get(PARTITIONS, ALL_PARTITIONS)
    parts = None if label == ALL_PARTITIONS else tuple(Partitions.from_text(part) for part in label.split(","))
    rows = summary.get(JOB_ROWS)
    return Commit(snapshot, parts, int(rows) if rows else None, Provenance.read(summary))
