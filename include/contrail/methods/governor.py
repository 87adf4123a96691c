"""The retrain governor: it turns the evidence of a day into a decision with its reasons.

Lasting drift, lost performance, the schedule or a person asks for a training. A cool-down, missing labels or the month's
budget refuse it. A person may overrule the first two. Nothing refuses the first training of a pipeline. All counts are in
days of partitions, never by the clock. So a replayed year gives the same decisions as the year itself.

These are pure functions: no lake, no registry, no training.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil
from statistics import median
from typing import Final, Literal

from contrail.config.model_spec import RetrainSpec

RETRAIN = "retrain"
MONITOR: Final = "monitor"
SCHEDULE: Final = "schedule"
BY_HAND: Final = "by-hand"
# The median still counts when some days lack labels, or have another champion's predictions.
_MEASURED_SHARE = 0.75

Outcome = Literal["retrain", "hold", "refused"]
Asked = Literal["monitor", "schedule", "by-hand"]
Trigger = Literal["drift", "label-drift", "performance", "schedule", "by-hand"]


@dataclass(frozen=True)
class Training:
    """A training and the day whose cut-off it could have used. ``what`` names it for people."""

    as_of: date
    what: str


@dataclass(frozen=True)
class RetrainEvidence:
    """The evidence that was known at a day's cut-off.

    Attributes:
        day: The day of the decision.
        champion: Version of the champion; None without one.
        drift: Verdicts on the features against the champion, for the last ``drift_of_days`` days.
        label_drift: Verdicts on the label, for the same days.
        improvements: The champion's improvement over the constant baseline, by day. They cover the last
            ``performance_days`` days that may have labels.
        reference: The champion's improvement at its gate.
        labelled: Predictions of those days, of any model, that have a label.
        rows: All predictions of those days, of any model.
        trainings: Earlier trainings.
        asked: Who asks for the decision, for example the day's monitor.
        reason: The person's reason.
        insist: Whether the person overrules a cool-down and missing labels.
    """

    day: date
    champion: str | None
    drift: Mapping[date, str]
    label_drift: Mapping[date, str]
    improvements: Mapping[date, float]
    reference: float | None
    labelled: int
    rows: int
    trainings: tuple[Training, ...]
    asked: Asked = MONITOR
    reason: str = ""
    insist: bool = False


@dataclass(frozen=True)
class Decision:
    """A decision. ``reasons`` are sentences for people: first the findings, then the rules that refuse."""

    decision: Outcome
    trigger: Trigger | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class _Finding:
    trigger: Trigger
    found: bool
    reason: str


def decide(evidence: RetrainEvidence, retrain: RetrainSpec) -> Decision:
    """Decide to retrain, to hold (nothing asks for a training), or to refuse (a rule forbids it)."""
    findings = [*_asked(evidence), *_drift(evidence, retrain), _performance(evidence, retrain)]
    raised = [finding for finding in findings if finding.found]
    if not raised:
        return Decision("hold", None, tuple(finding.reason for finding in findings))
    why, trigger = tuple(finding.reason for finding in raised), raised[0].trigger
    if evidence.champion is None and evidence.asked != MONITOR:
        return Decision("retrain", trigger, (*why, "there is no champion yet: nothing refuses a first training"))
    against = _said(_no_champion(evidence), _cooldown(evidence, retrain), _coverage(evidence, retrain))
    budget = _said(_budget(evidence, retrain))
    if evidence.insist and not budget:
        return Decision("retrain", trigger, (*why, *(f"in spite of this: {reason}" for reason in against)))
    forbidden = (*against, *budget)
    return Decision("refused" if forbidden else "retrain", trigger, (*why, *forbidden))


def _said(*reasons: str | None) -> tuple[str, ...]:
    return tuple(reason for reason in reasons if reason)


# ---- what asks for it ----


def _asked(evidence: RetrainEvidence) -> list[_Finding]:
    if evidence.asked == SCHEDULE:
        return [_Finding("schedule", True, "the schedule asks for a training")]
    if evidence.asked == BY_HAND:
        return [_Finding("by-hand", True, f"a person asks for a training: {evidence.reason or 'no reason was given'}")]
    return []


def _drift(evidence: RetrainEvidence, retrain: RetrainSpec) -> list[_Finding]:
    """Judge drift of the features and of the label separately. Days of one do not add to days of the other."""
    seen: dict[Trigger, Mapping[date, str]] = {"drift": evidence.drift, "label-drift": evidence.label_drift}
    found = []
    for trigger, verdicts in seen.items():
        days = sum(verdict == "drift" for verdict in verdicts.values())
        what = trigger.replace("-", " ")
        reason = f"{what} on {days} of the last {retrain.drift_of_days} days; {retrain.drift_days} trigger a training"
        found.append(_Finding(trigger, days >= retrain.drift_days, reason))
    return found


def _performance(evidence: RetrainEvidence, retrain: RetrainSpec) -> _Finding:
    """Judge the median of the days, so that one unpredictable day counts only once."""
    wanted, margin = retrain.performance_days, retrain.performance_margin
    if margin is None:
        return _Finding("performance", False, "performance does not ask: retrain.performance_margin is not set")
    measured, enough = len(evidence.improvements), ceil(_MEASURED_SHARE * wanted)
    if measured < enough:
        reason = f"performance is measured on {measured} of the last {wanted} days; {enough} are needed"
        return _Finding("performance", False, reason)
    now, limit = median(evidence.improvements.values()), (evidence.reference or 0.0) - margin
    at_gate = (
        "nothing is recorded of its gate" if evidence.reference is None else f"{evidence.reference:.4g} at its gate"
    )
    reason = (
        f"the champion's improvement over the baseline is {now:.4g} in the median of {measured} days ({at_gate}); "
        f"below {limit:.4g} triggers a training"
    )
    return _Finding("performance", now < limit, reason)


# ---- what refuses it ----


def _no_champion(evidence: RetrainEvidence) -> str | None:
    return None if evidence.champion else "there is no champion to replace: start the DAG train for the first one"


def _cooldown(evidence: RetrainEvidence, retrain: RetrainSpec) -> str | None:
    last = max(evidence.trainings, key=lambda training: training.as_of, default=None)
    if last is None:
        return None
    if last.as_of > evidence.day:
        return f"{last.what} is as of {last.as_of}, after this day: it has seen what this day shows"
    end = last.as_of + timedelta(days=retrain.cooldown_days)
    if evidence.day < end:
        return f"{last.what} is as of {last.as_of}; the cool-down of {retrain.cooldown_days} days ends on {end}"
    return None


def _coverage(evidence: RetrainEvidence, retrain: RetrainSpec) -> str | None:
    if not evidence.rows:
        return f"no label of the last {retrain.performance_days} days is measured: there is nothing new to learn from"
    coverage = evidence.labelled / evidence.rows
    if coverage >= retrain.min_label_coverage:
        return None
    return f"labels are known for {coverage:.1%} of {evidence.rows:,} predictions; {retrain.min_label_coverage:.1%} are needed"


def _budget(evidence: RetrainEvidence, retrain: RetrainSpec) -> str | None:
    day = evidence.day
    spent = sum((t.as_of.year, t.as_of.month) == (day.year, day.month) for t in evidence.trainings)
    if spent < retrain.monthly_trainings:
        return None
    return f"{spent} trainings in {day:%Y-%m} already; the month's budget is {retrain.monthly_trainings}"
