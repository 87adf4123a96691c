"""Take back a champion: point the alias at an earlier version and rescore what the bad one scored.

A plan comes first, so that a person can read it before anything changes. People decide whether a version is bad.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from contrail.adapters import registry
from contrail.adapters.registry import CHALLENGER, CHAMPION
from contrail.config.pipeline import Pipeline
from contrail.config.settings import settings
from contrail.errors import DataError, EngineError, MissingInputError, SpecError
from contrail.lake.lake import Lake
from contrail.lake.model_history import AliasMove, read_moves
from contrail.partitions import Partitions, as_ranges
from contrail.stages.base import StageRun
from contrail.stages.changes import (
    ROLLED_BACK,
    AliasChange,
    Changing,
    Rescoring,
    Unfinished,
    asked_by,
    changing,
    rows_of,
    scored_by,
    unfinished,
)
from contrail.stages.model_cards import keep_card
from contrail.stages.options import PersonOptions, RollbackModelOptions
from contrail.stages.results import RescoredDays, RollbackModelResult
from contrail.stages.runner import make_run, scoring


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

    def result(self, **done: Any) -> RollbackModelResult:
        """The plan as the result of a dry run. ``done`` has the other fields, of a rollback that was carried out."""
        return RollbackModelResult(
            pipeline=self.pipeline,
            bad_version=self.bad,
            to_version=self.to,
            effective_from=self.effective_from,
            partitions=len(self.scored),
            rows=sum(self.scored.values()),
            jobs=tuple(RescoredDays(**{"from": days.start, "to": days.end}, rows=rows) for days, rows in self.jobs),
            dry_run=not done,
            **done,
        )


def plan_rollback(pipeline: Pipeline, lake: Lake, to: str | None = None, take_back: str | None = None) -> RollbackPlan:
    """Plan a rollback to a version, and change nothing.

    If a rollback to this version has begun, the plan holds what is left of it.

    Args:
        pipeline: The pipeline.
        lake: Its lake.
        to: The version that becomes champion again; by default the one that was champion before.
        take_back: The version that the caller means to take back; None where it may be any.

    Raises:
        MissingInputError: if there was never a champion, or there is no such version.
        SpecError: if the version does not fit the pipeline as it is now, or another one would be taken back.
        DataError: if the version is champion already and there is nothing left to rescore.
    """
    plan = _plan(pipeline, lake, to or _champion_before(pipeline.name, lake), take_back)
    if take_back not in (None, plan.bad):
        raise SpecError(
            f"the rollback of {plan.pipeline} to version {plan.to} takes back version {plan.bad} now, not version "
            f"{take_back}. Nothing was changed. Read the new plan: contrail rollback-model -p {plan.pipeline} "
            f"--to {plan.to} --reason WHY --dry-run"
        )
    return plan


def _champion_before(name: str, lake: Lake) -> str:
    """The version to which a rollback goes that has begun, else the champion before the one that is now.

    Raises:
        MissingInputError: if no version was champion before.
    """
    left = unfinished(settings(), name)
    begun = [*(move.version_after for move in _rolling_back(left)), *(one.to for one in left.rescoring)]
    if begun:
        return begun[-1]
    held: list[str] = []
    now = _champion(name, left)
    for version in [*(move.version_after for move in _moves(lake, left)), *([now] if now else [])]:
        # A version that is champion again ends what came after it: those were taken back, or did worse.
        held = [*(held[: held.index(version)] if version in held else held), version]
    if len(held) < 2:
        raise MissingInputError(
            f"pipeline '{name}' had no champion before {f'version {held[0]}' if held else 'now'}. contrail champions "
            f"--pipeline {name} lists all moves. Name the version that takes over with --to."
        )
    return held[-2]


def _left(left: Unfinished) -> tuple[AliasMove, ...]:
    """The champion's moves of a change that a killed run has left. A rollback ends it before its own."""
    return tuple(move for move in (left.move.moves if left.move else ()) if move.alias == CHAMPION)


def _rolling_back(left: Unfinished) -> tuple[AliasMove, ...]:
    """Those of them that take a champion back; none where the change is a promotion."""
    return _left(left) if left.move and left.move.former == ROLLED_BACK else ()


def _moves(lake: Lake, left: Unfinished) -> list[AliasMove]:
    """The champion's moves, with those that are left, oldest first."""
    return [*read_moves(lake, CHAMPION), *_left(left)]


def _champion(name: str, left: Unfinished) -> str | None:
    """The champion, once the change that is left has ended."""
    moves = _left(left)
    return moves[-1].version_after if moves else registry.alias_version(settings(), name, CHAMPION)


