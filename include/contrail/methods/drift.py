"""Drift of features: how far each day lies from the model's training window, and whether that is unusual.

The earth mover's distance says how far a day's rows must move, in ranks of the window, to look like the window.
``contrail.methods.drift_reference`` learns from the window's own days which distances are unusual.
``contrail.methods.drift_verdicts`` judges several days.

These are pure functions over Arrow tables: no files, no lake, no reports.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from contrail.errors import DataError
from contrail.methods.drift_reference import DriftReference, exceedances
from contrail.methods.histograms import Floats, days_of

DAY_STATISTIC = "max_exceedance"
WHOLE_DAY = "*"


@dataclass(frozen=True)
class DayStatistics:
    """The distance of each day from a reference.

    ``values`` has shape (days, features). ``day_values`` has each day's largest exceedance over its features: 0 is a
    feature's median distance, and 1 lies a little above its own threshold.
    """

    days: tuple[date, ...]
    rows: tuple[int, ...]
    features: tuple[str, ...]
    values: Floats
    thresholds: Floats
    day_values: Floats
    day_threshold: float

    @property
    def unusual_days(self) -> list[bool]:
        """Whether each day as a whole is unusual."""
        return [bool(value > self.day_threshold) for value in self.day_values]


def day_statistics(features: pa.Table, reference: DriftReference) -> DayStatistics:
    """Measure every day of ``features`` against a reference, all days at once.

    Args:
        features: Rows with ``partition_date`` and the reference's features. A day without rows has no statistics.
        reference: The reference of the model's training window.

    Raises:
        DataError: if the features lack a column of the reference.
    """
    names, stored = tuple(reference.features), reference.features.values()
    if missing := [name for name in names if name not in features.column_names]:
        raise DataError(f"features lack the columns {missing} of the model's drift reference; train a model with them.")
    days, codes = days_of(features)
    weekdays = np.array([day.weekday() for day in days], dtype=np.int64)
    values = np.empty((len(days), len(names)))
    for i, (name, usual) in enumerate(reference.features.items()):
        counts = usual.histograms(features.column(name), codes, len(days))
        values[:, i] = usual.distances(counts, usual.others(weekdays))
    medians, thresholds = np.array([f.median for f in stored]), np.array([f.threshold for f in stored])
    return DayStatistics(
        days=tuple(days),
        rows=tuple(np.bincount(codes, minlength=len(days)).tolist()),
        features=names,
        values=values,
        thresholds=thresholds,
        day_values=exceedances(values, medians, thresholds).max(axis=1),
        day_threshold=reference.day_threshold,
    )
