"""In which segment quality fell: each segment's days beside the rest of the same days, and beside its own earlier days.

A storm makes every flight's prediction worse. So a segment's loss counts above that of the other rows of its day. What is
usual of that difference, its own earlier days tell. This module is pure maths over a few numbers a day and segment.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from statistics import NormalDist

import numpy as np

# Segments with fewer labelled rows on a day are not judged on it.
LEAST_ROWS = 20
# A verdict rests on the last days that lie so near, and on as many days before them as a season lasts unchanged.
RUN_DAYS, OF_DAYS = 3, 7
BEFORE_DAYS, LEAST_DAYS = 56, 20
REACH_DAYS = BEFORE_DAYS + OF_DAYS
# One strange day counts at most so much, in its usual distances. Chosen on April to August of flight_delay, as the rate.
_MOST = 3.0
# The chance of a false alarm a quarter, over all segments, if usual distances were normal. Real days have longer tails.
_RATE, _QUARTER = 0.1, 92
_BAD = 1.0
# A fall ends when the sum is below this share of what began it, so it is told once.
_ENDS = 0.5

Name = tuple[str, str]


@dataclass(frozen=True)
class Compared:
    """A segment's day. ``excess`` is its mean loss above what was expected, less that of the rest of the day.

    ``noise`` is the standard deviation that chance alone gives ``excess``; 0 where nobody can tell.
    """

    excess: float
    noise: float


@dataclass(frozen=True)
class Judged:
    """The verdict on a segment's day.

    ``worse`` is how far ``excess`` lies above the segment's usual one, in its usual distances. ``fall`` is the sum of the
    last days over the root of their number. Beyond ``threshold`` a fall begins, and below half of it the fall ends.
    ``since`` is the first day of the fall that is on. All are None without enough days before.
    """

    compared: Compared
    worse: float | None = None
    fall: float | None = None
    threshold: float | None = None
    since: date | None = None

    @property
    def fell(self) -> bool:
        """Whether the quality of the segment is judged to have fallen."""
        return self.since is not None


Days = Mapping[date, Mapping[Name, Judged]]


def judge(before: Days, days: Mapping[date, Mapping[Name, Compared]]) -> dict[date, dict[Name, Judged]]:
    """Judge days one after the other.

    Args:
        before: The days before, as they were judged, ``REACH_DAYS`` of them or more.
        days: The days to judge, by the segments that have enough rows.
    """
    known: dict[Name, dict[date, Judged]] = {}
    for day in sorted(set(before) - set(days)):
        for name, one in before[day].items():
            known.setdefault(name, {})[day] = one
    found: dict[date, dict[Name, Judged]] = {}
    for day in sorted(days):
        own = {name: _distance(day, one, known.get(name, {})) for name, one in days[day].items()}
        tests = sum(worse is not None for worse in own.values())
        found[day] = {}
        for name, worse in own.items():
            past = known.setdefault(name, {})
            found[day][name] = past[day] = _judged(day, days[day][name], worse, past, tests)
    return found


@cache
def threshold_of(segments: int) -> float:
    """Return what the sum over a run seldom exceeds, when so many segments are looked at each day (Bonferroni)."""
    return NormalDist().inv_cdf(1 - _RATE / (_QUARTER * max(segments, 1)))


def _distance(day: date, own: Compared, past: Mapping[date, Judged]) -> float | None:
    """How far a day lies from the usual, in usual distances. The days of its own run do not say what is usual."""
    first, last = day - timedelta(days=REACH_DAYS), day - timedelta(days=RUN_DAYS)
    # A fall does not become the usual while it is one.
    usual = [one.compared for at, one in past.items() if first <= at < last and not one.fell][-BEFORE_DAYS:]
    if len(usual) < LEAST_DAYS:
        return None
    excess, noise = np.array([one.excess for one in usual]), np.array([one.noise for one in usual])
    of_days = max(0.0, float(excess.var() - np.mean(noise**2)))
    variances = noise**2 + of_days
    unit = float(np.sqrt(own.noise**2 + of_days))
    if not unit or not variances.all():
        return None
    centre = float(np.average(excess, weights=1 / variances))
    return (own.excess - centre) / unit


def _judged(day: date, own: Compared, worse: float | None, past: Mapping[date, Judged], tests: int) -> Judged:
    if worse is None:
        return Judged(own)
    first = day - timedelta(days=OF_DAYS - 1)
    run = [(at, one.worse) for at, one in past.items() if first <= at < day and one.worse is not None]
    run = [*sorted(run)[-(RUN_DAYS - 1) :], (day, worse)]
    if len(run) < RUN_DAYS:
        return Judged(own, worse)
    fall = float(sum(max(-_MOST, min(_MOST, value)) for _, value in run) / np.sqrt(RUN_DAYS))
    limit = threshold_of(tests)
    since = past[run[-2][0]].since if fall > limit * _ENDS else None
    if fall > limit and since is None:
        since = min(at for at, value in run if value > _BAD)
    return Judged(own, worse, fall, limit, since)


def begins(days: Days, before: Days) -> list[tuple[Name, date, date]]:
    """List the falls that begin within days: segment, the day on which it was seen, and since when. In the order of days."""
    every, found = {**before, **days}, []
    for day in sorted(days):
        for name, one in sorted(days[day].items()):
            if one.since is not None and not _fell_before(every, name, day):
                found.append((name, day, one.since))
    return found


def _fell_before(every: Days, name: Name, day: date) -> bool:
    earlier: Iterable[date] = (day - timedelta(days=back) for back in range(1, OF_DAYS))
    last: Sequence[Judged] = [every[at][name] for at in earlier if at in every and name in every[at]]
    return bool(last) and last[0].fell
