"""Drift of features, decided by thresholds that were calibrated on the reference's own days.

A day's distribution of a feature is compared with the training window's: how far would its rows have to be moved,
counted in ranks of the window, to look like the window (earth mover's distance)? What is far is learned from the window
itself: each of its days is compared with all the others, and the threshold is the distance that a share
``false_alarm_rate`` of them passes. So features with a handful of values a day, which look drifted by any fixed
threshold, are measured by what is usual for them. Then hysteresis over days turns days into a verdict.

Pure functions over Arrow tables and JSON-able dicts: no files, no lake, no reports.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contrail.config.spec import DriftSpec, PipelineSpec
from contrail.errors import DataError

STATISTIC = "earth_mover"
DAY_STATISTIC = "max_exceedance"
WHOLE_DAY = "*"
FORMAT = 2

Verdict = Literal["ok", "watch", "drift"]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Reference = dict[str, Any]
Bins = dict[str, Any]

_PARTITION = "partition_date"
_MAX_CATEGORIES = 200
_MIN_DAYS = 8
_MIN_DAYS_OF_A_WEEKDAY = 3
# Values outside the usual range lie in three bins on either side: just outside, and more than one and ten ranges away.
# They are moved by so much more than the window's whole width of 1. So a new unit is not taken for one more record: a
# feature times ten was found in 61 % of the features of flight_delay, in 21 % without a measure of how far outside.
_RANGES_AWAY = (1, 10)
_OUTSIDE = (0.1, 0.5, 1.0)
# In the day's statistic a feature's distance counts in multiples of its own threshold's, and that is set by two or three
# days of the window. So this share of the distribution moved is added, or the feature with the luckiest threshold would
# decide: all of a feature missing was found in 54 % of the features without it, in 84 % with it.
_SCALE_ADDED = 0.05
_FOLDS = 10
# A drift that is neither cleared nor raised again is forgotten after so many times of_days.
_MEMORY = 4


@dataclass(frozen=True)
class DayStatistics:
    """How far each day lies from a reference.

    ``values`` has a row a day and a column a feature; ``day_values`` is a day's largest exceedance over the features,
    where 0 is a feature's median distance and 1 a little above its own threshold.
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
        """For each day, whether it as a whole is unusual."""
        return [bool(value > self.day_threshold) for value in self.day_values]


@dataclass(frozen=True)
class DayVerdict:
    """The verdict of a day: ``unusual_days`` counts the unusual ones among the last ``of_days``."""

    day: date
    unusual_days: int
    verdict: Verdict


# ---- the reference ----


def build_reference(features: pa.Table, spec: PipelineSpec) -> Reference:
    """The drift reference of a training window, to be stored with the model as JSON.

    The first ``lookback_days`` of a pipeline are left out when enough others remain: their features rest on less
    history than those of any later day.

    Args:
        features: Rows of the window: ``partition_date`` and every column of ``spec.features``.
        spec: Gives the features, ``drift.bins`` and ``drift.false_alarm_rate``.

    Returns:
        For each feature its bins, the window's histogram (also by weekday, where a weekday's own histogram predicts
        its days better than the histogram of all days does), the median distance and the threshold; for the day as a
        whole the threshold of its largest exceedance.

    Raises:
        DataError: if the window has fewer days than any threshold could be learned from.
    """
    features = _with_history(features, spec)
    days, codes = _days_of(features)
    if len(days) < _MIN_DAYS:
        raise DataError(
            f"a drift reference needs {_MIN_DAYS} days or more; the training window has {len(days)} with rows. "
            "Train on a longer range of partitions."
        )
    rate = spec.drift.false_alarm_rate
    weekdays = np.array([day.weekday() for day in days])
    columns: dict[str, Any] = {}
    distances = np.empty((len(days), len(spec.features.columns)))
    for i, (name, feature) in enumerate(spec.features.columns.items()):
        bins = _bins_of(features.column(name), feature.kind, spec.drift.bins, codes)
        counts = _histograms(features.column(name), bins, codes, len(days))
        bins["gaps"] = _gaps(bins, counts)
        pools, distances[:, i] = _calibrate(bins, counts, weekdays)
        columns[name] = {**bins, **pools}
    medians, thresholds = _usual(distances, rate)
    for i, column in enumerate(columns.values()):
        column |= {"median": float(medians[i]), "threshold": float(thresholds[i])}
    return {
        "format": FORMAT,
        "statistic": STATISTIC,
        "false_alarm_rate": rate,
        "first_day": str(days[0]),
        "last_day": str(days[-1]),
        "days": len(days),
        "rows": features.num_rows,
        "features": columns,
        "day_threshold": _day_threshold(distances, rate),
    }