def _plan(pipeline: Pipeline, lake: Lake, to: str, take_back: str | None) -> RollbackPlan:
    name = pipeline.name
    model = registry.resolve(settings(), name, to)
    if problems := model.package.differences(pipeline.spec):
        raise SpecError(
            f"{name} version {model.version} does not fit the pipeline as it is now: {'; '.join(problems)}. Nothing was "
            "changed. Choose another version, or train and promote a new one."
        )
    left = unfinished(settings(), name)
    if begun := _begun(pipeline, lake, model.version, left):
        return begun
    moves, champion = _moves(lake, left), _champion(name, left)
    bad = _bad_version(name, moves, model.version, champion)
    scored = scored_by(lake, bad)
    # Whoever names both versions may ask again after it is done: an orchestrator that lost the result does.
    if not scored and model.version == champion and bad != take_back:
        raise DataError(f"{name} version {model.version} is champion already, and no partition is left to rescore.")
    reached = [move.effective_from for move in moves if move.version_after == bad]
    since = reached[-1] if reached else min(scored, default=pipeline.spec.first_partition)
    return RollbackPlan(name, bad, model.version, since, scored)


def _begun(pipeline: Pipeline, lake: Lake, to: str, left: Unfinished) -> RollbackPlan | None:
    """What is left of a rollback to this version that was stopped; None without one."""
    made = [move for move in _moves(lake, left) if move.version_after == to]
    moving = [move for move in _rolling_back(left) if move.version_after == to]
    rescored = [one for one in left.rescoring if one.to == to]
    bad = rescored[-1].bad if rescored else moving[-1].version_before if moving else None
    if bad is None or not made:
        return None
    scored = rows_of(lake, rescored[-1]) if rescored else {}
    return RollbackPlan(pipeline.name, bad, to, made[-1].effective_from, scored)


def _bad_version(name: str, moves: Sequence[AliasMove], to: str, champion: str | None) -> str:
    champion = champion or (moves[-1].version_after if moves else None)
    if champion is None:
        raise MissingInputError(
            f"pipeline '{name}' has no champion to take back. Run: contrail promote --pipeline {name} --model {to}"
        )
    if champion != to:
        return champion
    left = [move.version_before for move in moves if move.version_after == to]
    if not left or left[-1] is None:
        raise DataError(f"{name} version {to} is champion already. contrail champions --pipeline {name} lists others.")
    return left[-1]


def roll_back(
    plan: RollbackPlan,
    *,
    person: str,
    reason: str,
    run_id: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> RollbackModelResult:
    """Carry out a plan: first the aliases, so that no run scores with the bad version again, then the partitions.

    After a stop half-way, the same command finishes the rollback.

    Raises:
        ContrailError: as score does; the alias has moved, and partitions not rescored yet are as they were.
    """
    last = max(plan.scored, default=plan.effective_from)
    days = Partitions(min(plan.effective_from, last), last)
    asked = RollbackModelOptions(person=person, reason=reason)
    run = make_run("rollback-model", plan.pipeline, days, run_id=run_id, options=asked, progress=progress)
    score, rows = scoring(run), []

    def counted(partitions: Partitions, version: str) -> None:
        rows.append((version, score(partitions, version).rows))

    with changing(run, person) as held:
        _move(held, run, plan, reason)
        keep_card(run, plan.to, plan.bad)
        held.rescore(counted)
    rescored = sum(count for version, count in rows if version == plan.to)
    return plan.result(run_id=run.run_id, person=person, reason=reason, rescored_rows=rescored)


def _move(held: Changing, run: StageRun[PersonOptions], plan: RollbackPlan, reason: str) -> None:
    """Move the champion's alias, and the challenger's too if it names the bad version.

    Otherwise the bad version would score beside its successor.
    """
    current, name = run.settings, plan.pipeline
    points = {alias: registry.alias_version(current, name, alias) for alias in (CHALLENGER, CHAMPION)}
    if points[CHAMPION] not in (plan.bad, plan.to, None):
        raise EngineError(
            f"version {points[CHAMPION]} of '{name}' became champion after the plan was made. Nothing was changed. "
            "Run the command again for a new plan."
        )
    aliases = [
        alias for alias, version in points.items() if version == plan.bad or (version, alias) == (None, CHAMPION)
    ]
    entry = registry.describe_version(current, name, plan.to)
    parts = tuple(str(part) for part in as_ranges(plan.scored))
    rescoring = [Rescoring(bad=plan.bad, to=plan.to, partitions=parts)] if parts else []
    held.apply(AliasChange(entry, aliases, plan.effective_from, reason, former=ROLLED_BACK), asked_by(run), rescoring)
