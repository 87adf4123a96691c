"""Drift of features: how far each day moved from the days before it, and whether that is unusual.

A feature is unusual when it moved from the days before, predictions moved with it, and it is far from the training window.
So a season is no drift, nor is a change that matters to no prediction, nor the end of a fault.
``contrail.methods.drift_reference`` learns from the window which distances are usual. ``contrail.methods.drift_verdicts``
judges several days.

A day's rows count only through its histograms, so a day that has them is judged without its rows. These are pure
functions: no files, no lake, no reports.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contrail.errors import DataError
from contrail.methods.days_before import enough_before, pooled
from contrail.methods.drift_effects import effect_distances
from contrail.methods.drift_reference import DriftReference, Scale, exceedances
from contrail.methods.histograms import Floats, days_of

DAY_STATISTIC = "max_exceedance"
WHOLE_DAY = "*"

# A day's rows in each bin of each feature.
Histograms = Mapping[str, Floats]


@dataclass(frozen=True)
class DayStatistics:
    """How far each feature of each day moved from the days before, all of shape (days, features).

    ``values`` are distances of distributions, in ranks of the training window. ``effects`` are distances of contributions,
    in standard deviations of predictions. ``from_window`` has distances of distributions from the whole training window.
    ``exceedances`` has the smallest of the three on a common scale: 0 is usual, and beyond ``day_threshold`` the feature is
    unusual. The thresholds, of shape (features,), have what each distance must exceed for that.
    """

    days: tuple[date, ...]
    rows: tuple[int, ...]
    features: tuple[str, ...]
    values: Floats
    effects: Floats
    from_window: Floats
    exceedances: Floats
    day_threshold: float
    thresholds: Floats
    effect_thresholds: Floats
    from_window_thresholds: Floats

    @property
    def unusual(self) -> npt.NDArray[np.bool_]:
        """Whether each feature of each day is unusual."""
        return self.exceedances > self.day_threshold

    @property
    def unusual_features(self) -> list[frozenset[str]]:
        """The features of each day that are unusual."""
        return [frozenset(np.array(self.features)[flags].tolist()) for flags in self.unusual]


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


def day_statistics(
    histograms: Mapping[date, Histograms], reference: DriftReference, wanted: Container[date]
) -> DayStatistics:
    """Measure days against the days before them, all at once.

    Args:
        histograms: The histograms of each day that has rows, in the bins of the reference: of the days that are wanted, and
            of ``REACH_DAYS`` days before them. A day with too few days before it is compared with the training window.
        reference: The reference of the model's training window.
        wanted: The days to measure. One without rows has no statistics.
    """
    days, names, stored = sorted(histograms), tuple(reference.features), reference.features.values()
    own = np.array([day in wanted for day in days], dtype=np.bool_)
    enough = {same: enough_before(days, same_weekday=same)[own, None] for same in (False, True)}
    values, effects, from_window = np.empty((3, int(own.sum()), len(names)))
    rows = np.zeros(len(days))
    for i, (name, usual) in enumerate(reference.features.items()):
        counts = np.array([histograms[day][name] for day in days]).reshape(len(days), usual.size)
        window = np.array(usual.histogram, dtype=np.float64)
        before = pooled(days, counts, same_weekday=usual.same_weekday)[own]
        before = np.where(enough[usual.same_weekday], before, window)
        values[:, i] = usual.distances(counts[own], before)
        effects[:, i] = effect_distances(np.array(usual.effects), counts[own], before)
        from_window[:, i] = usual.distances(counts[own], window[None, :])
        rows = counts.sum(axis=1)  # every row is in one bin of each feature
    scales = [[f.distance for f in stored], [f.effect for f in stored], [f.from_window for f in stored]]
    measured = zip((values, effects, from_window), scales, strict=True)
    limits = [np.array([scale.at(reference.day_threshold) for scale in each]) for each in scales]
    return DayStatistics(
        days=tuple(np.array(days, dtype=object)[own].tolist()),
        rows=tuple(rows[own].astype(int).tolist()),
        features=names,
        values=values,
        effects=effects,
        from_window=from_window,
        exceedances=np.min([_exceedances(*each) for each in measured], axis=0),
        day_threshold=reference.day_threshold,
        thresholds=limits[0],
        effect_thresholds=limits[1],
        from_window_thresholds=limits[2],
    )


def _exceedances(values: Floats, scales: Sequence[Scale]) -> Floats:
    return exceedances(values, np.array([s.median for s in scales]), np.array([s.spread for s in scales]))
