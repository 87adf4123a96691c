"""What a backfill would do: its partitions, what is there already, its jobs, and how long they will take.

Everything is read from the lake's own provenance; nothing is computed or written. A partition that holds the result of
exactly this (the same inputs, model, pipeline files, code and libraries) is not done again: that is also how a backfill
that was killed goes on where it stopped.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from typing import Any, Literal

import pyarrow as pa

from contrail.adapters.registry import CHAMPION, RegisteredModel
from contrail.config.pipeline import Pipeline
from contrail.config.settings import Settings
from contrail.config.targets import LocalTarget, SparkTarget
from contrail.dispatch import budget
from contrail.dispatch.receipts import Receipts, utc_now
from contrail.errors import SpecError
from contrail.lake import datasets
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.lake.lineage import Commit, Lineage
from contrail.lake.model_history import AS_OF
from contrail.lake.readers import PartitionState
from contrail.methods.cost import so_many
from contrail.operations.difference import compare, compared_columns
from contrail.partitions import Partitions
from contrail.revision import code_hash, lock_hash
from contrail.stages import RANGE_STAGES, features, score

Publish = Literal["whole", "chunk", "partition"]
PUBLISH: tuple[Publish, ...] = ("whole", "chunk", "partition")
TABLES = {"features": "features", "score": "predictions"}
NEW, REPLACE, SAME = "new", "replace", "same"
HERE = "0 on this machine"
# Stages before features change what features read, so what they would leave is not known before they have run.
_LANDING = ("ingest", "validate")
# So many days of a backfill are scored for its plan: seconds, whatever its range.
_SAMPLED_DAYS = 3
_HASHES = {
    "pipeline_hash": "the pipeline's files have changed",
    "code_hash": "Contrail's code has changed",
    "lock_hash": "the libraries have changed",
}


@dataclass(frozen=True)
class Request:
    """A backfill as it was asked for.

    ``publish``: ``whole`` makes the range one job and one commit a table; ``chunk`` makes jobs of ``chunk_days``
    partitions with a commit each; ``partition`` makes the same jobs with a commit a partition.

    Raises:
        SpecError: for a stage that works on no range, an unknown way to publish, or chunks of a whole.
    """

    partitions: Partitions
    stages: tuple[str, ...] = ("features", "score")
    model: str = CHAMPION
    publish: str = "whole"
    chunk_days: int | None = None

    def __post_init__(self) -> None:
        if unknown := [stage for stage in self.stages if stage not in RANGE_STAGES]:
            raise SpecError(f"--stages {','.join(unknown)}: no such stages of a range; use {', '.join(RANGE_STAGES)}")
        if not self.stages:
            raise SpecError(f"--stages is empty: name one or more of {', '.join(RANGE_STAGES)}")
        if self.publish not in PUBLISH:
            raise SpecError(f"--publish {self.publish}: use one of {', '.join(PUBLISH)}")
        if self.chunk_days is not None and self.publish == "whole":
            raise SpecError("--chunk-days needs --publish chunk or partition: whole is one job and one commit")
        if self.chunk_days is not None and self.chunk_days < 1:
            raise SpecError(f"--chunk-days {self.chunk_days}: a chunk has at least one partition")

    def jobs(self, days: Iterable[date], chunk_days: int) -> list[Partitions]:
        """The fewest jobs that cover these days; ``chunk_days`` is the environment's, when none was asked for."""
        wanted = sorted(days)
        if not wanted:
            return []
        if self.publish == "whole":
            return [Partitions(wanted[0], wanted[-1])]
        size = self.chunk_days or chunk_days
        # Chunks are counted from the range's start, so that a second run has the same ones.
        chunks: dict[int, list[date]] = {}
        for day in wanted:
            chunks.setdefault((day - self.partitions.start).days // size, []).append(day)
        return [Partitions(chunk[0], chunk[-1]) for chunk in chunks.values()]


@dataclass(frozen=True)
class PartitionPlan:
    """One partition of one stage: rows that it will have, rows that are published, what is done and why.

    ``rows`` is None where the backfill's own earlier stages decide it.
    ``version`` and ``run`` made what is published; empty where there is nothing, or no model, or it is not known.
    """

    day: date
    rows: int | None
    published: int
    action: str
    why: str
    version: str = ""
    run: str = ""


@dataclass(frozen=True)
class Estimate:
    """Seconds of the jobs, and the earlier run that they are reckoned from; no seconds without one."""

    seconds: float | None
    basis: str


@dataclass(frozen=True)
class StagePlan:
    """One stage: its partitions, none for a stage that takes the range as it is, and its jobs.

    ``sample`` compares some of the partitions as they would become with what is published; None where the backfill's
    own earlier stages decide it, or nothing is published yet.
    """

    stage: str
    partitions: list[PartitionPlan]
    jobs: list[Partitions]
    estimate: Estimate
    sample: dict[str, Any] | None = None

    def groups(self) -> list[tuple[Partitions, list[PartitionPlan]]]:
        """Neighbouring partitions that meet the same fate, as ranges."""
        found: list[tuple[Partitions, list[PartitionPlan]]] = []
        for one in self.partitions:
            same = found and _fate(found[-1][1][-1]) == _fate(one)
            if same and found[-1][0].end + timedelta(days=1) == one.day:
                found[-1] = (Partitions(found[-1][0].start, one.day), [*found[-1][1], one])
            else:
                found.append((Partitions(one.day, one.day), [one]))
        return found

    def as_dict(self) -> dict[str, Any]:
        """The plan of the stage as plain values."""
        return {
            "stage": self.stage,
            "jobs": [str(job) for job in self.jobs],
            "partitions": [
                {
                    "partitions": str(days),
                    "days": len(days),
                    "rows": _sum(one.rows for one in group),
                    "published": sum(one.published for one in group),
                    "action": group[0].action,
                    "why": group[0].why,
                    "version": group[0].version,
                    "runs": sorted({one.run for one in group if one.run}),
                }
                for days, group in self.groups()
            ],
            "estimated_seconds": self.estimate.seconds,
            "estimated_from": self.estimate.basis,
        }


def _fate(one: PartitionPlan) -> tuple[str, str, str]:
    return one.action, one.why, one.version


@dataclass(frozen=True)
class Plan:
    """A backfill before it runs. ``model`` is pinned: a version, or ``as-of``; empty when no stage needs one.

    ``cost`` says what its DAG will pay for stages that run elsewhere, from their history.
    """

    pipeline: str
    request: Request
    model: str
    models: list[tuple[Partitions, str]]
    stages: list[StagePlan]
    cost: str = HERE

    @property
    def nothing_to_do(self) -> bool:
        """Whether every partition already holds the result."""
        return not any(stage.jobs for stage in self.stages)

    @property
    def seconds(self) -> float | None:
        """Estimated seconds of all jobs; None when one of the stages has no history."""
        parts = [stage.estimate.seconds for stage in self.stages if stage.jobs]
        return None if None in parts else round(sum(part for part in parts if part is not None), 1)

    @property
    def expected(self) -> dict[str, dict[str, Any]]:
        """Per table, the rows that will be new and the rows that will be there no more; None: not known yet.

        ``sample`` has the shift of the scores, as ``contrail.operations.difference`` gives it, on some of the partitions.
        """
        found: dict[str, dict[str, Any]] = {}
        for stage in self.stages:
            changed = [one for one in stage.partitions if one.action != SAME]
            changes = [None if one.rows is None else one.rows - one.published for one in changed]
            if stage.partitions:
                more = _sum(None if change is None else max(change, 0) for change in changes)
                fewer = _sum(None if change is None else max(-change, 0) for change in changes)
                found[TABLES[stage.stage]] = {"more_rows": more, "fewer_rows": fewer, "sample": stage.sample}
        return found

    def as_dict(self) -> dict[str, Any]:
        """The plan as plain values, for JSON."""
        seconds = self.seconds
        return {
            "pipeline": self.pipeline,
            "partitions": str(self.request.partitions),
            "days": len(self.request.partitions),
            "publish": self.request.publish,
            "model": self.model,
            "models": [{"partitions": str(days), "version": version} for days, version in self.models],
            "stages": [stage.as_dict() for stage in self.stages],
            "nothing_to_do": self.nothing_to_do,
            "expected_difference": self.expected,
            "estimated_minutes": None if seconds is None else round(seconds / 60, 2),
            "cost": self.cost,
        }


def _sum(values: Iterable[int | None]) -> int | None:
    """The sum; None when a part is not known."""
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def make_plan(pipeline: Pipeline, settings: Settings, lake: Lake, request: Request) -> Plan:
    """Look at what is there and say what a backfill would do.

    Raises:
        MissingInputError: when an input of a stage is missing and no stage of the backfill makes it.
        SpecError: when the model does not fit the pipeline as it is now.
    """
    found = _Planner(pipeline, settings, lake, request)
    stages = [found.plan(stage) for stage in RANGE_STAGES if stage in request.stages]
    versions = [(days, model.version) for days, model in found.models]
    pinned = AS_OF if request.model == AS_OF else (versions[0][1] if versions else "")
    cost = _cost(settings, pipeline.name, stages)
    return Plan(pipeline.name, request, pinned if versions else "", versions, stages, cost)


def _cost(settings: Settings, pipeline: str, stages: list[StagePlan]) -> str:
    """What each stage costs on its target, where each job of a table's stage is a job, and other stages are one."""
    receipts, found = Receipts.of(settings, pipeline), []
    for stage in stages:
        name, jobs = settings.dispatch.target_name(pipeline, stage.stage), [len(job) for job in stage.jobs]
        if not jobs or isinstance(settings.dispatch.target_of(pipeline, stage.stage), LocalTarget | SparkTarget):
            continue
        if receipts is None:
            found.append(f"{stage.stage} on {name}: the environment has no price table")
            continue
        for days, number in Counter(jobs if stage.stage in TABLES else [sum(jobs)]).items():
            each = f"{number} jobs of {so_many(days, 'day')}, each " if number > 1 else ""
            found.append(f"{stage.stage} on {name}: {each}{budget.expected(receipts, stage.stage, days, utc_now())}")
    return "; ".join(found) or HERE


class _Planner:
    """The tables as they are now, each read once."""

    def __init__(self, pipeline: Pipeline, settings: Settings, lake: Lake, request: Request) -> None:
        self.pipeline, self.spec = pipeline, pipeline.spec
        self.settings, self.lake, self.request = settings, lake, request
        self._lineages: dict[str, Lineage] = {}
        self._features_done: set[date] = set()

    @cached_property
    def models(self) -> list[tuple[Partitions, RegisteredModel]]:
        if not {"score", "drift"} & set(self.request.stages):
            return []
        return score.models_of(self.pipeline, self.settings, self.lake, self.request.partitions, self.request.model)

    @property
    def _lands(self) -> bool:
        """Whether the backfill makes the inputs of features itself."""
        return bool(set(_LANDING) & set(self.request.stages))

    @cached_property
    def entities(self) -> dict[date, PartitionState]:
        return self.lake.partitions(f"validated_{self.spec.entities}")

    def lineage(self, table: str) -> Lineage:
        if table not in self._lineages:
            self._lineages[table] = self.lake.lineage(table)
        return self._lineages[table]

    def plan(self, stage: str) -> StagePlan:
        if stage not in TABLES:
            jobs = self._range_jobs(stage)
            return StagePlan(
                stage, [], jobs, Estimate(None, "the whole range; what it needs to do, it finds out itself")
            )
        self._check(stage)
        partitions = [self._partition(stage, day) for day in self.request.partitions]
        jobs = self.request.jobs(
            (one.day for one in partitions if one.action != SAME), self.settings.backfill_chunk_days
        )
        partitions = [_inside(one, jobs) for one in partitions]
        if stage == "features":
            self._features_done = {one.day for one in partitions if one.action != SAME}
        rows = [_sum(one.rows for one in partitions if one.day in job) for job in jobs]
        sample = self._sample(partitions) if stage == "score" else None
        return StagePlan(stage, partitions, jobs, estimate(self.lineage(TABLES[stage]), stage, rows), sample)

    def _sample(self, partitions: list[PartitionPlan]) -> dict[str, Any] | None:
        """Score a few of the days that would be replaced, and compare."""
        certain = [
            p.day for p in partitions if p.action == REPLACE and p.published and p.day not in self._features_done
        ]
        if self._lands or not certain:
            return None
        days = sorted({certain[round(i * (len(certain) - 1) / (_SAMPLED_DAYS - 1))] for i in range(_SAMPLED_DAYS)})
        dataset = datasets.predictions(self.spec)
        names = compared_columns(self.spec, dataset)
        parts: list[tuple[pa.Table, pa.Table]] = []
        for day in days:
            one, model = Partitions(day, day), next(model for range_, model in self.models if day in range_)
            will = score.outcomes(self.spec, self.lake, model, one).select(names)
            parts.append((self.lake.scan(dataset.name, one, names).select(names), will))
        before, after = (pa.concat_tables(side) for side in zip(*parts, strict=True))
        return {"days": [str(day) for day in days], **compare(self.spec, dataset, before, after)["total"]}

    def _range_jobs(self, stage: str) -> list[Partitions]:
        """A stage that takes the range as it is; drift measures each part of it against that part's own model."""
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
            return PartitionPlan(day, rows, 0, NEW, "nothing is published")
        why = self._why(stage, day, maker)
        version = self.versions.get(day, "") if stage == "score" else ""
        run = maker.provenance.run_id if maker else ""
        action, why = (REPLACE, why) if why else (SAME, "holds exactly this")
        return PartitionPlan(day, rows, published, action, why, version, run)

    @cached_property
    def states(self) -> dict[str, dict[date, PartitionState]]:
        return {table: self.lake.partitions(table) for table in TABLES.values()}

    def _why(self, stage: str, day: date, maker: Commit | None) -> str:
        """Why a partition is done again; empty when it holds exactly what this backfill would make."""
        if maker is None:
            return "what made it is older than the history that is kept"
        current = {"pipeline_hash": self.pipeline.hash, "code_hash": code_hash(), "lock_hash": self._lock}
        made = maker.provenance
        then = {"pipeline_hash": made.pipeline_hash, "lock_hash": made.lock_hash, **made.extra}
        for key, words in _HASHES.items():
            if then.get(key) != current[key]:
                return words
        return self._features_changed(day, maker) if stage == "features" else self._score_changed(day, maker)

    @cached_property
    def _lock(self) -> str:
        return lock_hash(self.settings.project_path)

    def _features_changed(self, day: date, maker: Commit) -> str:
        if self._lands:
            return "its inputs are made first"
        read = maker.provenance.inputs
        for name in self.spec.tables:
            window = features.reach_of(self.spec, name, Partitions(day, day))
            if not self.lineage(f"validated_{name}").unchanged_since(read.get(f"validated_{name}"), window):
                return f"validated_{name} was published since"
        return ""

    def _score_changed(self, day: date, maker: Commit) -> str:
        if day in self._features_done:
            return "its features are made first"
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
        window = Partitions(day, day)
        same = self.lineage("features").unchanged_since(maker.provenance.inputs.get("features"), window)
        return "" if same else "features were published since"

    @cached_property
    def versions(self) -> dict[date, str]:
        """The model version of each published partition, from its rows."""
        if not self.lake.exists("predictions"):
            return {}
        rows = self.lake.scan("predictions", self.request.partitions, [PARTITION, "model_version"])
        pairs = rows.group_by([PARTITION, "model_version"]).aggregate([]).to_pylist()
        return {pair[PARTITION]: pair["model_version"] for pair in pairs}


def _inside(one: PartitionPlan, jobs: list[Partitions]) -> PartitionPlan:
    """A partition that holds the result but lies inside a job is made again with it."""
    if one.action != SAME or not any(one.day in job for job in jobs):
        return one
    return replace(one, action=REPLACE, why="lies between others of the job")


def estimate(lineage: Lineage, stage: str, job_rows: Sequence[int | None]) -> Estimate:
    """Seconds of jobs of these rows, each reckoned from the earlier run of the stage that is nearest in rows.

    A job that is larger takes more in proportion; one that is smaller, at most as long.
    """
    runs = {
        commit.provenance.run_id: (commit.job_rows, float(commit.provenance.extra["seconds"]))
        for commit in reversed(lineage.commits)
        if commit.provenance.stage == stage and commit.job_rows is not None and "seconds" in commit.provenance.extra
    }
    runs = {run: known for run, known in runs.items() if known[0] > 0}
    if not job_rows:
        return Estimate(0.0, "nothing to do")
    if not runs:
        return Estimate(None, "no history yet")
    used: dict[str, None] = {}
    total = 0.0
    for rows in job_rows:
        if rows is None:
            return Estimate(None, "its rows are not known before its inputs are made")
        nearest = min(reversed(runs), key=lambda run: abs(math.log(max(rows, 1) / runs[run][0])))
        known, seconds = runs[nearest]
        total += seconds * max(1.0, rows / known)
        used[f"run {nearest}: {known:,} rows in {seconds:.1f} s"] = None
    return Estimate(round(total, 1), "; ".join(used))
