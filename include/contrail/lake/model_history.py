"""Which version each alias pointed at, and since when: the lake's record of alias moves.

The registry knows only where an alias points now. Reading and appending the record belongs here; moving an alias does
not (``contrail.stages.alias_moves``).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime

import pyarrow as pa

from contrail.lake import datasets
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.lake.provenance import Provenance
from contrail.spec import PipelineSpec

TABLE = "model_history"


@dataclass(frozen=True)
class AliasMove:
    """An alias that moved. ``improvement`` over the constant baseline, on the rows of the gate; None without a gate."""

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
    """The recorded moves, of one alias or of all, in the order in which they were made."""
    if not lake.exists(TABLE):
        return []
    rows = lake.scan(TABLE).to_pylist()
    moves = [AliasMove(effective_from=row.pop(PARTITION), **row) for row in rows]
    return sorted((m for m in moves if alias in (None, m.alias)), key=lambda move: (move.moved_at, move.alias))


def append_moves(lake: Lake, spec: PipelineSpec, moves: Sequence[AliasMove], provenance: Provenance) -> int:
    """Append the moves of one run, in one commit; the snapshot.

    Raises:
        CommitConflictError: other writers won every attempt; nothing was recorded.
    """
    dataset = datasets.model_history(spec)
    entries = [{PARTITION: move.effective_from, **asdict(move)} for move in moves]
    for entry in entries:
        del entry["effective_from"]
    rows = pa.Table.from_pylist(entries, schema=dataset.arrow_schema())
    days = {move.effective_from for move in moves}
    # A run's own partition: nobody else's moves are replaced, and the same run again records them once.
    return lake.publish(dataset, rows, days, provenance, {"run_id": provenance.run_id})


def in_effect(moves: Sequence[AliasMove], partition: date) -> AliasMove | None:
    """The move that decides which version an alias means for a partition: the last of those that reach it."""
    return next((move for move in reversed(moves) if move.effective_from <= partition), None)


def at_clock(moves: Sequence[AliasMove], instant: datetime) -> AliasMove | None:
    """The last move made until an instant, whatever partitions it was for."""
    return next((move for move in reversed(moves) if move.moved_at <= instant), None)
