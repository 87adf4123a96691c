"""The input and the result of every stage. No stage's work belongs here."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from upath import UPath

from contrail.config.pipeline import Pipeline
from contrail.config.settings import Settings
from contrail.errors import InputsChangedError
from contrail.lake.lake import Lake
from contrail.lake.provenance import Provenance
from contrail.partitions import Partitions
from contrail.revision import code_hash, code_revision, lock_hash
from contrail.stages.fingerprint import MADE_OF, fingerprint
from contrail.stages.options import CutoffOptions, PersonOptions, StageOptions
from contrail.stages.results import Details, StageResult


def silent(_: str) -> None:
    """Progress that nobody wants to read."""


Options = TypeVar("Options", bound=StageOptions, covariant=True)


@dataclass(frozen=True)
class StageRun(Generic[Options]):
    """One run of one stage over one range of partitions.

    ``options`` are the stage's own, see ``contrail.stages.options``.
    ``progress`` takes one line for a person each time something worth knowing has happened.
    """

    stage: str
    pipeline: Pipeline
    partitions: Partitions
    settings: Settings
    lake: Lake
    run_id: str
    options: Options
    progress: Callable[[str], None] = silent
    started: float = field(default_factory=time.monotonic)

    @property
    def staging(self) -> UPath:
        """This run's own folder for rows that are not published yet."""
        return self.settings.staging / self.pipeline.name / f"{self.stage}-{self.run_id}"

    def partitions_of(self, table: str) -> Partitions | None:
        """The partitions of a landed table that this run covers; None when there are none.

        With the option ``as_of_cutoff``, a run for day D covers what is known at D's cut-off. That is partition D of a
        table known ahead, and partition D-1 of every other daily table. Without it, a run covers the same days of every
        table.
        """
        source = self.pipeline.spec.tables[table]
        if source.kind == "reference":
            return None
        as_of_cutoff = isinstance(self.options, CutoffOptions) and self.options.as_of_cutoff
        if not as_of_cutoff or source.known_ahead:
            return self.partitions
        shifted, first = self.partitions.shift(-1), self.pipeline.spec.first_partition
        return Partitions(max(shifted.start, first), shifted.end) if shifted.end >= first else None

    def provenance(self, inputs: Mapping[str, int | None], table: str = "", **extra: str) -> Provenance:
        """The provenance of a snapshot of this run; ``seconds`` counts from the run's start to this call.

        Args:
            inputs: The snapshot of each table that was read.
            table: The landed table that the snapshot is of, if it is of one.
            extra: What else the stage wants to keep.
        """
        made_of = fingerprint(self.stage, self.pipeline, self.settings, table)
        definition = {MADE_OF: made_of.text()} if made_of else {}
        backfill = {"backfill": self.options.backfill} if self.options.backfill else {}
        asked = self.options.person if isinstance(self.options, PersonOptions) else None
        person = {"person": asked} if asked else {}
        seconds = f"{time.monotonic() - self.started:.3f}"
        return Provenance(
            run_id=self.run_id,
            stage=self.stage,
            pipeline_hash=self.pipeline.hash,
            code_revision=code_revision(self.settings.project_path),
            lock_hash=lock_hash(self.settings.project_path),
            inputs=inputs,
            extra={"code_hash": code_hash(), "seconds": seconds, **definition, **backfill, **person, **extra},
        )

    def check_unchanged(self, table: str, snapshot: int | None, window: Partitions) -> None:
        """Refuse to publish what was made of rows that another run has replaced.

        Raises:
            InputsChangedError: when a partition of the window was replaced after this snapshot of the table was read.
        """
        if not self.lake.lineage(table).unchanged_since(snapshot, window):
            raise InputsChangedError(
                f"{self.pipeline.name}: {table} was published again for days of {window} while {self.stage} read it. "
                "Nothing was published; run it again."
            )

    def report_folder(self, kind: str) -> UPath:
        """Folder of this pipeline's reports of one kind, made when missing."""
        folder = self.settings.reports / self.pipeline.name / kind
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def result_of(
    run: StageRun[StageOptions],
    details: Details,
    *,
    rows: int = 0,
    quarantined: int = 0,
    unchanged: bool = False,
    snapshots: Mapping[str, int] | None = None,
    reports: Sequence[str] = (),
) -> StageResult[Details]:
    """The result of this run."""
    return StageResult(
        stage=run.stage,
        pipeline=run.pipeline.name,
        partitions=str(run.partitions),
        run_id=run.run_id,
        rows=rows,
        quarantined=quarantined,
        unchanged=unchanged,
        snapshots=snapshots or {},
        details=details,
        reports=tuple(reports),
    )
