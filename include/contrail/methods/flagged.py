"""The share of predictions that are flagged: how large it usually is, and whether it has left that range.

The decision at a threshold is what people act on, and it needs no labels to be watched. A day's share swings with its
weather, so four weeks in a row count. Pure functions over numbers: no lake, no models.
"""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from contrail.frozen import Frozen

Counts = npt.NDArray[np.int64]
RUN_DAYS = 28
# The share counts when some of its days have no predictions, or another model's.
_FEWEST_DAYS = 21
# What chance adds to the shares that the window happened to have, in standard errors of a run's mean.
_BY_CHANCE = 2


class UsualShare(Frozen):
    """The range of the share flagged at ``threshold``, over any 28 days in a row of the training window."""

    threshold: float
    low: float
    high: float


def usual_share(rows: Counts, flagged: Counts, threshold: float) -> UsualShare | None:
    """Learn the usual range from a training window's days, each predicted by trees that had not seen it.

    Args:
        rows: The rows of each day, in order.
        flagged: Those whose prediction is at ``threshold`` or above.
        threshold: Of the decision.

    Returns:
        The range; None for a window of fewer than 28 days.
    """
    if len(rows) < RUN_DAYS:
        return None
    runs = np.convolve(flagged, np.ones(RUN_DAYS), "valid") / np.convolve(rows, np.ones(RUN_DAYS), "valid")
    chance = _BY_CHANCE * float(np.std(flagged / rows)) / RUN_DAYS**0.5
    low, high = max(0.0, float(runs.min()) - chance), min(1.0, float(runs.max()) + chance)
    return UsualShare(threshold=threshold, low=low, high=high)


def recent_share(counts: Mapping[date, tuple[int, int]], day: date) -> float | None:
    """Return the share flagged in the 28 days up to ``day``, from each day's flagged and all predictions.

    Returns:
        The share; None when fewer than 21 of the days have predictions.
    """
    found = [counts[d] for d in (day - timedelta(days=back) for back in range(RUN_DAYS)) if d in counts]
    if len(found) < _FEWEST_DAYS:
        return None
    flagged, rows = (sum(part) for part in zip(*found, strict=True))
    return flagged / rows


def unusual_days(counts: Mapping[date, tuple[int, int]], days: Iterable[date], usual: UsualShare) -> list[date]:
    """List the days whose recent share lies outside the usual range."""
    shares = ((day, recent_share(counts, day)) for day in days)
    return [day for day, share in shares if share is not None and not usual.low <= share <= usual.high]
