"""What happened to a pipeline's models, on the axis of its partitions: trainings, and what became of each version.

A training and a promotion are of a run, not of a day. Each has a day all the same: the last that it was trained on, and
the first that it may score.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Literal

from contrail.adapters import registry
from contrail.adapters.registry import CHAMPION, VersionInfo
from contrail.config.pipeline import Pipeline
from contrail.frozen import Frozen
from contrail.lake.lake import Lake
from contrail.lake.model_history import read_moves
from contrail.operations.models import request_of
from contrail.partitions import Partitions

Decision = Literal["trained", "promoted", "refused", "waits", "taken back"]
_UNDECIDED: dict[str, Decision] = {"refused": "refused", "waits": "waits"}


class ModelEvent(Frozen):
    """One thing that happened to a version.

    ``days`` are those that it was trained on, or that the gate judged it by; empty where nobody knows. ``instead_of`` is
    the champion before. ``person`` and ``reason`` say who asked for it and why.
    """

    day: date
    stage: Literal["train", "promote"]
    decision: Decision
    version: str
    days: str = ""
    instead_of: str = ""
    person: str = ""
    reason: str = ""
    run: str = ""
    at: datetime | None = None


def model_events(lake: Lake, pipeline: Pipeline) -> tuple[ModelEvent, ...]:
    """Read every event, in the order in which they happened. What somebody deleted in the registry is left out."""
    versions = registry.versions(lake.settings, pipeline.name)
    found = [event for one in versions for event in _of_version(one)]
    return tuple(sorted([*found, *_moves(lake)], key=_order))


def _order(event: ModelEvent) -> tuple[int, bool]:
    """By time. The registry knows that of a decision in whole seconds; its version was trained before."""
    return int(event.at.timestamp()) if event.at else 0, event.stage == "promote"


def _of_version(one: VersionInfo) -> Iterator[ModelEvent]:
    trained, judged = one.tags.get("training_window", ""), one.tags.get("decision_window", "")
    if trained:
        asked = request_of(one)
        yield ModelEvent(
            day=Partitions.from_text(trained).end,
            stage="train",
            decision="trained",
            version=one.version,
            days=trained,
            person=asked.person if asked else "",
            reason=(asked.reason if asked else None) or "",
            at=one.made_at,
        )
    if judged and (decision := _UNDECIDED.get(one.tags.get("decision", ""))):
        yield ModelEvent(
            day=Partitions.from_text(judged).end + timedelta(days=1),
            stage="promote",
            decision=decision,
            version=one.version,
            days=judged,
            at=datetime.fromisoformat(one.tags["decided_at"]) if "decided_at" in one.tags else None,
        )


def _moves(lake: Lake) -> Iterator[ModelEvent]:
    """The moves of the champion. One to an earlier champion that no gate has measured is a rollback."""
    held: set[str] = set()
    for move in read_moves(lake, CHAMPION):
        back = move.version_after in held and move.improvement is None
        held.add(move.version_after)
        yield ModelEvent(
            day=move.effective_from,
            stage="promote",
            decision="taken back" if back else "promoted",
            version=move.version_after,
            instead_of=move.version_before or "",
            person=move.person,
            reason=move.reason,
            run=move.run_id,
            at=move.moved_at,
        )
