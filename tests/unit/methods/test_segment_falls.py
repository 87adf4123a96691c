"""In which segment quality fell: named within three days, seldom for nothing."""

from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
import pytest

from contrail.methods.segment_falls import BEFORE_DAYS, Compared, Judged, Name, begins, judge, threshold_of

FIRST = date(2024, 1, 1)
NAMES = [("carrier", value) for value in "ABCDEFGH"]
START = 70


def days(seed: int, count: int = 100, noise: float = 0.02) -> dict[date, dict[Name, Compared]]:
    """Segments whose days stray by 0.05, beside chance."""
    rng = np.random.default_rng(seed)
    return {
        FIRST + timedelta(days=at): {
            name: Compared(float(rng.normal(0, 0.05) + rng.normal(0, noise)), noise) for name in NAMES
        }
        for at in range(count)
    }


def with_fall(of: Mapping[date, dict[Name, Compared]], name: Name, size: float) -> dict[date, dict[Name, Compared]]:
    start = FIRST + timedelta(days=START)
    return {
        day: {
            one: Compared(found.excess + size * (one == name and day >= start), found.noise)
            for one, found in segments.items()
        }
        for day, segments in of.items()
    }


def test_a_fall_is_named_within_three_days_and_no_other_segment_is() -> None:
    named = 0
    for seed in range(20):
        found = begins(judge({}, with_fall(days(seed), ("carrier", "C"), 0.25)), {})
        start = FIRST + timedelta(days=START)
        named += any(name == ("carrier", "C") and start <= seen < start + timedelta(days=3) for name, seen, _ in found)
    assert named >= 18


def test_ordinary_days_seldom_raise_a_fall() -> None:
    count = sum(len(begins(judge({}, days(seed, 92 + BEFORE_DAYS)), {})) for seed in range(20))
    assert count / 20 <= 1


def test_one_strange_day_raises_nothing() -> None:
    for seed in range(5):
        quiet = days(seed)
        at = FIRST + timedelta(days=START)
        for near in range(-2, 3):
            quiet[at + timedelta(days=near)][("carrier", "B")] = Compared(9.0 if near == 0 else 0.0, 0.02)
        assert not any(name == ("carrier", "B") for name, _, _ in begins(judge({}, quiet), {}))


def test_a_fall_is_told_once_and_ends_with_its_cause() -> None:
    quiet = days(3, 120)
    for at in range(START, START + 8):
        day = FIRST + timedelta(days=at)
        quiet[day][("carrier", "A")] = Compared(0.6, 0.02)
    judged = judge({}, quiet)
    told = [one for one in begins(judged, {}) if one[0] == ("carrier", "A")]
    assert len(told) == 1
    assert told[0][2] == FIRST + timedelta(days=START)
    last = max(day for day, of in judged.items() if of[("carrier", "A")].fell)
    assert last < FIRST + timedelta(days=START + 8 + 3)


def test_any_split_of_the_days_gives_the_same_verdicts() -> None:
    whole = with_fall(days(1), ("carrier", "D"), 0.3)
    known: dict[date, dict[Name, Judged]] = {}
    for day in whole:
        known |= judge(known, {day: whole[day]})
    assert known == judge({}, whole)


def test_a_new_segment_is_not_judged_before_it_has_days() -> None:
    quiet = days(2)
    new = ("carrier", "new")
    for at in range(60, 100):
        quiet[FIRST + timedelta(days=at)][new] = Compared(5.0, 0.02)
    judged = judge({}, quiet)
    assert judged[FIRST + timedelta(days=70)][new] == Judged(Compared(5.0, 0.02))
    assert not judged[FIRST + timedelta(days=99)][new].fell, "what it always was is no fall"


def test_segments_that_never_change_are_not_judged() -> None:
    quiet = {FIRST + timedelta(days=at): {("a", "x"): Compared(0.0, 0.0)} for at in range(60)}
    assert all(of[("a", "x")].worse is None for of in judge({}, quiet).values())


def test_more_segments_ask_for_more() -> None:
    assert [threshold_of(count) for count in (1, 10, 100)] == pytest.approx([3.06, 3.70, 4.24], abs=0.02)
