"""Drift of features: how far each day lies from the model's training window, and whether that is unusual.

The earth mover's distance says how far a day's rows must move, in ranks of the window, to look like the window.
``contrail.methods.drift_reference`` learns from the window's own days which distances are unusual.
``contrail.methods.drift_verdicts`` judges several days.

A day's rows count only through its histograms, so a day that has them is judged without its rows. These are pure
functions: no files, no lake, no reports.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from contrail.errors import DataError
from contrail.methods.drift_reference import DriftReference, exceedances
from contrail.methods.histograms import Floats, days_of

DAY_STATISTIC = "max_exceedance"
WHOLE_DAY = "*"

# A day's rows in each bin of each feature.
Histograms = Mapping[str, Floats]


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


def day_histograms(batches: Iterable[pa.Table], reference: DriftReference) -> dict[date, Histograms]:
    """Count the rows of each day in the bins of a reference. One batch at a time is in memory.

    Args:
        batches: Rows with ``partition_date`` and the reference's features, in any order. A day may lie in several.
        reference: The reference of the model's training window.

    Returns:
        The histograms of each day that has rows.

    Raises:
        DataError: if the features lack a column of the reference.
    """
    found: dict[date, dict[str, Floats]] = {}
    for rows in batches:
        if missing := [name for name in reference.features if name not in rows.column_names]:
            raise DataError(
                f"features lack the columns {missing} of the model's drift reference; train a model with them."
            )
        days, codes = days_of(rows)
        for name, usual in reference.features.items():
            for day, counts in zip(days, usual.histograms(rows.column(name), codes, len(days)), strict=True):
                of_day = found.setdefault(day, {})
                of_day[name] = of_day[name] + counts if name in of_day else counts
    return dict(sorted(found.items()))


def day_statistics(histograms: Mapping[date, Histograms], reference: DriftReference) -> DayStatistics:
    """Measure days against a reference, all at once.

    Args:
        histograms: The histograms of each day, in the bins of the reference. A day without rows has no statistics.
        reference: The reference of the model's training window.
    """
    days, names, stored = sorted(histograms), tuple(reference.features), reference.features.values()
    weekdays = np.array([day.weekday() for day in days], dtype=np.int64)
    values = np.empty((len(days), len(names)))
    rows = np.zeros(len(days))
    for i, (name, usual) in enumerate(reference.features.items()):
        counts = np.array([histograms[day][name] for day in days]).reshape(len(days), usual.size)
        values[:, i] = usual.distances(counts, usual.others(weekdays))
        rows = counts.sum(axis=1)  # every row is in one bin of each feature
    medians, thresholds = np.array([f.median for f in stored]), np.array([f.threshold for f in stored])
    return DayStatistics(
        days=tuple(days),
        rows=tuple(rows.astype(int).tolist()),
        features=names,
        values=values,
        thresholds=thresholds,
        day_values=exceedances(values, medians, thresholds).max(axis=1),
        day_threshold=reference.day_threshold,
    )
