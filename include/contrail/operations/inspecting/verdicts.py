"""From losses to verdicts: which trees grow without which features, and what is said of each feature in one sentence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from contrail.methods.feature_verdicts import Drop, Evidence, covered, doubtful, harmless, representative, together
from contrail.methods.intervals import Interval
from contrail.operations.inspecting.results import DROP, KEEP, UNCERTAIN, TriedDrop, Verdict, of

# Features that are tried alone because shuffling them costs nothing to be seen, the least gain first. A thorough
# inspection tries all.
MOST_ALONE = 12
_NOTHING = "shuffled, it costs nothing that can be seen"


@dataclass(frozen=True)
class Verdicts:
    """What was tried, and what follows: the features that may go together, and those that nobody tried."""

    tried: tuple[TriedDrop, ...]
    drop: Drop
    together: Interval | None
    left: tuple[str, ...]

    def alone(self, name: str) -> Interval | None:
        """The loss that trees without this feature alone add, where they were grown."""
        return next((one.added for one in self.tried if one.without == (name,)), None)

    def of_feature(self, one: Evidence, margin: float) -> tuple[Verdict, str]:
        """The verdict on a feature, and why."""
        own, covers = self._tried(one.name), self._covers(one)
        nothing = _NOTHING if one.shuffled.low <= 0 else f"shuffled, it costs {of(one.shuffled)}"
        stays = f"it says nearly the same as {covers}" if covers else nothing
        if one.name in self.drop:
            return DROP, f"{stays}; {_said(own, one.name)}" if own else stays
        if own is not None and own.added.low > 0:
            return KEEP, _said(own, one.name)
        if one.shuffled.low > 0:
            return KEEP, self._kept(one)
        if own is None:
            return UNCERTAIN, f"{_NOTHING}; trees without it were not grown"
        if not own.harmless:
            return UNCERTAIN, f"{_NOTHING}; {_said(own, one.name)}, and may rise by more than {margin:.2g}"
        return UNCERTAIN, f"{stays}; it could go, but not with all the others"

    def _kept(self, one: Evidence) -> str:
        worth = f"while it tells nothing, the loss rises by {of(one.shuffled)}"
        others = [name for name in one.cluster if name in self.drop]
        return f"{worth}; it covers {', '.join(others)}" if others else worth

    def _tried(self, name: str) -> TriedDrop | None:
        """What was tried of a feature: what is harmless first, and then it alone."""
        of_it = [one for one in self.tried if name in one.without and one.why != "together"]
        return min(of_it, key=lambda one: (not one.harmless, len(one.without)), default=None)

    def _covers(self, one: Evidence) -> str | None:
        """The feature that stays for this one."""
        tried = next((t for t in self.tried if t.why == "covered" and one.name in t.without), None)
        return tried.covered_by if tried and tried.covered_by not in self.drop else None


def _said(tried: TriedDrop, name: str) -> str:
    without = "it" if tried.without == (name,) else ", ".join(tried.without)
    verb = "rises" if tried.added.low > 0 else "changes"
    return f"without {without} the loss {verb} by {of(tried.added)}"


class Losses(Protocol):
    """Grows trees without features."""

    def grow(self, drops: Sequence[Drop]) -> None:
        """Grow trees without each of these. What seeds do to all of them widens every interval from now on."""

    def added(self, drop: Drop) -> Interval:
        """The loss that trees without features add, of those that have grown."""

    def together(self, drop: Drop) -> Interval:
        """The same of many features at once, with more seeds; they grow now."""


def verdicts(
    found: Mapping[str, Evidence], losses: Losses, margin: float, extra: Iterable[str], thorough: bool
) -> Verdicts:
    """Grow trees without features, as far as it may tell what to drop.

    Args:
        found: The evidence of each feature.
        losses: Grows trees without features.
        margin: What may be lost.
        extra: Features to try alone, whatever is known of them.
        thorough: Try every feature alone, and every cluster.
    """
    # No measured seconds here: they differ from call to call, and so would the features that are tried.
    candidates = sorted(doubtful(found), key=lambda name: (found[name].gain, name))
    alone = [*found] if thorough else [*dict.fromkeys([*extra, *candidates[:MOST_ALONE]])]
    plan: dict[Drop, tuple[str, str | None]] = {}
    for drop in covered(found):
        stays = _staying(found, drop)
        plan[tuple(sorted(drop))] = "covered", stays
        # A cluster of which even the representative seems useless may go as a whole.
        if thorough or found[stays].shuffled.low <= 0:
            plan[tuple(sorted((*drop, stays)))] = "cluster", None
    for name in alone:
        plan.setdefault((name,), ("alone", None))
    losses.grow([*plan])
    tried = [_tried(why, drop, stays, losses.added(drop), margin) for drop, (why, stays) in plan.items()]
    seconds = {name: one.seconds for name, one in found.items()}
    drop, sets = together(_candidates(found, tried), seconds, losses.together, margin)
    tried += [_tried("together", names, None, of_set, margin) for names, of_set in sets if names not in plan]
    of_drop = next((of_set for names, of_set in sets if names == drop), None) if drop else None
    return Verdicts(tuple(tried), drop, of_drop, tuple(name for name in candidates if name not in alone))


def _staying(found: Mapping[str, Evidence], drop: Drop) -> str:
    return representative([found[name] for name in found[drop[0]].cluster]).name


def _tried(why: str, drop: Drop, stays: str | None, added: Interval, margin: float) -> TriedDrop:
    return TriedDrop.model_validate(
        {"why": why, "without": drop, "covered_by": stays, "added": added, "harmless": harmless(added, margin)}
    )


def _candidates(found: Mapping[str, Evidence], tried: Iterable[TriedDrop]) -> dict[Drop, Interval]:
    """The drops that are harmless alone, none within another. Of a cluster, one feature stays unless all may go."""
    usable = [one for one in tried if one.harmless]
    whole = {name for one in usable if one.why == "cluster" for name in one.without}
    chosen: dict[Drop, Interval] = {}
    for why in ("cluster", "covered", "alone"):
        for one in usable:
            taken = {name for drop in chosen for name in drop}
            # A member of a cluster may be harmless alone only because the others are there.
            stays = why == "alone" and found[one.without[0]].cluster and _staying(found, one.without) == one.without[0]
            if one.why == why and not taken & {*one.without} and not (stays and one.without[0] not in whole):
                chosen[one.without] = one.added
    return chosen
