"""Move the registry's aliases and record each move. Who may become champion is decided by promote, or by a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from contrail.adapters import registry
from contrail.adapters.registry import VersionInfo
from contrail.lake.model_history import AliasMove, append_moves, read_moves
from contrail.stages.base import StageRun
from contrail.stages.options import PersonOptions

PIPELINE = "pipeline"


def asked_by(run: StageRun[PersonOptions]) -> str:
    """Who asked for what a run does."""
    return run.options.person or PIPELINE


@dataclass(frozen=True)
class AliasChange:
    """A version that aliases are to point at.

    ``aliases`` move in this order, for example challenger, then champion. ``effective_from`` is the first partition that
    the version is meant for. ``reason`` is for a person who reads the history. ``improvement`` is what the version showed
    on the rows of its gate, over the constant baseline; None where no gate was passed.
    """

    entry: VersionInfo
    aliases: Sequence[str]
    effective_from: date
    reason: str
    improvement: float | None = None


def move_aliases(run: StageRun[PersonOptions], change: AliasChange) -> list[AliasMove]:
    """Point aliases at a version, in their order, and append the moves to ``model_history``.

    An alias that is there already is left alone, unless a run that stopped half-way has not recorded its move.
    """
    entry = change.entry
    recorded = {move.alias: move.version_after for move in read_moves(run.lake)}
    moves = []
    for alias in change.aliases:
        before = registry.alias_version(run.settings, entry.name, alias)
        if before == recorded.get(alias) == entry.version:
            continue
        if before == entry.version:
            before = recorded.get(alias)
        registry.set_alias(run.settings, entry, alias)
        moves.append(
            AliasMove(
                alias=alias,
                version_before=before,
                version_after=entry.version,
                effective_from=change.effective_from,
                moved_at=datetime.now(UTC),
                reason=change.reason,
                person=asked_by(run),
                run_id=run.run_id,
                improvement=change.improvement,
            )
        )
    if moves:
        append_moves(run.lake, run.pipeline.spec, moves, run.provenance({}))
    return moves
