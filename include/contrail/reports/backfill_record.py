"""The record of a backfill: what the request was, and what it changed.

Its JSON file and its page hold this record. The module is light. Comparing tables and running a backfill belong to
``contrail.operations``.
"""

from collections.abc import Mapping
from typing import Literal

from contrail.frozen import Frozen, Sparse
from contrail.partitions import Partitions


class Changes(Sparse):
    """How rows differ: counts of rows, and for predictions the shifts of the score and the flipped decisions.

    A shift is the score after minus the score before, over the rows that exist both times. It is None without such
    rows. Commas join the versions of several models.
    """

    rows_before: int
    rows_after: int
    added: int
    removed: int
    changed: int
    mean_before: float | None = None
    mean_after: float | None = None
    mean_shift: float | None = None
    shift_p05: float | None = None
    shift_p50: float | None = None
    shift_p95: float | None = None
    largest_shift: float | None = None
    versions_before: str | None = None
    versions_after: str | None = None
    flipped_to_true: int | None = None
    flipped_to_false: int | None = None

    @property
    def flipped(self) -> int | None:
        """Decisions that flipped; None for rows without decisions."""
        if self.flipped_to_true is None or self.flipped_to_false is None:
            return None
        return self.flipped_to_true + self.flipped_to_false

    @property
    def rows(self) -> int:
        """Rows that were added, removed or changed."""
        return self.added + self.removed + self.changed


class _OfPartition(Sparse):
    partition: str


class _OfDays(Sparse):
    days: tuple[str, ...]


# Fields of the last base come first, so that the JSON names its partition or days before the counts.
class DayChanges(Changes, _OfPartition):
    """Changes of one partition."""


class SampledChanges(Changes, _OfDays):
    """Changes that a plan expects on a few days."""


class Compared(Frozen):
    """Changes in total and by day, without the snapshots that were compared."""

    total: Changes
    days: tuple[DayChanges, ...]

    @property
    def by_partition(self) -> list[tuple[str, DayChanges]]:
        """The days with their partitions."""
        return [(day.partition, day) for day in self.days]


class _OfSnapshots(Frozen):
    before: int | None
    after: int | None


class TableDifference(Compared, _OfSnapshots):
    """Changes of a table between two of its snapshots; None where the table did not exist."""


class Quality(Frozen):
    """A metric of the same rows before and after, on ``rows`` whose outcome is known. Smaller is better.

    ``flipped`` counts their decisions that flipped, ``flipped_right`` those that are right now. A regression has neither.
    """

    metric: str
    rows: int
    before: float
    after: float
    flipped: int | None = None
    flipped_right: int | None = None


class Difference(Sparse):
    """What a backfill changed, in the tables that it makes. ``quality`` is absent where no outcome is known.

    ``gone`` names the tables of which nothing is said, because the lake does not have the snapshot from before any more.
    """

    features: TableDifference | None = None
    predictions: TableDifference | None = None
    quality: Quality | None = None
    gone: tuple[str, ...] = ()

    @property
    def tables(self) -> dict[str, TableDifference]:
        """The compared tables, by name."""
        found = {"features": self.features, "predictions": self.predictions}
        return {name: compared for name, compared in found.items() if compared is not None}


class Record(Frozen):
    """One backfill: its request, the snapshots that readers saw before it, and at its end the difference."""

    id: str
    pipeline: str
    partitions: str
    stages: tuple[str, ...]
    model: str
    publish: str
    started_at: str
    before: Mapping[str, int | None]
    state: Literal["running", "done"] = "running"
    finished_at: str | None = None
    difference: Difference = Difference()
    person: str = ""

    @property
    def range(self) -> Partitions:
        """``partitions``, parsed."""
        return Partitions.from_text(self.partitions)

    @property
    def tag(self) -> str:
        """The tag of the snapshots from before, which the difference can be made of again."""
        return f"before-{self.id}"

    @property
    def tag_after(self) -> str:
        """The tag of the snapshots that the difference compares with them."""
        return f"after-{self.id}"
