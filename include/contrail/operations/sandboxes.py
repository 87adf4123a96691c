"""What a person does with sandboxes from outside: list them, compare them with what they began with, apply, and drop.

How a sandbox begins belongs to ``contrail.stages.sandboxed``.
"""

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

from contrail.adapters import registry, sandbox_models
from contrail.config.pipeline import Pipeline
from contrail.config.settings import Settings
from contrail.config.validation_errors import parse_json
from contrail.errors import DataError, SpecError
from contrail.files import remove_folder
from contrail.frozen import Frozen
from contrail.lake import sandbox_records, sandboxes
from contrail.lake.lake import Lake
from contrail.lake.sandbox_records import Sandbox
from contrail.methods.decision_record import REQUEST, TrainingRequest
from contrail.operations.backfill import Backfills
from contrail.operations.backfill_plan import Plan
from contrail.operations.backfill_request import TABLES, Request
from contrail.operations.difference import difference
from contrail.partitions import Partitions
from contrail.reports.backfill_record import Difference
from contrail.revision import code_revision, uncommitted
from contrail.stages import WITH_MODEL
from contrail.stages.base import silent

_DIRTY, _UNKNOWN = "+dirty", "unknown"


class SandboxLine(Frozen):
    """A sandbox of one pipeline, as a list shows it.

    ``bytes`` counts the files of the whole sandbox that are its own. ``unfinished`` has no record: dropping it was stopped,
    or making it. ``damaged`` are the tables that cannot be read, or why nothing can.
    """

    name: str
    pipeline: str
    made_at: str = ""
    made_by: str = ""
    revision: str = ""
    pinned: dict[str, int | None] = {}  # noqa: RUF012 - a frozen model copies it
    changed: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    bytes: int = 0
    unfinished: bool = False


class SandboxWork(Frozen):
    """What a sandbox has recomputed, and by what.

    Attributes:
        stages: Those whose rows differ from the pinned ones.
        days: The days of these rows.
        different: What is not as it was when the sandbox was made: the pipeline's folder, or the code.
        versions: Model versions that were trained in it, each with the command that trains its like in the main lake.
    """

    stages: tuple[str, ...]
    days: tuple[date, ...]
    different: tuple[str, ...]
    versions: dict[str, str]

    @property
    def range(self) -> Partitions | None:
        """From the first to the last of the days."""
        return Partitions(min(self.days), max(self.days)) if self.days else None


@dataclass(frozen=True)
class Inside:
    """A sandbox of a pipeline, seen from the main lake."""

    pipeline: Pipeline
    record: Sandbox
    lake: Lake

    @classmethod
    def of(cls, main: Settings, pipeline: Pipeline, name: str) -> "Inside":
        """Find a sandbox.

        Raises:
            MissingInputError: naming the sandboxes that there are.
        """
        settings = main.inside(name)
        sandbox_records.check(settings, pipeline.name)
        record = sandbox_records.find(settings, pipeline.name)
        assert record is not None
        return cls(pipeline, record, Lake(settings, pipeline.name))

    def work(self) -> SandboxWork:
        """What it has recomputed since it was made, as its tables say."""
        days = {stage: set(self._days(table)) for stage, table in TABLES.items()}
        stages = tuple(stage for stage, own in days.items() if own)
        return SandboxWork(
            stages=stages,
            days=tuple(sorted(set().union(*days.values()))),
            different=tuple(self._different(stages)),
            versions=self.versions(),
        )

    def versions(self) -> dict[str, str]:
        """The model versions that were trained here, each with the command for the main lake."""
        found = registry.versions(self.lake.settings, self.pipeline.name)
        return {one.version: self._training(one) for one in found if int(one.version) > self.record.versions}

    def _training(self, version: registry.VersionInfo) -> str:
        window = Partitions.from_text(version.tags["training_window"])
        asked = parse_json(TrainingRequest, version.tags[REQUEST], f"the tag {REQUEST}")
        values = [f" --set {shlex.quote(f'{name}={json.dumps(value)}')}" for name, value in asked.parameters.items()]
        return f"contrail train -p {self.pipeline.name} --from {window.start} --to {window.end}{''.join(values)}"

    def _days(self, table: str) -> Iterator[date]:
        """The days of a table with files that the pinned snapshot does not have."""
        pinned = self.record.snapshots.get(table)
        before = self.lake.made_of(table, None, pinned) if pinned else {}
        now = self.lake.made_of(table) if self.lake.exists(table) else {}
        yield from (day for day in before.keys() | now.keys() if before.get(day) != now.get(day))

    def _different(self, stages: tuple[str, ...]) -> Iterator[str]:
        if self.pipeline.hash != self.record.pipeline_hash:
            yield f"the pipeline's folder: {self.record.pipeline_hash[:12]} → {self.pipeline.hash[:12]}"
        revision = code_revision(self.lake.settings.project_path)
        if revision != self.record.code_revision:
            yield f"the code: {self.record.code_revision[:20]} → {revision[:20]}"
        for stage in stages:
            made_with = next((one.provenance.pipeline_hash for one in self.lake.lineage(TABLES[stage]).commits), "")
            if made_with != self.pipeline.hash:
                yield f"{stage} ran here with another folder of the pipeline ({made_with[:12]}) than there is now"

    def compare(self) -> Difference:
        """The features and predictions of the days that it recomputed, against those that it began with.

        Raises:
            MissingInputError: if a pinned snapshot is gone, because a person in it was forgotten.
        """
        work = self.work()
        if work.range is None:
            return Difference()
        after = {TABLES[stage]: self.lake.snapshot_id(TABLES[stage]) for stage in work.stages}
        before = {table: self.record.snapshots.get(table) for table in after}
        return difference(self.lake, self.pipeline.spec, work.range, before, after)

    def plan(self, main: Backfills, model: str) -> Plan | None:
        """What the main lake would recompute with the code that is here now: the days that the sandbox recomputed.

        No row is copied from the sandbox. None: it has recomputed nothing that a backfill could.

        Raises:
            SpecError: for a model, where the sandbox has not scored.
        """
        work = self.work()
        if work.range is None:
            return None
        if model != registry.CHAMPION and WITH_MODEL.isdisjoint(work.stages):
            raise SpecError(
                f"--model {model}: this sandbox recomputed only {' and '.join(work.stages)}, which takes no model. Nothing was "
                "changed. Give the same command without --model"
            )
        return main.plan(Request(work.range, work.stages, model))


