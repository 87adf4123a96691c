"""The verdict on a day: hysteresis turns the unusual features of several days into ok, watch or drift.

``contrail.methods.drift`` decides which features are unusual.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from itertools import chain
from typing import Literal

from contrail.config.model_spec import DriftSpec

Verdict = Literal["ok", "watch", "drift"]

# A drift that is neither cleared nor raised again ends after this many times of_days.
_MEMORY = 4


@dataclass(frozen=True)
class DayVerdict:
    """The verdict of a day. One feature was unusual on ``unusual_days`` of the last ``of_days``, and none on more."""

    day: date
    unusual_days: int
    verdict: Verdict


def history_days(drift: DriftSpec) -> int:
    """Return the number of days before a day on which its verdict may depend."""
    return (_MEMORY + 1) * drift.of_days


def verdicts(unusual: Sequence[tuple[date, Collection[str]]], drift: DriftSpec) -> list[DayVerdict]:
    """Turn a sequence of days into verdicts.

    Drift is raised when the same feature is unusual on ``raise_days`` of the last ``of_days`` days. It clears when none is
    unusual on more than ``clear_days`` of them. It also ends when it was not raised again for ``_MEMORY`` times ``of_days``
    days. So one strange day neither raises nor prolongs it, nor do strange days of different features. Without drift, a day
    is on watch when a feature is unusual on half of ``raise_days``, or on more.

    A verdict depends only on the day and the ``history_days`` days before it. So runs over any split of a range, in any
    order, reach the same verdicts.

    Args:
        unusual: Days that have rows, in any order, and the features of each that are unusual.
        drift: ``raise_days``, ``of_days`` and ``clear_days``.

    Returns:
        One verdict for each given day, in the order of days.
    """
    strange = dict(unusual)
    watched = (drift.raise_days + 1) // 2

    @cache
    def count(day: date) -> int:
        days = (strange.get(day - timedelta(days=back), ()) for back in range(drift.of_days))
        return max(Counter(chain.from_iterable(days)).values(), default=0)

    def raised(day: date) -> bool:
        for back in range(_MEMORY * drift.of_days + 1):
            found = count(day - timedelta(days=back))
            if found >= drift.raise_days or found <= drift.clear_days:
                return found >= drift.raise_days
        return False

    def verdict(day: date) -> Verdict:
        return "drift" if raised(day) else "watch" if count(day) >= watched else "ok"

    return [DayVerdict(day, count(day), verdict(day)) for day in sorted(strange)]
