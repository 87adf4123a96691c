"""A backfill before it runs: its partitions, what they hold already, and its jobs.

The planner looks these up.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from contrail.operations.backfill_estimate import HERE, Estimate
from contrail.operations.backfill_request import TABLES, Request
from contrail.operations.backfill_result import (
    ExpectedChange,
    ModelOfDays,
    PartitionGroup,
    PlanSummary,
    StageSummary,
)
from contrail.partitions import Partitions
from contrail.reports.backfill_record import SampledChanges

NEW, REPLACE, SAME = "new", "replace", "same"


@dataclass(frozen=True)
class PartitionPlan:
    """One partition of one stage: the rows that it will have, its published rows, the action and the reason.

    ``rows`` is None where earlier stages of the backfill decide it. ``version`` and ``run`` made the published rows.
    They are empty where nothing is published, no model made it, or the lake does not know.
    """

    day: date
    rows: int | None
    published: int
    action: str
    why: str
    version: str = ""
    run: str = ""


@dataclass(frozen=True)
class StagePlan:
    """One stage: its partitions and its jobs. A stage that takes the range as it is has no partitions.

    ``sample`` compares some partitions as they would become with the published ones. It is None where earlier stages of
    the backfill decide the rows, or nothing is published yet.
    """

    stage: str
    partitions: list[PartitionPlan]
    jobs: list[Partitions]
    estimate: Estimate
    sample: SampledChanges | None = None

    def groups(self) -> list[tuple[Partitions, list[PartitionPlan]]]:
        """Neighbouring partitions with the same action, reason and version, as ranges."""
        found: list[tuple[Partitions, list[PartitionPlan]]] = []
        for one in self.partitions:
            same = found and _fate(found[-1][1][-1]) == _fate(one)
            if same and found[-1][0].end + timedelta(days=1) == one.day:
                found[-1] = (Partitions(found[-1][0].start, one.day), [*found[-1][1], one])
            else:
                found.append((Partitions(one.day, one.day), [one]))
        return found

    def summary(self) -> StageSummary:
        """The plan of the stage in the form of its JSON."""
        return StageSummary(
            stage=self.stage,
            jobs=tuple(map(str, self.jobs)),
            partitions=tuple(_summary(days, group) for days, group in self.groups()),
            estimated_seconds=self.estimate.seconds,
            estimated_from=self.estimate.basis,
        )


def _summary(days: Partitions, group: list[PartitionPlan]) -> PartitionGroup:
    return PartitionGroup(
        partitions=str(days),
        days=len(days),
        rows=known_sum(one.rows for one in group),
        published=sum(one.published for one in group),
        action=group[0].action,
        why=group[0].why,
        version=group[0].version,
        runs=tuple(sorted({one.run for one in group if one.run})),
    )


def _fate(one: PartitionPlan) -> tuple[str, str, str]:
    return one.action, one.why, one.version


@dataclass(frozen=True)
class Plan:
    """A backfill before it runs.

    ``model`` is pinned: a version or ``as-of``, and empty when no stage needs one. ``cost`` estimates what its DAG will
    pay for remote stages, from their history. ``lost`` says what is wrong with the older history of tables.
    """

    pipeline: str
    request: Request
    model: str
    models: list[tuple[Partitions, str]]
    stages: list[StagePlan]
    cost: str = HERE
    lost: tuple[str, ...] = ()

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
    def expected(self) -> dict[str, ExpectedChange]:
        """What will change in each table."""
        found: dict[str, ExpectedChange] = {}
        for stage in self.stages:
            changed = [one for one in stage.partitions if one.action != SAME]
            changes = [None if one.rows is None else one.rows - one.published for one in changed]
            if stage.partitions:
                more = known_sum(None if change is None else max(change, 0) for change in changes)
                fewer = known_sum(None if change is None else max(-change, 0) for change in changes)
                found[TABLES[stage.stage]] = ExpectedChange(more_rows=more, fewer_rows=fewer, sample=stage.sample)
        return found

    def summary(self) -> PlanSummary:
        """The plan in the form of its JSON."""
        seconds = self.seconds
        return PlanSummary(
            pipeline=self.pipeline,
            partitions=str(self.request.partitions),
            days=len(self.request.partitions),
            publish=self.request.commits,
            model=self.model,
            models=tuple(ModelOfDays(partitions=str(days), version=version) for days, version in self.models),
            stages=tuple(stage.summary() for stage in self.stages),
            nothing_to_do=self.nothing_to_do,
            expected_difference=self.expected,
            estimated_minutes=None if seconds is None else round(seconds / 60, 2),
            cost=self.cost,
            lost=self.lost,
        )


def known_sum(values: Iterable[int | None]) -> int | None:
    """The sum; None when a part is unknown."""
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total
