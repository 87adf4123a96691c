"""Champions over time, as moves and rollbacks left them. The page's tests read the versions and their evidence."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import hypothesis.strategies as st
from hypothesis import given

from contrail.lake.model_history import AliasMove, in_effect
from contrail.operations.models import reigns

FIRST = date(2024, 1, 1)


def move(version: str, since: date, hour: int = 0) -> AliasMove:
    return AliasMove(
        "champion", None, version, since, datetime(2024, 3, 1, tzinfo=UTC) + timedelta(hours=hour), "", "", ""
    )


def test_a_rollback_takes_the_days_of_the_version_that_it_takes_back() -> None:
    found = reigns([move("1", date(2024, 1, 1)), move("2", date(2024, 2, 1)), move("1", date(2024, 2, 1))])
    assert [(one.version, one.since, one.until) for one in found] == [("1", date(2024, 1, 1), None)]


def test_each_reign_ends_the_day_before_the_next() -> None:
    found = reigns([move("1", date(2024, 1, 1)), move("2", date(2024, 2, 1))])
    assert [one.until for one in found] == [date(2024, 1, 31), None]
    assert reigns([]) == ()


@given(st.lists(st.tuples(st.sampled_from("123"), st.integers(0, 30)), max_size=6))
def test_every_day_has_the_champion_that_scoring_would_take(made: list[tuple[str, int]]) -> None:
    moves = [move(version, FIRST + timedelta(days=day), at) for at, (version, day) in enumerate(made)]
    found = reigns(moves)
    assert all(one.version != other.version for one, other in pairwise(found))
    for day in (FIRST + timedelta(days=number) for number in range(32)):
        champion = in_effect(moves, day)
        holds = [one.version for one in found if one.since <= day and (one.until is None or day <= one.until)]
        assert holds == ([champion.version_after] if champion else [])
