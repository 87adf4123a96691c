"""Which commit made each partition of a table, and whether an input changed after it was read.

Read from the provenance of the snapshots that a table's current state is made of; there is no other ledger. A snapshot
that has expired is not known any more, and what is not known counts as changed.
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

    ``job_rows`` counts the rows of the whole job, whose partitions may have had a commit each.
    """

    snapshot: int
    partitions: tuple[Partitions, ...] | None
    job_rows: int | None
    provenance: Provenance

    @property
    def label(self) -> str:
        """The partitions as text: ``all``, or ranges with commas between them."""
        return ALL_PARTITIONS if self.partitions is None else ",".join(map(str, self.partitions))

    def touches(self, window: Partitions) -> bool:
        """Whether a partition of the window was replaced."""
        if self.partitions is None:
            return True
        return any(part.start <= window.end and window.start <= part.end for part in self.partitions)


@dataclass(frozen=True)
class Lineage:
    """The commits of a table's current state, newest first. A rollback leaves out what was rolled back."""

    commits: tuple[Commit, ...]

    def maker(self, day: date) -> Commit | None:
        """The commit that published a partition last; None when it has expired, or there was none."""
        window = Partitions(day, day)
        return next((commit for commit in self.commits if commit.touches(window)), None)

    def unchanged_since(self, snapshot: int | None, window: Partitions) -> bool:
        """Whether no partition of the window was replaced after this snapshot; false when that is not known."""
        for commit in self.commits:
            if commit.snapshot == snapshot:
                return True
            if commit.touches(window):
                return False
        return snapshot is None and not self.commits


def commit_of(snapshot: int, summary: Mapping[str, str]) -> Commit:
    """A commit from its snapshot's summary; one that names no partitions counts as having touched them all."""
    label = summary.get(PARTITIONS, ALL_PARTITIONS)
    parts = None if label == ALL_PARTITIONS else tuple(Partitions.from_text(part) for part in label.split(","))
    rows = summary.get(JOB_ROWS)
    return Commit(snapshot, parts, int(rows) if rows else None, Provenance.read(summary))