def check_committed(settings: Settings, pipeline: Pipeline) -> None:
    """Refuse to apply code that no commit has: nobody could say later what the main lake was made of.

    Raises:
        SpecError: with what to do.
    """
    revision, own = code_revision(settings.project_path), uncommitted(pipeline.folder)
    if revision.endswith(_DIRTY) or revision == _UNKNOWN or own:
        what = f": {', '.join(own)}" if own else f" ({revision})"
        raise SpecError(
            f"the code here is of no commit{what}. So a sandbox cannot be applied, and nothing was changed. Commit it with git, "
            "and give the same command again"
        )


def listed(main: Settings) -> list[SandboxLine]:
    """Every sandbox, also a damaged one, and what is left of one that was half made or dropped."""
    whole = sandbox_records.names(main)
    found = [_line(main, *one) for one in whole]
    left = {name for name, _ in sandboxes.names_in_catalog(main)} | sandboxes.names_in_folders(main)
    found += [SandboxLine(name=name, pipeline="", unfinished=True) for name in left - {name for name, _ in whole}]
    return sorted(found, key=lambda one: (one.name, one.pipeline))


def _line(main: Settings, name: str, pipeline: str) -> SandboxLine:
    own = main.inside(name)
    try:
        record = sandbox_records.find(own, pipeline)
        changed, damaged = sandboxes.changed(Lake(own, pipeline), record) if record else ([], [])
    except DataError as error:
        return SandboxLine(name=name, pipeline=pipeline, damaged=(str(error).splitlines()[0],))
    if record is None:  # dropped just now
        return SandboxLine(name=name, pipeline=pipeline, unfinished=True)
    versions = [one.version for one in registry.versions(own, pipeline)]
    return SandboxLine(
        name=name,
        pipeline=pipeline,
        made_at=record.made_at.isoformat(timespec="seconds"),
        made_by=record.made_by,
        revision=record.code_revision,
        pinned=record.snapshots,
        changed=tuple(changed),
        damaged=tuple(damaged),
        versions=tuple(version for version in versions if int(version) > record.versions),
        bytes=sandboxes.own_bytes(main, name),
    )


def drop(main: Settings, name: str, progress: Callable[[str], None] = silent) -> tuple[str, ...]:
    """Remove a sandbox, in all pipelines: its records first, then all that is its own. Again is harmless.

    Files of the main lake stay, whoever refers to them.

    Returns:
        The pipelines that it was of.

    Raises:
        SpecError: for a name that is no sandbox's, before anything is removed.
        MissingInputError: when there is no such sandbox, nor anything left of one.
        EngineError: when the catalog or MLflow does not answer. The same command goes on.
    """
    own, folders = main.inside(name), sandboxes.removable(main, name)
    known = {*sandbox_records.names(main), *sandboxes.names_in_catalog(main)}
    pipelines = sorted(pipeline for sandbox, pipeline in known if sandbox == name)
    if not pipelines and not folders:
        raise sandbox_records.absent(main, name)
    for pipeline in pipelines:
        sandbox_records.remove(own, pipeline)
    for pipeline in pipelines:
        progress(f"models of {pipeline}")
        sandbox_models.drop(own, pipeline)
    progress("tables")
    sandboxes.drop(main, name)
    for folder in folders:
        remove_folder(folder)
    return tuple(pipelines)
