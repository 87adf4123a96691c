"""All that was recorded of a model version, as a model card needs it. Reading the records belongs to the stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from contrail.config.spec import PipelineSpec
from contrail.lake.model_history import CHAMPION, AliasMove
from contrail.methods.decision_record import DecisionRecord, TrainingRequest
from contrail.methods.energy import TrainingCost
from contrail.methods.findings import Findings
from contrail.methods.model_package import ModelCard


@dataclass(frozen=True)
class CardRecords:
    """The records of one version.

    ``card`` and ``findings`` are those of its training; a version from before Contrail had model cards has no findings.
    ``importance`` has each feature's share of the gain. ``moves`` are all moves of the pipeline's aliases, oldest first.
    ``decision_lost`` says why a decision that was made cannot be read. ``landed_md5`` is the hash of the landed files.
    ``spec`` is the pipeline as it is now, for what an old version does not tell.
    """

    name: str
    version: str
    made_at: datetime | None
    run_id: str
    card: ModelCard
    findings: Findings | None
    importance: Mapping[str, float]
    request: TrainingRequest | None
    decision: DecisionRecord | None
    decision_lost: str
    moves: tuple[AliasMove, ...]
    cost: TrainingCost | None
    landed_md5: str
    spec: PipelineSpec

    @property
    def title(self) -> str:
        """What people call the pipeline, as it was at the training."""
        return self.findings.title if self.findings else self.spec.title

    @property
    def own_moves(self) -> tuple[AliasMove, ...]:
        """The moves that this version gained or lost an alias by."""
        return tuple(move for move in self.moves if self.version in (move.version_before, move.version_after))

    @property
    def champion_since(self) -> date | None:
        """The first partition that it is champion for now; None when it is not champion."""
        last = [move for move in self.moves if move.alias == CHAMPION][-1:]
        return last[0].effective_from if last and last[0].version_after == self.version else None

    @property
    def was_champion(self) -> bool:
        """Whether it ever was champion."""
        return any(move.alias == CHAMPION and move.version_after == self.version for move in self.moves)
