"""When a challenger may take the champion's place: the policies that ``gate.policy`` names.

A policy weighs the challenger's gain over the champion, resampled over days. Each is monotone: a challenger that gains more
on every resample never loses a pass. Shares are of the challenger's improvement over the training mean, so that one default
fits every metric and unit. The gate's other checks hold under every policy, and do not belong here.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contrail.config.model_spec import GateSpec
from contrail.methods.checks import Check
from contrail.methods.intervals import Interval, interval_of

BEATS_CHAMPION, REGRET = "beats_champion", "regret_beside_champion"
# They fail only against the champion: a challenger that fails no other is sound.
AGAINST_CHAMPION = (BEATS_CHAMPION, REGRET)


@dataclass(frozen=True)
class Gains:
    """The challenger's improvement over the champion on resamples of the days, shape (samples + 1,), that of all days first.

    Positive is better, in units of the gate's metric. ``skill`` is the challenger's improvement over the training mean.
    """

    values: npt.NDArray[np.float64]
    skill: float

    @property
    def estimate(self) -> float:
        """The gain on the days as they were."""
        return float(self.values[0])

    @property
    def regret(self) -> float:
        """The expected regret of taking the challenger: the mean over resamples of what it is worse by, 0 where it is better."""
        return float(np.nanmean(np.maximum(0.0, -self.values[1:])))


def least_gain(gate: GateSpec, skill: float) -> float:
    """The gain that the policy asks for. It is negative where a challenger may be a little worse."""
    if gate.policy == "not_worse" and gate.min_improvement == 0:
        return -_share(gate.margin_share, skill)
    return gate.min_improvement


def _share(share: float, skill: float) -> float:
    """A share of the skill. Without skill there is nothing to share."""
    return share * max(skill, 0.0)


def champion_checks(gains: Gains, gate: GateSpec) -> list[Check]:
    """Weigh the challenger's gain over the champion as the gate's policy does."""
    interval = interval_of(gains.values, gate.confidence)
    title, value, counts = {
        "superior": ("Better than the champion", interval.low, "its lower end counts"),
        "not_worse": ("Not worse than the champion by more than the margin", interval.low, "its lower end counts"),
        "expected": ("Expected to be better than the champion", interval.estimate, "the estimate counts"),
    }[gate.policy]
    bound = least_gain(gate, gains.skill)
    found = Check(
        name=BEATS_CHAMPION,
        title=title,
        passed=bool(value >= bound),
        value=value,
        bound=bound,
        interval=interval,
        detail=f"{improvement_text(gate.metric, interval)}; {counts}",
    )
    return [found, *([_regret(gains, gate)] if gate.policy == "expected" else [])]


def improvement_text(metric: str, interval: Interval) -> str:
    """Say an improvement and its interval in words."""
    better = "better" if interval.estimate >= 0 else "worse"
    return (
        f"{metric.replace('_', ' ')} {better} by {abs(interval.estimate):.4f}; {interval.confidence:.0%} interval of the "
        f"improvement {interval.low:.4f} to {interval.high:.4f}"
    )


def _regret(gains: Gains, gate: GateSpec) -> Check:
    bound = _share(gate.max_regret_share, gains.skill)
    return Check(
        name=REGRET,
        title="Little to regret if the champion is better after all",
        passed=bool(gains.regret <= bound),
        value=gains.regret,
        comparison="<=",
        bound=bound,
        detail=f"over resamples of the days it is worse by {gains.regret:.4f} on average, where being better counts as 0; at "
        f"most {gate.max_regret_share:g} of {gains.skill:.4f}, its improvement on the training mean",
    )


def weighing(checks: Iterable[Check], gate: GateSpec) -> str:
    """Say in one sentence what the policy weighed: the estimate, the bound and the result."""
    known = {check.name: check for check in checks}
    main, regret = known.get(BEATS_CHAMPION), known.get(REGRET)
    head, metric = f"Policy {gate.policy}: ", gate.metric.replace("_", " ")
    if main is None:
        return f"{head}nothing was weighed, because the package or its rows cannot be judged."
    if main.interval is None or main.value is None or main.bound is None:
        return f"{head}there was no champion to weigh it against, so the other checks decide."
    answer = "agrees" if all(c.passed for c in (main, regret) if c) else "refuses"
    if regret is not None and regret.value is not None and regret.bound is not None:
        gain = (
            f"an expected gain of {_plain(main.value)} in {metric} (at least {_plain(main.bound)})"
            if main.value >= 0
            else f"an expected loss of {_plain(-main.value)} in {metric} (where a gain of {_plain(main.bound)} is asked for)"
        )
        what = f"{gain} against an expected regret of {_plain(regret.value)} (at most {_plain(regret.bound)})"
    else:
        what = (
            f"the lower end of the gain in {metric}, {_plain(main.value)} at {gate.confidence:.0%} confidence (estimate "
            f"{_plain(main.interval.estimate)}), against {_plain(main.bound)}"
        )
    return f"{head}it weighs {what}, and {answer}."


def _plain(value: float) -> str:
    """Three digits, without an exponent that readers must count by."""
    return np.format_float_positional(value, precision=3, fractional=False, trim="-")
