"""What a decision changes in the registry: which aliases move, from which partition on, and why."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from contrail.adapters import registry
from contrail.adapters.registry import CHALLENGER, CHAMPION
from contrail.methods.decision_record import DecisionRecord
from contrail.methods.gates import CONSTANT
from contrail.methods.metrics import HEADLINE, Task
from contrail.stages.base import StageRun
from contrail.stages.changes import AliasChange, Changing, asked_by
from contrail.stages.options import PromoteOptions
from contrail.stages.promotion.contest import Contest


def make_champion(held: Changing, run: StageRun[PromoteOptions], contest: Contest, record: DecisionRecord) -> None:
    """Move the aliases to a version that passed."""
    change = AliasChange(
        contest.entry,
        aliases=(CHAMPION,) if contest.again else (CHALLENGER, CHAMPION),
        effective_from=first_partition(run),
        reason=run.options.reason or f"passed the gate on {run.partitions}",
        improvement=_improvement(run.pipeline.spec.task, record),
    )
    held.apply(change, asked_by(run))


def after_refusal(held: Changing, run: StageRun[PromoteOptions], contest: Contest, record: DecisionRecord) -> None:
    """Keep a sound version as challenger. Take a version that is no longer sound out of the shadow."""
    settings, entry = run.settings, contest.entry
    champion = registry.alias_version(settings, entry.name, CHAMPION)
    if champion is None:
        return
    since, said = run.partitions.end + timedelta(days=1), f"version {entry.version} was refused on {run.partitions}"
    if record.in_shadow:
        said += " against the champion alone: scored in shadow"
        held.apply(AliasChange(entry, (CHALLENGER,), since, said), asked_by(run))
    elif registry.alias_version(settings, entry.name, CHALLENGER) == entry.version:
        successor = registry.describe_version(settings, entry.name, champion)
        held.apply(AliasChange(successor, (CHALLENGER,), since, said), asked_by(run))


def first_partition(run: StageRun[PromoteOptions]) -> date:
    """The first partition of a version that is promoted now: the next one whose cut-off comes.

    A pipeline with a last partition replays the past. There, now is the day after the rows of the decision.
    """
    spec = run.pipeline.spec
    if spec.last_partition:
        return run.partitions.end + timedelta(days=1)
    now = datetime.now(ZoneInfo(spec.timezone))
    return now.date() if now.time() <= spec.cutoff else now.date() + timedelta(days=1)


def _improvement(task: Task, record: DecisionRecord) -> float | None:
    """The improvement over the constant baseline, in the metric that performance compares with it every day."""
    own, constant = (record.metrics[name].get(HEADLINE[task]) for name in ("challenger", CONSTANT))
    return None if own is None or constant is None else constant - own
