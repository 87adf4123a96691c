"""Drift of the predictions themselves: of their distribution, and of the reasons that are published with them.

Each day is compared with the days just before it, as ``methods.drift`` compares features. What is usual, the days before
tell: a model keeps nothing of its own predictions. Days of another version are no comparison. Reading days belongs elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from math import fsum
from typing import Final

from contrail.config.model_spec import DriftSpec
from contrail.methods.days_before import LAST_DAYS, LEAST_DAYS, REACH_DAYS
from contrail.methods.drift_verdicts import history_days

# No feature can have such a name.
SCORES: Final = "(scores)"
REASONS: Final = "(reasons)"
STATISTICS: Final = {SCORES: "quantile_distance", REASONS: "share_distance"}
QUANTILES = tuple(round(0.05 * number, 2) for number in range(1, 20))

# A day is judged by what the runs of so many days before it did, when at least so many of these are known.
_LEARNED_DAYS, _LEAST_RUNS = 56, 28
# A day must move so much further than any of these runs. Chosen on April to August of flight_delay: see
# ``benchmarks/early_quality.py``.
_FURTHER = 1.25


@dataclass(frozen=True)
class PredictedDay:
    """The predictions of a day: the version that made them, their rows, their quantiles, and what their reasons add up to.

    ``reasons`` has the sum of the sizes of its contributions for each feature that is named as a reason.
    """

    version: str
    rows: int
    quantiles: tuple[float, ...]
    reasons: Mapping[str, float]


@dataclass(frozen=True)
class Moved:
    """How far a day moved from the days before, and beyond which distance that is unusual."""

    rows: int
    value: float
    threshold: float

    @property
    def unusual(self) -> bool:
        """Whether the day is unusual."""
        return self.value > self.threshold


def reach_days(drift: DriftSpec) -> int:
    """Return the number of days before a day on which its verdict may depend."""
    return history_days(drift) + 1 + _LEARNED_DAYS + drift.of_days + REACH_DAYS


def moved(days: Mapping[date, PredictedDay], name: str, drift: DriftSpec) -> dict[date, Moved]:
    """Measure each day whose usual distances are known.

    Args:
        days: Days with predictions; those that are judged, and ``reach_days`` before them.
        name: ``SCORES`` or ``REASONS``.
        drift: How many days are a run.
    """
    distances = _distances(days, name)
    runs = {day: run for day in distances if (run := _run(distances, day, drift)) is not None}
    found = {}
    for day, value in distances.items():
        last = day - timedelta(days=drift.of_days)
        known = [run for at, run in runs.items() if last - timedelta(days=_LEARNED_DAYS) < at <= last]
        if len(known) >= _LEAST_RUNS:
            found[day] = Moved(days[day].rows, value, _FURTHER * max(known))
    return found


def _run(distances: Mapping[date, float], day: date, drift: DriftSpec) -> float | None:
    """What ``raise_days`` of the ``of_days`` days up to a day exceed. None with fewer days."""
    near = [distances[at] for back in range(drift.of_days) if (at := day - timedelta(days=back)) in distances]
    return sorted(near)[-drift.raise_days] if len(near) >= drift.raise_days else None


def _distances(days: Mapping[date, PredictedDay], name: str) -> dict[date, float]:
    """The distance of each day from the last days, or from its own weekday's, whichever is nearer."""
    found: dict[date, float] = {}
    for version in sorted({one.version for one in days.values()}):
        own = sorted(day for day, one in days.items() if one.version == version)
        values = {day: _quantiles(days[day]) if name == SCORES else _shares(days[day]) for day in own}
        for at, day in enumerate(own):
            last = [one for one in own[max(0, at - LAST_DAYS) : at] if day - one <= timedelta(days=REACH_DAYS)]
            weekday = [one for back in range(7, REACH_DAYS + 1, 7) if (one := day - timedelta(days=back)) in values]
            nearest = [
                _distance(values[day], [values[one] for one in before], name)
                for before in (last, sorted(weekday))
                if len(before) >= LEAST_DAYS
            ]
            if nearest and values[day]:
                found[day] = min(nearest)
    return dict(sorted(found.items()))


def _distance(own: Mapping[str, float], before: list[Mapping[str, float]], name: str) -> float:
    """The mean distance of quantiles, or the share that moved, from the mean of other days. The sums are exact."""
    names = sorted({key for one in (own, *before) for key in one})
    sizes = [abs(own.get(key, 0.0) - fsum(one.get(key, 0.0) for one in before) / len(before)) for key in names]
    return fsum(sizes) / (len(names) if name == SCORES else 2)


def _quantiles(day: PredictedDay) -> dict[str, float]:
    return {str(at): value for at, value in zip(QUANTILES, day.quantiles, strict=True)}


def _shares(day: PredictedDay) -> dict[str, float]:
    """Each feature's share of what the reasons of a day add up to."""
    total = fsum(day.reasons.values())
    return {name: size / total for name, size in day.reasons.items()} if total else {}
