"""Move the registry's aliases and record each move. Who may become champion is decided by promote, or by a person."""

from collections.abc import Sequence
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


def move_aliases(
    run: StageRun[PersonOptions],
    entry: VersionInfo,
    aliases: Sequence[str],
    effective_from: date,
    reason: str,
    improvement: float | None = None,
) -> list[AliasMove]:
    """Point aliases at a version, in this order, and append the moves to ``model_history``.

    An alias that is there already is left alone, unless a run that stopped half-way has not recorded its move.

    Args:
        run: Gives the run id, and the option ``person`` (default: the pipeline itself).
        entry: The version.
        aliases: For example challenger, then champion.
        effective_from: First partition that the version is meant for.
        reason: For a person who reads the history.
        improvement: What the version showed on the rows of its gate, over the constant baseline.
    """
    recorded = {move.alias: move.version_after for move in read_moves(run.lake)}
    moves = []
    for alias in aliases:
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
                effective_from=effective_from,
                moved_at=datetime.now(UTC),
                reason=reason,
                person=asked_by(run),
                run_id=run.run_id,
                improvement=improvement,
            )
        )
    if moves:
        append_moves(run.lake, run.pipeline.spec, moves, run.provenance({}))
    return moves
