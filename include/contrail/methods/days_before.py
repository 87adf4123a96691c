"""The days that a day is compared with: the last days before it, or those of its weekday.

A comparison with the days just before sees what changed, not what the season has moved since the training. What the
comparison finds does not belong here.
"""

from collections.abc import Sequence
from datetime import date

import numpy as np
import numpy.typing as npt

# Only days so near count: a season has hardly moved in them, and a day's verdict rests on few days.
REACH_DAYS = 28
LAST_DAYS = 14
LEAST_DAYS = 3

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def pooled(days: Sequence[date], counts: Floats, *, same_weekday: bool) -> Floats:
    """Add up the counts of the days before each day.

    These are the last ``LAST_DAYS`` days that have rows, or all of the same weekday, of the ``REACH_DAYS`` days before.

    Args:
        days: Days that have rows, in order.
        counts: Their counts, shape (days, bins).
        same_weekday: Whether only days of the same weekday count.

    Returns:
        Sums in the shape of ``counts``.
    """
    numbers = _numbers(days)
    if not same_weekday:
        # Sums of whole numbers are exact, so these differences are, too.
        upto = np.concatenate([np.zeros((1, counts.shape[1])), np.cumsum(counts, axis=0)])
        return np.asarray(upto[: len(days)] - upto[_first(numbers)])
    found = np.zeros_like(counts, dtype=np.float64)
    for at, there in _of_weekday(numbers):
        found[there] += counts[at[there]]
    return found


def enough_before(days: Sequence[date], *, same_weekday: bool) -> Flags:
    """Return whether each day has ``LEAST_DAYS`` days or more to be compared with."""
    numbers = _numbers(days)
    if not same_weekday:
        return np.asarray(np.arange(len(days)) - _first(numbers) >= LEAST_DAYS)
    return np.asarray(sum(there.astype(int) for _, there in _of_weekday(numbers)) >= LEAST_DAYS)


def _numbers(days: Sequence[date]) -> npt.NDArray[np.int64]:
    return np.array([day.toordinal() for day in days], dtype=np.int64)


def _first(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The position of the first of the last days."""
    return np.maximum(np.searchsorted(numbers, numbers - REACH_DAYS), np.arange(len(numbers)) - LAST_DAYS)


def _of_weekday(numbers: npt.NDArray[np.int64]) -> list[tuple[npt.NDArray[np.int64], Flags]]:
    """For each week back: the position of the day then, and whether it has rows."""
    weeks = [numbers - back for back in range(7, REACH_DAYS + 1, 7)]
    at = [np.minimum(np.searchsorted(numbers, then), len(numbers) - 1) for then in weeks]
    return [(where, numbers[where] == then) for where, then in zip(at, weeks, strict=True)]
