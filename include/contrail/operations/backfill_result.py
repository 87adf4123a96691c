"""The results of ``contrail backfill`` and ``contrail difference``, in the form of their JSON.

The module is light, because the backfill's DAG reads a plan with it. The planner makes the plan.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, SerializeAsAny

from contrail.frozen import Frozen
from contrail.reports.backfill_record import Changes, SampledChanges
from contrail.stages.results import StageResult


class PartitionGroup(Frozen):
    """Neighbouring partitions with the same action, reason and version.

    ``rows`` is None where earlier stages of the backfill decide it. ``version`` and ``runs`` made the published rows.
    """

    partitions: str
    days: int
    rows: int | None
    published: int
    action: str
    why: str
    version: str
    runs: tuple[str, ...]


class StageSummary(Frozen):
    """A stage: its jobs, its partitions (none for a stage that takes the range as it is), and the time they take."""

    stage: str
    jobs: tuple[str, ...]
    partitions: tuple[PartitionGroup, ...]
    estimated_seconds: float | None
    estimated_from: str


class ModelOfDays(Frozen):
    """The model version of a part of the range."""

    partitions: str
    version: str


class ExpectedChange(Frozen):
    """How many rows of a table will be new, and how many will go; None where this is not known yet.

    ``sample`` compares some partitions as they would become with the published ones.
    """

    more_rows: int | None
    fewer_rows: int | None
    sample: SampledChanges | None


class PlanSummary(Frozen):
    """A plan. ``model`` is pinned: a version, or ``as-of``; empty when no stage needs one.

    ``lost`` says what is wrong with the older history of tables. Days that only it knows are made again.
    """

    pipeline: str
    partitions: str
    days: int
    publish: str
    model: str
    models: tuple[ModelOfDays, ...]
    stages: tuple[StageSummary, ...]
    nothing_to_do: bool
    expected_difference: Mapping[str, ExpectedChange]
    estimated_minutes: float | None
    cost: str
    lost: tuple[str, ...] = Field(default=(), exclude_if=lambda words: not words)


class BackfillResult(Frozen):
    """The plan, the results of the jobs, and the report files. ``id`` is None when nothing was begun."""

    plan: PlanSummary
    jobs: tuple[SerializeAsAny[StageResult[Any]], ...] = ()
    reports: tuple[str, ...] = ()
    id: str | None = Field(default=None, exclude_if=lambda value: value is None)


class DifferenceResult(Frozen):
    """The report files of a backfill, and its changes in total, by table. Tables of ``gone`` cannot be compared any more."""

    id: str
    reports: tuple[str, ...]
    difference: Mapping[str, Changes]
    gone: tuple[str, ...] = Field(default=(), exclude_if=lambda tables: not tables)
