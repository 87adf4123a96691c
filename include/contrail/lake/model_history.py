"""The record of alias moves: the version that each alias pointed at, and since when.

The registry knows only where an alias points now. This module reads and appends the record.
``contrail.stages.changes`` moves an alias.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from itertools import groupby

import pyarrow as pa

from contrail.config.spec import PipelineSpec
from contrail.errors import MissingInputError
from contrail.lake import records
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.lake.provenance import Provenance
from contrail.partitions import Partitions, as_ranges

TABLE = "model_history"
CHAMPION = "champion"
AS_OF = "as-of"  # in place of a model: the champion as of each partition


@dataclass(frozen=True)
class AliasMove:
    """One move of an alias.

    ``improvement`` compares the model with the constant baseline on the rows of its gate. It is None without a gate.
    """

    alias: str
    version_before: str | None
    version_after: str
    effective_from: date
    moved_at: datetime
    reason: str
    person: str
    run_id: str
    improvement: float | None = None


def read_moves(lake: Lake, alias: str | None = None) -> list[AliasMove]:
    """Read the recorded moves of one alias, or of all, in the order in which they were made."""
    if not lake.exists(TABLE):
        return []
    rows = lake.scan(TABLE).to_pylist()
    moves = [AliasMove(effective_from=row.pop(PARTITION), **row) for row in rows]
    return sorted((m for m in moves if alias in (None, m.alias)), key=lambda move: (move.moved_at, move.alias))


def append_moves(lake: Lake, spec: PipelineSpec, moves: Sequence[AliasMove], provenance: Provenance) -> int:
    """Append the moves of one run in one commit, and return the snapshot's id.

    Raises:
        CommitConflictError: Other writers won every attempt. Nothing was recorded.
    """
    dataset = records.model_history(spec)
    entries = [{PARTITION: move.effective_from, **asdict(move)} for move in moves]
    for entry in entries:
        del entry["effective_from"]
    rows = pa.Table.from_pylist(entries, schema=dataset.arrow_schema())
    days = {move.effective_from for move in moves}
    # Each run has its own partition. So it replaces no other run's moves, and a repeated run records its moves once.
    return lake.publish(dataset, rows, days, provenance, {"run_id": provenance.run_id})


def in_effect(moves: Sequence[AliasMove], partition: date) -> AliasMove | None:
    """Return the move that decides an alias's version for a partition: the last one in effect by then."""
    return next((move for move in reversed(moves) if move.effective_from <= partition), None)


def at_clock(moves: Sequence[AliasMove], instant: datetime) -> AliasMove | None:
    """Return the last move made up to an instant, for any partition."""
    return next((move for move in reversed(moves) if move.moved_at <= instant), None)


def champions_as_of(lake: Lake, name: str, partitions: Partitions) -> list[tuple[Partitions, str]]:
    """Return the champion's version for each partition, as ranges in order.

    Raises:
        MissingInputError: naming the partitions before the first champion.
    """
    moves = read_moves(lake, CHAMPION)
    found = {day: in_effect(moves, day) for day in partitions}
    if before := [day for day, move in found.items() if move is None]:
        begins = f"its first is of {min(move.effective_from for move in moves)}" if moves else "it never had one"
        ranges = ", ".join(str(days) for days in as_ranges(before))
        raise MissingInputError(
            f"pipeline '{name}' had no champion as of {len(before)} of {len(partitions)} partitions: {ranges}; {begins}. "
            "Begin later, or name a model: champion, challenger or a version number."
        )
    return [
        (Partitions(days[0], days[-1]), version)
        for version, days in (
            (version, list(group))
            for version, group in groupby(partitions, key=lambda day: found[day].version_after)  # type: ignore[union-attr]
        )
    ]
