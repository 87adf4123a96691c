"""The verdict of the gate's checks, and its words. The checks themselves are in ``gates``."""

from collections.abc import Sequence
from dataclasses import dataclass

from contrail.methods.checks import Check
from contrail.methods.decision_record import Verdict
from contrail.methods.gates import worth_shadowing


@dataclass(frozen=True)
class Judgement:
    """A verdict with its ``summary``. A refusal also has a sentence for each failed check.

    With ``in_shadow`` the refused version is sound, and becomes challenger.
    """

    verdict: Verdict
    in_shadow: bool
    summary: str
    reasons: tuple[str, ...]


def judgement_of(checks: Sequence[Check], version: str, champion: str | None, may_shadow: bool) -> Judgement:
    """Turn the checks into a verdict.

    Args:
        checks: All checks, including an approver's answer.
        version: The judged version.
        champion: The champion's version; None without a champion.
        may_shadow: Whether a sound version that does not beat the champion becomes challenger.
    """
    failed = [check for check in checks if check.passed is False]
    instead = f" in place of version {champion}" if champion else ""
    if failed:
        in_shadow = may_shadow and worth_shadowing(list(checks))
        stays = f"Version {champion} stays champion." if champion else "There is still no champion."
        unseen = f" Version {version} is scored beside it, unseen by analysts." if in_shadow else ""
        summary = f"{len(failed)} of {len(checks)} checks failed. {stays}{unseen}"
        return Judgement("refused", in_shadow, summary, tuple(f"{c.title}: {_explain(c)}" for c in failed))
    if any(check.name == "approval" and check.passed is None for check in checks):
        summary = f"It passed every other check and waits for an approver, who may make it champion{instead}."
        return Judgement("waits", False, summary, ())
    return Judgement("pass", False, f"It becomes champion{instead}; every check passed.", ())


def _explain(check: Check) -> str:
    if check.value is None or check.bound is None:
        return check.detail
    sign = {">=": "≥", "<=": "≤"}.get(check.comparison, check.comparison)
    return f"{_short(check.value)} where {sign} {_short(check.bound)} is needed ({check.detail})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.4f}"
