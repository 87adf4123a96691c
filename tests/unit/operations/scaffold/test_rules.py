"""Ranges of a contract hold what the sample has, and some more."""

import pytest
from hypothesis import given, strategies

from contrail.operations.scaffold.rules import slack

numbers = strategies.floats(-1e12, 1e12, allow_nan=False)


@given(numbers, numbers)
def test_a_range_holds_the_sample_and_keeps_its_sign(one: float, other: float) -> None:
    least, most = sorted((one, other))
    low, high = slack(least, most)
    assert low <= least <= most <= high
    assert low >= 0 or least < 0, "what was never negative stays so"


@pytest.mark.parametrize(
    ("seen", "bounds"),
    [((3, 97), (0, 200)), ((0, 1), (0, 1)), ((-4, 11), (-20, 30)), ((5, 5), (0, 10)), ((-9, -3), (-20, 3))],
)
def test_the_slack_is_as_wide_as_the_range(seen: tuple[float, float], bounds: tuple[float, float]) -> None:
    assert slack(*seen) == bounds