def _with_history(features: pa.Table, spec: PipelineSpec) -> pa.Table:
    first = spec.first_partition + timedelta(days=spec.features.lookback_days)
    later = features.filter(pc.greater_equal(features.column(_PARTITION), pa.scalar(first, pa.date32())))
    enough = len(pc.unique(later.column(_PARTITION))) >= max(_MIN_DAYS, spec.features.lookback_days)
    return later if enough else features


def _calibrate(bins: Bins, counts: Floats, weekdays: Codes) -> tuple[dict[str, Any], Floats]:
    """The histograms to compare with, and each day's distance from the others'."""
    total = counts.sum(axis=0)
    pools: dict[str, Any] = {"histogram": total.astype(int).tolist(), "by_weekday": None}
    distances = _distances(bins, counts, total - counts)
    if np.bincount(weekdays, minlength=7).min() < _MIN_DAYS_OF_A_WEEKDAY:
        return pools, distances
    by_weekday = np.stack([counts[weekdays == weekday].sum(axis=0) for weekday in range(7)])
    like = _distances(bins, counts, by_weekday[weekdays] - counts)
    if like.mean() >= distances.mean():
        return pools, distances
    return {**pools, "by_weekday": by_weekday.astype(int).tolist()}, like


def _usual(distances: Floats, rate: float) -> tuple[Floats, Floats]:
    """Median and threshold of each column."""
    return np.median(distances, axis=0), _upper_quantile(distances, rate)


def _upper_quantile(values: Floats, rate: float) -> Floats:
    """The value that one more day of the same kind passes with probability ``rate``, over the first axis.

    With rank (n + 1)(1 - rate) among n days; with too few days for the rate, it is the largest.
    """
    found: Floats = np.quantile(values, 1 - rate, axis=0, method="weibull")
    return found


def _exceedances(distances: Floats, medians: Floats, thresholds: Floats) -> Floats:
    return (distances - medians) / (thresholds - medians + _SCALE_ADDED)


def _day_threshold(distances: Floats, rate: float) -> float:
    """Threshold of the largest exceedance of a day.

    Each day is judged by thresholds learned from the other folds' days, as every later day will be. With thresholds
    that have seen the day itself there were twice as many false alarms as asked for (forty simulated years).
    """
    fold = np.arange(len(distances)) % min(_FOLDS, len(distances))
    largest = np.empty(len(distances))
    for k in np.unique(fold):
        usual = _usual(distances[fold != k], rate)
        largest[fold == k] = _exceedances(distances[fold == k], *usual).max(axis=1)
    return float(_upper_quantile(largest, rate))


# ---- histograms ----


def _days_of(features: pa.Table) -> tuple[list[date], Codes]:
    days, codes = np.unique(features.column(_PARTITION).to_numpy(), return_inverse=True)
    return days.astype("datetime64[D]").astype(object).tolist(), codes


