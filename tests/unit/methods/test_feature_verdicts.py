import pytest

from contrail.methods.feature_verdicts import (
    MARGIN,
    Evidence,
    covered,
    doubtful,
    harmless,
    margin_of,
    representative,
    together,
)
from contrail.methods.intervals import Interval


def interval(low, high):
    return Interval(estimate=(low + high) / 2, low=low, high=high, confidence=0.95)


USEFUL, NOTHING = interval(0.01, 0.02), interval(-0.001, 0.001)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.001, 0.001, True),
        (-0.003, -0.001, True),  # the model is better without it
        (0.0, 0.002, True),
        (0.0001, 0.001, False),  # surely a loss, however small
        (-0.01, 0.011, False),  # too few days to know
    ],
)
def test_harmless_contains_zero_and_stays_below_the_margin(low, high, said):
    assert harmless(interval(low, high), 0.002) is said


def test_the_margin_is_a_share_of_what_the_model_gains():
    assert margin_of(0.4, 0.5) == pytest.approx(0.1 * MARGIN)
    assert margin_of(0.6, 0.5) == 0, "a model that gains nothing has nothing to spare"


FOUND = {
    one.name: one
    for one in (
        Evidence("useful", USEFUL, 0.5),
        Evidence("useless", NOTHING, 0.0),
        Evidence("twin", USEFUL, 0.2, cluster=("twin", "larger")),
        Evidence("larger", NOTHING, 0.3, cluster=("twin", "larger")),
    )
}


def test_who_is_tried_alone_costs_nothing_when_shuffled_and_has_no_twin():
    assert doubtful(FOUND) == ("useless",)


def test_the_feature_of_a_cluster_that_is_used_most_covers_the_others():
    assert representative([FOUND["twin"], FOUND["larger"]]).name == "larger"
    assert covered(FOUND) == [("twin",)]


def test_all_go_together_if_together_they_are_harmless():
    asked = []
    drop, tried = together(
        {("a",): NOTHING, ("b", "c"): NOTHING}, {}, lambda names: asked.append(names) or NOTHING, 0.002
    )
    assert drop == ("a", "b", "c")
    assert asked == [("a", "b", "c")]
    assert tried == [(("a", "b", "c"), NOTHING)]


def test_fewer_go_until_they_are_harmless_the_least_loss_and_the_dearest_first():
    alone = {("a",): interval(0, 0.002), ("b",): NOTHING, ("c",): NOTHING, ("d",): interval(-0.001, 0.0)}
    sets = {("a", "b", "c", "d"): USEFUL, ("c", "d"): NOTHING}
    drop, tried = together(alone, {"c": 3.0, "b": 1.0}, lambda names: sets[names], 0.002)
    assert drop == ("c", "d")
    assert [names for names, _ in tried] == [("a", "b", "c", "d"), ("c", "d")]


def test_the_last_one_is_tried_with_more_seeds_too_and_nothing_may_be_left():
    drop, tried = together({("a",): NOTHING, ("b",): NOTHING}, {}, lambda names: USEFUL, 0.002)
    assert drop == ()
    assert [names for names, _ in tried] == [("a", "b"), ("a",)]
    assert together({}, {}, lambda names: USEFUL, 0.002) == ((), [])
