"""Plan a backfill: its partitions, what they hold already, its jobs, and how long they will take.

The plan comes from the lake's own provenance; planning writes nothing. A partition is not made again when it holds the
result of the same inputs, model and definition, as ``contrail.stages.staleness`` finds. So a killed backfill continues
where it stopped.
"""

from dataclasses import replace
from datetime import date
from functools import cached_property
from itertools import chain

import pyarrow as pa

from contrail.adapters.registry import RegisteredModel
from contrail.config.pipeline import Pipeline
from contrail.config.settings import Settings
from contrail.lake import datasets
from contrail.lake.lake import Lake
from contrail.lake.lineage import Commit, Lineage
from contrail.lake.model_history import AS_OF
from contrail.lake.readers import PartitionState
from contrail.operations.backfill_estimate import Estimate, cost, estimate
from contrail.operations.backfill_plan import NEW, REPLACE, SAME, PartitionPlan, Plan, StagePlan, known_sum
from contrail.operations.backfill_request import TABLES, Request
from contrail.operations.difference import compare, compared_columns
from contrail.operations.scored_versions import scored_versions
from contrail.partitions import Partitions
from contrail.reports.backfill_record import SampledChanges
from contrail.stages import RANGE_STAGES, WITH_MODEL, features, score
from contrail.stages.staleness import EXPIRED, NOTHING, Staleness
from contrail.stages.tables import tables_of

# Stages before features change what features read. Their result is unknown until they have run.
_LANDING = ("ingest", "validate")
# Days of a backfill that its plan scores. They take seconds, whatever the range.
_SAMPLED_DAYS = 3


def make_plan(pipeline: Pipeline, settings: Settings, lake: Lake, request: Request) -> Plan:
    """Plan a backfill from what the lake holds now. Days whose older history is lost are made again.

    Raises:
        MissingInputError: when an input of a stage is missing and no stage of the backfill makes it.
        SpecError: when the model does not fit the pipeline as it is now.
    """
    found = _Planner(pipeline, settings, lake, request)
    stages = [found.plan(stage) for stage in RANGE_STAGES if stage in request.stages]
    versions = [(days, model.version) for days, model in found.models]
    pinned = AS_OF if request.model == AS_OF else (versions[0][1] if versions else "")
    paid = cost(settings, pipeline.name, {stage.stage: stage.jobs for stage in stages})
    return Plan(pipeline.name, request, pinned if versions else "", versions, stages, paid, tuple(found.lost))