def _bins_of(column: pa.ChunkedArray, kind: str, bins: int, codes: Codes) -> Bins:
    if kind == "category":
        counts = pc.cast(column, pa.string()).drop_null().value_counts()
        ranked = sorted(counts.to_pylist(), key=lambda entry: (-entry["counts"], entry["values"]))
        return {"kind": kind, "values": [entry["values"] for entry in ranked[:_MAX_CATEGORIES]]}
    numbers = _numbers(column)
    known = ~np.isnan(numbers)
    return {"kind": kind, "edges": _edges(numbers[known], bins, codes[known])}


def _edges(numbers: Floats, bins: int, codes: Codes) -> list[float]:
    """Right ends of bins of about equal counts, with three bins below the usual range and three above it.

    The range leaves out what only one day has, below and above: so a day that goes beyond all others is as strange
    among the reference's own days as it would be later, and the threshold has seen one.
    """
    if not len(numbers):
        return []
    first, last = _usual_range(numbers, codes)
    usual = np.sort(numbers[(numbers >= first) & (numbers <= last)])
    changes = np.flatnonzero(np.diff(usual)) + 1
    if len(changes) < bins:
        inner = usual[np.append(0, changes)]
    else:
        inner = usual[np.ceil(np.arange(1, bins + 1) / bins * len(usual)).astype(int) - 1]
    low, high = float(usual[0]), float(usual[-1])
    width = max(high - low, abs(high) / 10, 1e-9)
    below = [low - far * width for far in reversed(_RANGES_AWAY)]
    above = [high + far * width for far in _RANGES_AWAY]
    return [float(edge) for edge in np.unique([*below, np.nextafter(low, -np.inf), *inner, *above])]


def _usual_range(numbers: Floats, codes: Codes) -> tuple[float, float]:
    """From the second lowest of the days' minima to the second highest of their maxima."""
    lowest, highest = np.full(codes.max() + 1, np.inf), np.full(codes.max() + 1, -np.inf)
    np.minimum.at(lowest, codes, numbers)
    np.maximum.at(highest, codes, numbers)
    first, last = np.sort(lowest)[:2].max(), np.sort(highest)[-2:].min()
    return (first, last) if first <= last else (numbers.min(), numbers.max())


def _histograms(column: pa.ChunkedArray, bins: Bins, codes: Codes, days: int) -> Floats:
    """Counts with a row a day; the last bin is of missing values, a category's one before of unknown values."""
    if bins["kind"] == "category":
        size = len(bins["values"]) + 2
        texts = pc.cast(column, pa.string())
        found = pc.index_in(texts, value_set=pa.array(bins["values"], pa.string())).fill_null(size - 2)
        binned = np.where(column.is_null().to_numpy(), size - 1, found.to_numpy())
    else:
        size = len(bins["edges"]) + 2
        numbers = _numbers(column)
        binned = np.where(np.isnan(numbers), size - 1, np.searchsorted(bins["edges"], numbers, side="left"))
    return np.bincount(codes * size + binned, minlength=days * size).reshape(days, size).astype(np.float64)


def _numbers(column: pa.ChunkedArray) -> Floats:
    return np.asarray(pc.cast(column, pa.float64()).fill_null(math.nan).to_numpy())


def _gaps(bins: Bins, counts: Floats) -> list[float]:
    """How far each bin lies from the next, where the window's own values span 0 to 1 by rank; none for a category."""
    if bins["kind"] == "category" or not bins["edges"]:
        return []
    shares = _shares(counts.sum(axis=0, keepdims=True)[:, len(_OUTSIDE) : -len(_OUTSIDE) - 1])[0]
    ranks = np.cumsum(shares) - shares / 2
    outside = np.array(_OUTSIDE)
    return np.diff([*-outside[::-1], *ranks, *(1 + outside)]).tolist()


