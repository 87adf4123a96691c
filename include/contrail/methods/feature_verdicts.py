"""Which features a model can do without: who is tried, what counts as harmless, and the set that may go together.

Harmless has two halves. The interval of the loss that is added contains zero, and its upper end stays below a margin: a
share of what the model gains over predicting the mean. So a feature is never given up only because there are few days.
Growing trees and writing sentences do not belong here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from contrail.methods.intervals import Interval

# Of what the model gains over predicting the mean label.
MARGIN = 0.02
Drop = tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """What is known of a feature before any tree grows.

    ``shuffled`` is the loss that is added while it tells nothing; ``size`` its mean absolute SHAP value; ``seconds`` what
    its group costs to build; ``gain`` its share of the trees' gain. ``cluster`` has the features
    that say nearly the same, itself among them; () without any.
    """

    name: str
    shuffled: Interval
    size: float
    seconds: float = 0.0
    cluster: tuple[str, ...] = ()
    gain: float = 0.0


def harmless(added: Interval, margin: float) -> bool:
    """Say whether trees without something lose nothing that is seen, and cannot lose more than the margin."""
    return added.low <= 0 and added.high <= margin


def margin_of(loss: float, of_mean: float) -> float:
    """The margin of a model with this loss, where predicting the mean label has the other."""
    return MARGIN * max(0.0, of_mean - loss)


def representative(cluster: Sequence[Evidence]) -> Evidence:
    """The feature of a cluster that stays: the one that the model uses most; of equals, the first."""
    return max(cluster, key=lambda one: one.size)


def doubtful(found: Mapping[str, Evidence]) -> tuple[str, ...]:
    """The features of no cluster that cost nothing to be seen when they are shuffled."""
    return tuple(one.name for one in found.values() if not one.cluster and one.shuffled.low <= 0)


def covered(found: Mapping[str, Evidence]) -> list[Drop]:
    """For each cluster, the features that its representative may cover."""
    clusters = dict.fromkeys(one.cluster for one in found.values() if one.cluster)
    kept = {cluster: representative([found[name] for name in cluster]).name for cluster in clusters}
    return [tuple(name for name in cluster if name != kept[cluster]) for cluster in clusters]


def together(
    harmless_alone: Mapping[Drop, Interval],
    seconds: Mapping[str, float],
    added: Callable[[Drop], Interval],
    margin: float,
) -> tuple[Drop, list[tuple[Drop, Interval]]]:
    """Find features that may all go: those harmless alone, fewer and fewer of them until they are harmless together.

    Each time the half goes on whose loss alone is least; of equals, the dearest.

    Args:
        harmless_alone: The loss that each drop adds, of those that are harmless.
        seconds: What building each feature costs.
        added: Grows trees without features, and computes the loss that they add.
        margin: What may be lost.

    Returns:
        The features, which may be none, and each set that was tried with the loss that it added.
    """

    def cost(drop: Drop) -> tuple[float, float]:
        return harmless_alone[drop].estimate, -sum(seconds.get(name, 0.0) for name in drop)

    left, tried = sorted(harmless_alone, key=cost), list[tuple[Drop, Interval]]()
    while left:
        every = tuple(sorted(name for drop in left for name in drop))
        found = added(every)
        tried.append((every, found))
        if harmless(found, margin):
            return every, tried
        left = left[: len(left) // 2]
    return (), tried
