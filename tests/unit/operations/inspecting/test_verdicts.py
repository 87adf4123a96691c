"""Which trees grow, and what is said of each feature, with planned losses."""

from collections.abc import Sequence

from contrail.methods.feature_verdicts import Drop, Evidence
from contrail.methods.intervals import Interval
from contrail.operations.inspecting.verdicts import MOST_ALONE, verdicts

MARGIN = 0.002


def interval(estimate: float, half: float = 0.001) -> Interval:
    return Interval(estimate=estimate, low=estimate - half, high=estimate + half, confidence=0.95)


class Planned:
    """Each feature has a loss of its own; those of a set add up. Twins cost 0.1 when both are gone."""

    def __init__(self, twins: Drop = (), **alone: float) -> None:
        self.alone, self.twins, self.grown = alone, twins, list[Drop]()

    def grow(self, drops: Sequence[Drop]) -> None:
        self.grown += drops

    def added(self, drop: Drop) -> Interval:
        assert drop in self.grown
        return self._loss(drop)

    def together(self, drop: Drop) -> Interval:
        return self._loss(drop)

    def _loss(self, drop: Drop) -> Interval:
        both = 0.1 if self.twins and {*self.twins} <= {*drop} else 0.0
        return interval(both + sum(self.alone.get(name, 0.0) for name in drop))


def evidence(
    name: str, shuffled: float = 0.0, size: float = 0.1, seconds: float = 0.0, cluster: Drop = (), gain: float = 0.0
) -> Evidence:
    return Evidence(name, interval(shuffled), size, seconds, cluster, gain)


def of(*features: Evidence) -> dict[str, Evidence]:
    return {one.name: one for one in features}


def test_a_useful_feature_is_not_tried_and_a_useless_one_goes():
    found, losses = of(evidence("useful", 0.05), evidence("useless")), Planned()
    result = verdicts(found, losses, MARGIN, (), False)
    assert losses.grown == [("useless",)]
    assert result.drop == ("useless",)
    assert result.of_feature(found["useful"], MARGIN) == (
        "keep",
        "while it tells nothing, the loss rises by +0.05000 (+0.04900 to +0.05100)",
    )


def test_a_feature_that_shuffling_calls_useless_stays_if_trees_need_it():
    found = of(evidence("needed"), evidence("unclear"))
    result = verdicts(found, Planned(needed=0.01, unclear=0.0015), MARGIN, (), False)
    assert result.drop == ()
    assert result.of_feature(found["needed"], MARGIN) == (
        "keep",
        "without it the loss rises by +0.01000 (+0.00900 to +0.01100)",
    )
    verdict, because = result.of_feature(found["unclear"], MARGIN)
    assert verdict == "keep", "0.0015 is more than its half width"
    wide = Planned()
    wide._loss = lambda drop: interval(0.0, 0.01)  # type: ignore[method-assign]
    verdict, because = verdicts(found, wide, MARGIN, (), False).of_feature(found["unclear"], MARGIN)
    assert verdict == "uncertain"
    assert because.endswith("and may rise by more than 0.002")


def test_of_twins_the_one_that_is_used_less_goes_and_the_dear_group_is_told():
    twins = ("a", "b")
    found = of(evidence("a", 0.01, 0.3, cluster=twins), evidence("b", 0.01, 0.2, seconds=1.5, cluster=twins))
    losses = Planned(twins)
    result = verdicts(found, losses, MARGIN, (), False)
    assert losses.grown == [("b",)], "the whole cluster is useful, so nobody tries without it"
    assert result.drop == ("b",)
    assert result.of_feature(found["b"], MARGIN)[1].startswith(
        "it says nearly the same as a; without it the loss changes"
    )
    assert result.of_feature(found["a"], MARGIN)[1].endswith("; it covers b")


def test_twins_that_are_both_useless_go_both():
    twins = ("a", "b")
    found = of(evidence("a", cluster=twins), evidence("b", cluster=twins))
    assert verdicts(found, Planned(), MARGIN, (), False).drop == twins
    assert len(verdicts(found, Planned(twins), MARGIN, (), False).drop) == 1, "one must stay"
    assert len(verdicts(found, Planned(twins), MARGIN, (), True).drop) == 1, "also where each is tried alone"


def test_what_is_harmless_alone_and_not_together_goes_in_part():
    found = of(evidence("a"), evidence("b"))
    result = verdicts(found, Planned(("a", "b"), b=0.0001), MARGIN, (), False)
    assert result.drop == ("a",)
    assert [one.without for one in result.tried if one.why == "together"] == [("a", "b")]
    verdict, because = result.of_feature(found["b"], MARGIN)
    assert (verdict, because.split("; ")[-1]) == ("uncertain", "it could go, but not with all the others")


def test_of_many_useless_ones_those_of_least_gain_are_tried_and_the_others_named():
    """Whatever they cost to build: two calls measure other seconds."""
    last = MOST_ALONE + 4
    many = of(*(evidence(f"f{n:02}", seconds=n / 10, gain=(last - n) // 2) for n in reversed(range(last + 1))))
    losses = Planned()
    result = verdicts(many, losses, MARGIN, ("f00",), False)
    assert [name for (name,) in losses.grown][:2] == ["f00", f"f{last - 1:02}"]
    assert {*result.left} == {"f01", "f02", "f03", "f04"}
    assert result.of_feature(many["f01"], MARGIN) == (
        "uncertain",
        "shuffled, it costs nothing that can be seen; trees without it were not grown",
    )
    assert verdicts(many, Planned(), MARGIN, (), True).left == ()