def _distances(bins: Bins, counts: Floats, others: Floats) -> Floats:
    """How far the rows of one array of counts are from those of another, 0 for the same distribution.

    Numbers: the mean way, in ranks of the window, that rows must be moved (earth mover's distance), and the
    difference of the missing shares, as if a missing value were 1 away. Categories: the share of rows to be moved.
    """
    others = np.broadcast_to(others, counts.shape)
    if bins["kind"] == "category":
        return np.abs(_shares(counts) - _shares(others)).sum(axis=1) / 2
    missing = np.abs(_shares(counts)[:, -1] - _shares(others)[:, -1])
    known, known_others = counts[:, :-1], others[:, :-1]
    ahead = np.abs(np.cumsum(_shares(known) - _shares(known_others), axis=1))[:, :-1]
    # Not a matrix product: its last digits depend on how many days are asked for together.
    moved = (ahead * np.array(bins["gaps"])).sum(axis=1)
    comparable = (known.sum(axis=1) > 0) & (known_others.sum(axis=1) > 0)
    return missing + np.where(comparable, moved, 0)


def _shares(counts: Floats) -> Floats:
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros_like(counts, dtype=np.float64), where=totals > 0)


# ---- days against the reference ----


def day_statistics(features: pa.Table, reference: Reference) -> DayStatistics:
    """Measure every day of ``features`` against a reference, all days at once.

    Args:
        features: Rows with ``partition_date`` and the reference's features; a day without rows has no statistics.
        reference: As ``build_reference`` made it.

    Raises:
        DataError: if the reference is of an earlier format, or the features lack a column of it.
    """
    check_format(reference)
    names = tuple(reference["features"])
    if missing := [name for name in names if name not in features.column_names]:
        raise DataError(f"features lack the columns {missing} of the model's drift reference; train a model with them.")
    days, codes = _days_of(features)
    weekdays = np.array([day.weekday() for day in days], dtype=np.int64)
    stored = reference["features"].values()
    values = np.stack(
        [_values(features.column(n), f, codes, weekdays) for n, f in zip(names, stored, strict=True)], axis=1
    )
    medians, thresholds = (np.array([f[name] for f in stored]) for name in ("median", "threshold"))
    return DayStatistics(
        days=tuple(days),
        rows=tuple(np.bincount(codes, minlength=len(days)).tolist()),
        features=names,
        values=values,
        thresholds=thresholds,
        day_values=_exceedances(values, medians, thresholds).max(axis=1),
        day_threshold=reference["day_threshold"],
    )


def check_format(reference: Reference) -> None:
    """Refuse a reference that another version of this module stored.

    Raises:
        DataError: naming both formats and what to do.
    """
    if (found := reference.get("format")) != FORMAT:
        raise DataError(
            f"the model's drift reference has format {found}; this version of Contrail reads format {FORMAT}, which also "
            "says what labels are usual. Its predictions are not affected. Train and promote a model, then run drift again."
        )


def _values(column: pa.ChunkedArray, stored: Bins, codes: Codes, weekdays: Codes) -> Floats:
    counts = _histograms(column, stored, codes, len(weekdays))
    others = np.array(stored["histogram"], dtype=np.float64)[None, :]
    if stored["by_weekday"]:
        others = np.array(stored["by_weekday"], dtype=np.float64)[weekdays]
    return _distances(stored, counts, others)


# ---- hysteresis ----


def history_days(drift: DriftSpec) -> int:
    """How many days before a day its verdict may depend on."""
    return (_MEMORY + 1) * drift.of_days


def verdicts(unusual: Sequence[tuple[date, bool]], drift: DriftSpec) -> list[DayVerdict]:
    """Turn a sequence of days into verdicts.

    Drift is raised on a day with ``raise_days`` unusual ones among the last ``of_days``, and stays until only
    ``clear_days`` are, or until it was not raised again for ``_MEMORY`` times ``of_days``. So one strange day neither
    raises nor prolongs it. Otherwise a day with an unusual one among the last ``of_days`` is on watch.

    A verdict depends on nothing but the ``history_days`` days before it. So runs over any split of a range, in any
    order, come to the same verdicts.

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
