"""The verdict on a day: hysteresis turns a sequence of unusual days into ok, watch or drift.

``contrail.methods.drift`` decides which days are unusual.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from contrail.config.model_spec import DriftSpec

Verdict = Literal["ok", "watch", "drift"]

# A drift that is neither cleared nor raised again ends after this many times of_days.
_MEMORY = 4


@dataclass(frozen=True)
class DayVerdict:
    """The verdict of a day. ``unusual_days`` counts the unusual days among the last ``of_days``."""

    day: date
    unusual_days: int
    verdict: Verdict


def history_days(drift: DriftSpec) -> int:
    """Return the number of days before a day on which its verdict may depend."""
    return (_MEMORY + 1) * drift.of_days


def verdicts(unusual: Sequence[tuple[date, bool]], drift: DriftSpec) -> list[DayVerdict]:
    """Turn a sequence of days into verdicts.

    Drift is raised when ``raise_days`` of the last ``of_days`` days are unusual. It clears when only ``clear_days`` of them
    are unusual. It also ends when it was not raised again for ``_MEMORY`` times ``of_days`` days. So one strange day neither
    raises nor prolongs it. Without drift, a day is on watch when one of the last ``of_days`` days is unusual.

    A verdict depends only on the day and the ``history_days`` days before it. So runs over any split of a range, in any
    order, reach the same verdicts.

    Args:
        unusual: Days that have rows, in any order, and whether each is unusual.
        drift: ``raise_days``, ``of_days`` and ``clear_days``.

    Returns:
        One verdict for each given day, in the order of days.
    """
    strange = {day for day, flag in unusual if flag}

    def count(day: date) -> int:
        return sum(day - timedelta(days=back) in strange for back in range(drift.of_days))

    def raised(day: date) -> bool:
        for back in range(_MEMORY * drift.of_days + 1):
            found = count(day - timedelta(days=back))
            if found >= drift.raise_days or found <= drift.clear_days:
                return found >= drift.raise_days
        return False

    return [_verdict(day, count(day), raised(day)) for day in sorted(day for day, _ in unusual)]


def _verdict(day: date, unusual_days: int, raised: bool) -> DayVerdict:
    if raised:
        return DayVerdict(day, unusual_days, "drift")
    return DayVerdict(day, unusual_days, "watch" if unusual_days else "ok")
