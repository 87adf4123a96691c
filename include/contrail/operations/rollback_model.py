"""Take back a champion: point the alias at an earlier version and rescore what the bad one scored.

A plan comes first, so that a person can read it before anything changes. People decide whether a version is bad.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from contrail.adapters import registry
from contrail.adapters.registry import CHALLENGER, CHAMPION
from contrail.config.pipeline import Pipeline
from contrail.config.settings import settings
from contrail.errors import DataError, MissingInputError, SpecError
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.lake.model_history import read_moves
from contrail.partitions import Partitions, as_ranges
from contrail.stages.alias_moves import AliasChange, move_aliases
from contrail.stages.base import StageRun
from contrail.stages.options import PersonOptions, RollbackModelOptions
from contrail.stages.runner import make_run, run_stage


@dataclass(frozen=True)
class RollbackPlan:
    """What a rollback would do.

    ``scored`` counts the rows of each partition that ``bad`` scored and ``to`` will score.
    """

    pipeline: str
    bad: str
    to: str
    effective_from: date
    scored: dict[date, int]

    @property
    def jobs(self) -> list[tuple[Partitions, int]]:
        """Each range that is rescored as one job, with its rows."""
        return [(days, sum(self.scored[day] for day in days)) for days in as_ranges(self.scored)]

    def as_dict(self) -> dict[str, Any]:
        """The plan as plain values, for JSON."""
        return {
            "pipeline": self.pipeline,
            "bad_version": self.bad,
            "to_version": self.to,
            "effective_from": str(self.effective_from),
            "partitions": len(self.scored),
            "rows": sum(self.scored.values()),
            "jobs": [{"from": str(days.start), "to": str(days.end), "rows": rows} for days, rows in self.jobs],
        }


@dataclass(frozen=True)
class RollbackResult:
    """A rollback that was carried out, by whom and why."""

    plan: RollbackPlan
    run_id: str
    person: str
    reason: str
    rescored_rows: int

    def as_dict(self) -> dict[str, Any]:
        """The plan's values and these, for JSON."""
        own = {"run_id": self.run_id, "person": self.person, "reason": self.reason}
        return {**self.plan.as_dict(), **own, "rescored_rows": self.rescored_rows}


def plan_rollback(pipeline: Pipeline, lake: Lake, to: str) -> RollbackPlan:
    """Plan a rollback to a version, and change nothing.

    If the version is champion already, the plan holds what an interrupted rollback to it left.

    Raises:
        MissingInputError: if there is no champion, or no such version.
        SpecError: if the version does not fit the pipeline as it is now.
        DataError: if the version is champion already and there is nothing left to rescore.
    """
    name = pipeline.name
    model = registry.resolve(settings(), name, to)
    if problems := model.package.differences(pipeline.spec):
        raise SpecError(
            f"{name} version {model.version} does not fit the pipeline as it is now: {'; '.join(problems)}. Nothing was "
            "changed. Choose another version, or train and promote a new one."
        )
    bad = _bad_version(name, lake, model.version)
    scored = _scored_by(lake, bad)
    if not scored and bad != registry.alias_version(settings(), name, CHAMPION):
        raise DataError(f"{name} version {model.version} is champion already, and no partition is left to rescore.")
    reached = [move.effective_from for move in read_moves(lake, CHAMPION) if move.version_after == bad]
    since = reached[-1] if reached else min(scored, default=pipeline.spec.first_partition)
    return RollbackPlan(name, bad, model.version, since, scored)


def _bad_version(name: str, lake: Lake, to: str) -> str:
    champion = registry.alias_version(settings(), name, CHAMPION)
    if champion is None:
        raise MissingInputError(
            f"pipeline '{name}' has no champion to take back. Run: contrail promote --pipeline {name} --model {to}"
        )
    if champion != to:
        return champion
    left = [move.version_before for move in read_moves(lake, CHAMPION) if move.version_after == to]
    if not left or left[-1] is None:
        raise DataError(f"{name} version {to} is champion already. contrail champions --pipeline {name} lists others.")
    return left[-1]


def _scored_by(lake: Lake, version: str) -> dict[date, int]:
    """Rows of each partition of ``predictions`` that a version scored."""
    if not lake.exists("predictions"):
        return {}
    rows = lake.scan("predictions", columns=[PARTITION, "model_version"])
    counted = rows.group_by([PARTITION, "model_version"]).aggregate([([], "count_all")]).to_pylist()
    found = {row[PARTITION]: row["count_all"] for row in counted if row["model_version"] == version}
    return dict(sorted(found.items()))


def roll_back(
    plan: RollbackPlan,
    *,
    person: str,
    reason: str,
    run_id: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> RollbackResult:
    """Carry out a plan: first the aliases, so that no run scores with the bad version again, then the partitions.

    After a stop half-way, the same command finishes the rollback.

    Raises:
        ContrailError: as score does; the alias has moved, and partitions not rescored yet are as they were.
    """
    last = max(plan.scored, default=plan.effective_from)
    days = Partitions(min(plan.effective_from, last), last)
    asked = RollbackModelOptions(person=person, reason=reason)
    run = make_run("rollback-model", plan.pipeline, days, run_id=run_id, options=asked, progress=progress)
    _move(run, plan, reason)
    rows = 0
    for partitions, expected in plan.jobs:
        progress(f"rescoring {partitions} with version {plan.to}: {expected:,} rows")
        scored = run_stage(
            "score", plan.pipeline, partitions, run_id=run.run_id, options={"model": plan.to}, progress=progress
        )
        rows += scored.rows
    return RollbackResult(plan, run.run_id, person, reason, rows)


def _move(run: StageRun[PersonOptions], plan: RollbackPlan, reason: str) -> None:
    """Move the champion's alias, and the challenger's too if it names the bad version.

    Otherwise the bad version would score beside its successor.
    """
    current = run.settings
    entry = registry.describe_version(current, plan.pipeline, plan.to)
    of_bad = [a for a in (CHALLENGER, CHAMPION) if registry.alias_version(current, plan.pipeline, a) == plan.bad]
    if not move_aliases(run, AliasChange(entry, of_bad, plan.effective_from, reason)):
        return
    now = datetime.now(UTC).isoformat(timespec="seconds")
    registry.tag_version(current, entry, {"status": "champion", "champion_from": now})
    before = registry.describe_version(current, plan.pipeline, plan.bad)
    registry.tag_version(current, before, {"status": "rolled back", "champion_until": now})
