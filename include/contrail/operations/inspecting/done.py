"""What inspections of a version have done so far, as JSON beside the pipeline's reports: refits, and what builds cost.

It sums losses by day and quotes no row. A second call reads it, also after a kill.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from upath import UPath

from contrail.config.validation_errors import parse_json
from contrail.errors import DataError
from contrail.files import write_whole
from contrail.frozen import Frozen
from contrail.operations.inspecting.build_costs import BuildCosts
from contrail.operations.inspecting.refits import Refit
from contrail.operations.inspecting.subject import Sample, Subject
from contrail.stages.fingerprint import fingerprint

FOLDER = "inspections"


class DoneParts(Frozen):
    """``of`` identifies the model and the rows that refits were judged on; ``costs_of`` the definition that was timed."""

    format: int = 1
    of: str = ""
    refits: tuple[Refit, ...] = ()
    missing_trained: tuple[float, ...] = ()
    costs_of: str = ""
    costs: BuildCosts | None = None


@dataclass
class Done:
    """The parts of an inspection, each written as soon as it is there."""

    path: UPath
    of: str
    costs_of: str
    parts: DoneParts = field(default_factory=DoneParts)

    @classmethod
    def read(cls, subject: Subject, sample: Sample, again: bool) -> "Done":
        """Read what was done for the same question; nothing where ``again`` is set, or the file is damaged."""
        settings, name = subject.lake.settings, subject.pipeline.name
        path = settings.reports / name / FOLDER / f"v{subject.model.version}.json"
        made_of = fingerprint("features", subject.pipeline, settings)
        timed = f"{made_of.text() if made_of else ''} {sample.days[-1]} {settings.engine.kind}"
        found = cls(path, _identity(subject, sample), hashlib.sha256(timed.encode()).hexdigest())
        kept = _parts(path) if path.exists() and not again else DoneParts()
        if kept.of != found.of:
            kept = kept.model_copy(update={"of": found.of, "refits": (), "missing_trained": ()})
        if kept.costs_of != found.costs_of:
            kept = kept.model_copy(update={"costs_of": found.costs_of, "costs": None})
        found.parts = kept
        return found

    def keep_refits(self, refits: Sequence[Refit]) -> None:
        """Keep all refits so far."""
        self._keep(refits=tuple(refits))

    def keep_missing(self, shares: Sequence[float]) -> None:
        """Keep the shares of training rows without a value."""
        self._keep(missing_trained=tuple(shares))

    def keep_costs(self, costs: BuildCosts) -> None:
        """Keep what builds cost."""
        self._keep(costs=costs)

    def _keep(self, **parts: object) -> None:
        self.parts = self.parts.model_copy(update=parts)
        write_whole(self.path, (self.parts.model_dump_json(indent=1) + "\n").encode())


def _parts(path: UPath) -> DoneParts:
    """What the file has. Everything in it can be measured again, so a damaged one is as good as none."""
    try:
        return parse_json(DoneParts, path.read_text(encoding="utf-8", errors="replace"), str(path))
    except DataError:
        return DoneParts()


def _identity(subject: Subject, sample: Sample) -> str:
    """What the losses of trees depend on: the model's record, where its scores start, and the rows that judge."""
    digest = hashlib.sha256(subject.record.model_dump_json().encode())
    if offset := subject.package.card.offset:
        digest.update(offset.model_dump_json().encode())
    for part in (sample.matrix, sample.labels, sample.judged.rows):
        digest.update(part.tobytes())
    digest.update(",".join(subject.names).encode())
    return digest.hexdigest()
