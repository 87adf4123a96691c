"""Move the registry's aliases and record each move. Promote, or a person, decides who may become champion."""

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
    """Who requested the work of a run."""
    return run.options.person or PIPELINE


@dataclass(frozen=True)
class AliasChange:
    """A version at which aliases will point.

    ``aliases`` move in this order, for example challenger, then champion. ``effective_from`` is the first partition
    that the version is meant for. ``reason`` is for a person who reads the history. ``improvement`` is the version's
    improvement over the constant baseline on the rows of its gate. It is None without a passed gate.
    """

    entry: VersionInfo
    aliases: Sequence[str]
    effective_from: date
    reason: str
    improvement: float | None = None


def move_aliases(run: StageRun[PersonOptions], change: AliasChange) -> list[AliasMove]:
    """Point aliases at a version, in their order, and append the moves to ``model_history``.

    An alias that points there already stays as it is. If an interrupted run did not record its move, this run does.
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