class _Planner:
    """The tables as they are now, each read once."""

    def __init__(self, pipeline: Pipeline, settings: Settings, lake: Lake, request: Request) -> None:
        self.pipeline, self.spec = pipeline, pipeline.spec
        self.settings, self.lake, self.request = settings, lake, request
        self.lost: dict[str, None] = {}  # in their order
        self.staleness = Staleness(pipeline, lake, lambda error: self.lost.update({str(error): None}))
        self._features_done: set[date] = set()
        # Tables whose columns the stage will change first. Until then they cannot be read by the spec's names.
        self._pending: list[str] = []

    @cached_property
    def models(self) -> list[tuple[Partitions, RegisteredModel]]:
        if WITH_MODEL.isdisjoint(self.request.stages):
            return []
        return score.models_of(self.pipeline, self.settings, self.lake, self.request.partitions, self.request.model)

    @property
    def _lands(self) -> bool:
        """Whether the backfill makes the inputs of features itself."""
        return bool(set(_LANDING) & set(self.request.stages))

    @cached_property
    def entities(self) -> dict[date, PartitionState]:
        return self.lake.partitions(f"validated_{self.spec.entities}", self.request.partitions)

    def lineage(self, table: str) -> Lineage:
        return self.staleness.lineage(table)

    def plan(self, stage: str) -> StagePlan:
        if stage not in TABLES:
            jobs = self._range_jobs(stage)
            return StagePlan(stage, [], jobs, Estimate(None, "the whole range; the stage finds out what it must do"))
        self._check(stage)
        self._pending = [dataset.name for dataset in tables_of(stage, self.spec) if not self.lake.follows(dataset)]
        partitions = [self._partition(stage, day) for day in self.request.partitions]
        jobs = self.request.jobs(
            (one.day for one in partitions if one.action != SAME), self.settings.backfill_chunk_days
        )
        partitions = [_inside(one, jobs) for one in partitions]
        if stage == "features":
            self._features_done = {one.day for one in partitions if one.action != SAME}
        rows = [known_sum(one.rows for one in partitions if one.day in job) for job in jobs]
        sample = self._sample(partitions) if stage == "score" else None
        return StagePlan(stage, partitions, jobs, estimate(self.lineage(TABLES[stage]), stage, rows), sample)

    def _sample(self, partitions: list[PartitionPlan]) -> SampledChanges | None:
        """Score a few of the days that would be replaced, and compare."""
        certain = [
            p.day for p in partitions if p.action == REPLACE and p.published and p.day not in self._features_done
        ]
        if self._lands or self._pending or not certain:
            return None
        days = sorted({certain[round(i * (len(certain) - 1) / (_SAMPLED_DAYS - 1))] for i in range(_SAMPLED_DAYS)})
        dataset = datasets.predictions(self.spec)
        names = compared_columns(self.spec, dataset)
        ranges = [Partitions(day, day) for day in days]
        old = [self.lake.batches(dataset.name, one, names) for one in ranges]
        before = pa.RecordBatchReader.from_batches(old[0].schema, chain.from_iterable(old))
        total = compare(self.settings, self.spec, dataset, before, self._would_be(ranges, names)).total
        return SampledChanges(days=tuple(map(str, days)), **total.as_dict())

    def _would_be(self, days: list[Partitions], names: list[str]) -> pa.RecordBatchReader:
        """Score days with their models, a batch at a time."""
        models = [next(model for range_, model in self.models if one.start in range_) for one in days]
        scored = chain.from_iterable(
            score.outcomes(self.spec, self.lake, model, one) for one, model in zip(days, models, strict=True)
        )
        parts = (part.select(names) for part in scored)
        first = next(parts)
        batches = (batch for part in chain([first], parts) for batch in part.to_batches())
        return pa.RecordBatchReader.from_batches(first.schema, batches)

    def _range_jobs(self, stage: str) -> list[Partitions]:
        """The jobs of a stage that takes the range as it is. Drift measures each part against that part's own model."""
        return [days for days, _ in self.models] if stage == "drift" else [self.request.partitions]

    def _check(self, stage: str) -> None:
        """Refuse what the stage would refuse, before anything has run."""
        if self._lands:
            return
        if stage == "features":
            features.check_entities(self.pipeline, self.lake, self.request.partitions)
        elif "features" not in self.request.stages:
            score.check_features(self.pipeline, self.lake, self.request.partitions)

    def _partition(self, stage: str, day: date) -> PartitionPlan:
        table = TABLES[stage]
        states = self.states[table]
        published = states[day].rows if day in states else 0
        rows = self.entities[day].rows if day in self.entities else None if self._lands else 0
        maker = self.lineage(table).maker(day)
        if maker is None and day not in states:
            return PartitionPlan(day, rows, 0, NEW, NOTHING)
        why = self._why(stage, day, maker)
        version = self.versions.get(day, "") if stage == "score" else ""
        run = maker.provenance.run_id if maker else ""
        action, why = (REPLACE, why) if why else (SAME, "holds exactly this")
        return PartitionPlan(day, rows, published, action, why, version, run)

    @cached_property
    def states(self) -> dict[str, dict[date, PartitionState]]:
        return {table: self.lake.partitions(table, self.request.partitions) for table in TABLES.values()}

    def _why(self, stage: str, day: date, maker: Commit | None) -> str:
        """Why a partition must be made again; empty when it holds exactly what this backfill would make."""
        if maker is None:
            return EXPIRED
        if why := self.staleness.defined_anew(stage, maker.provenance):
            return why
        if stage == "features" and self._lands:
            return "its inputs are made first"
        if day in self._features_done:
            return "its features are made first"
        changed = self._model_changed(day, maker) if stage == "score" else ""
        return changed or self.staleness.own(stage, day).why

    def _model_changed(self, day: date, maker: Commit) -> str:
        model = next(model for days, model in self.models if day in days)
        made_with = dict(
            zip(
                *(maker.provenance.extra.get(key, "").split(",") for key in ("model_version", "model_sha256")),
                strict=False,
            )
        )
        before = self.versions.get(day)
        if before != model.version:
            return f"version {before} → {model.version}" if before else f"version {model.version}"
        if made_with.get(model.version) != model.package.card.sha256["model.ubj"]:
            return f"version {model.version} is another model now"
        return ""

    @cached_property
    def versions(self) -> dict[date, str]:
        """The model version of each published partition, from its rows."""
        return scored_versions(self.lake, self.request.partitions)


def _inside(one: PartitionPlan, jobs: list[Partitions]) -> PartitionPlan:
    """A partition that holds the result but lies inside a job is made again with it."""
    if one.action != SAME or not any(one.day in job for job in jobs):
        return one
    return replace(one, action=REPLACE, why="lies between others of the job")
