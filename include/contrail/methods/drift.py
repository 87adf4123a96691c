"""Drift of features, decided by thresholds that were calibrated on the reference's own days.

A day's histogram of a feature is compared with the training window's by the Jensen-Shannon distance. What is far is
learned from the window itself: each of its days is compared with all the others, and the threshold is the distance
that a share ``false_alarm_rate`` of them passes. So features with a handful of values a day, which look drifted by
any fixed threshold, are measured by what is usual for them. Then hysteresis over days turns days into a verdict.

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

from contrail.errors import DataError
from contrail.spec import DriftSpec, PipelineSpec

STATISTIC = "jensen_shannon"
DAY_STATISTIC = "max_exceedance"
WHOLE_DAY = "*"
FORMAT = 1

Verdict = Literal["ok", "watch", "drift"]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Reference = dict[str, Any]

_PARTITION = "partition_date"
_MAX_CATEGORIES = 200
_MIN_DAYS = 8
_MIN_DAYS_OF_A_WEEKDAY = 3
# Of a feature's own days, this share lies within one spread. Not the threshold's share: that is set by two or three
# days of a window, and measuring the features by it made twice the set rate of false alarms (forty simulated years).
_SPREAD_SHARE = 0.9
_SMALLEST_SPREAD = 0.01
# A drift that is neither cleared nor raised again is forgotten after so many times of_days.
_MEMORY = 4


@dataclass(frozen=True)
class DayStatistics:
    """How far each day lies from a reference.

    ``values`` has a row a day and a column a feature; ``day_values`` is a day's largest exceedance over the features:
    distance above the feature's median distance, in spreads, where one day in ten lies above one spread.
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

    Args:
        features: Rows of the window: ``partition_date`` and every column of ``spec.features``.
        spec: Gives the features, ``drift.bins`` and ``drift.false_alarm_rate``.

    Returns:
        For each feature its bins, the window's histogram (also by weekday, where a weekday's own histogram predicts
        its days better than the histogram of all days does), the usual distance and the threshold; for the day as a
        whole the threshold of its largest exceedance.

    Raises:
        DataError: if the window has fewer days than any threshold could be learned from.
    """
    days, codes = _days_of(features)
    if len(days) < _MIN_DAYS:
        raise DataError(
            f"a drift reference needs {_MIN_DAYS} days or more; the training window has {len(days)} with rows. "
            "Train on a longer range of partitions."
        )
    rate = spec.drift.false_alarm_rate
    weekdays = np.array([day.weekday() for day in days])
    columns: dict[str, Any] = {}
    exceedances = []
    for name, feature in spec.features.columns.items():
        bins = _bins_of(features.column(name), feature.kind, spec.drift.bins, codes)
        counts = _histograms(features.column(name), bins, codes, len(days))
        pools, values = _calibrate(counts, weekdays)
        centre = float(np.median(values))
        spread = max(float(np.quantile(values, _SPREAD_SHARE)) - centre, _SMALLEST_SPREAD)
        threshold = _upper_quantile(values, rate)
        columns[name] = {**bins, **pools, "centre": centre, "spread": spread, "threshold": threshold}
        exceedances.append((values - centre) / spread)
    return {
        "format": FORMAT,
        "statistic": STATISTIC,
        "false_alarm_rate": rate,
        "first_day": str(days[0]),
        "last_day": str(days[-1]),
        "days": len(days),
        "rows": features.num_rows,
        "features": columns,
        "day_threshold": _upper_quantile(np.max(exceedances, axis=0), rate),
    }


def _calibrate(counts: Floats, weekdays: Codes) -> tuple[dict[str, Any], Floats]:
    """The histograms to compare with, and each day's distance from the others'."""
    total = counts.sum(axis=0)
    pools: dict[str, Any] = {"histogram": total.astype(int).tolist(), "by_weekday": None}
    values = _distance(counts, total - counts)
    sizes = np.bincount(weekdays, minlength=7)
    if sizes[sizes > 0].min() < _MIN_DAYS_OF_A_WEEKDAY:
        return pools, values
    by_weekday = np.stack([counts[weekdays == weekday].sum(axis=0) for weekday in range(7)])
    like = _distance(counts, by_weekday[weekdays] - counts)
    if like.mean() >= values.mean():
        return pools, values
    return {**pools, "by_weekday": by_weekday.astype(int).tolist()}, like


def _upper_quantile(values: Floats, rate: float) -> float:
    """The value that one more day of the same kind passes with probability ``rate`` at most.

    It is the order statistic of rank (n + 1)(1 - rate), rounded up; with too few days for the rate, the largest.
    """
    rank = math.ceil((len(values) + 1) * (1 - rate))
    return float(np.sort(values)[min(rank, len(values)) - 1])


# ---- histograms ----


def _days_of(features: pa.Table) -> tuple[list[date], Codes]:
    days, codes = np.unique(features.column(_PARTITION).to_numpy(), return_inverse=True)
    return days.astype("datetime64[D]").astype(object).tolist(), codes


def _bins_of(column: pa.ChunkedArray, kind: str, bins: int, codes: Codes) -> dict[str, Any]:
    if kind == "category":
        counts = pc.cast(column, pa.string()).drop_null().value_counts()
        ranked = sorted(counts.to_pylist(), key=lambda entry: (-entry["counts"], entry["values"]))
        return {"kind": kind, "values": [entry["values"] for entry in ranked[:_MAX_CATEGORIES]]}
    numbers = _numbers(column)
    known = ~np.isnan(numbers)
    return {"kind": kind, "edges": _edges(numbers[known], bins, codes[known])}


def _edges(numbers: Floats, bins: int, codes: Codes) -> list[float]:
    """Right ends of bins of about equal counts; the first bin lies below the usual range, and one more lies above.

    The range leaves out what only one day has, below and above: so a day that goes beyond all others is as strange
    among the reference's own days as it would be later, and the threshold has seen one.
    """
    if not len(numbers):
        return []
    order = np.argsort(numbers, kind="stable")
    numbers, codes = numbers[order], codes[order]
    inside = slice(_run(codes), len(codes) - _run(codes[::-1]))
    numbers = numbers[inside] if inside.start < inside.stop else numbers
    distinct = np.unique(numbers)
    inner = distinct
    if len(distinct) > bins:
        inner = np.quantile(numbers, np.arange(1, bins + 1) / bins, method="inverted_cdf")
    return [float(edge) for edge in np.unique([np.nextafter(numbers[0], -np.inf), *inner])]


def _run(codes: Codes) -> int:
    """How many values at the start equal the first."""
    others = np.flatnonzero(codes != codes[0])
    return int(others[0]) if len(others) else len(codes)


def _histograms(column: pa.ChunkedArray, bins: dict[str, Any], codes: Codes, days: int) -> Floats:
    """Counts with a row a day; the last bin is of missing values, the one before of values unlike any bin's."""
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


def _distance(counts: Floats, others: Floats) -> Floats:
    """Jensen-Shannon distance (0 to 1) between the rows of two arrays of counts."""
    p, q = _shares(counts), _shares(np.broadcast_to(others, counts.shape))
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log2(p / middle), 0) + np.where(q > 0, q * np.log2(q / middle), 0)
    return np.sqrt(np.clip(terms.sum(axis=1) / 2, 0, 1))


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
        DataError: if the features lack a column of the reference.
    """
    names = tuple(reference["features"])
    if missing := [name for name in names if name not in features.column_names]:
        raise DataError(f"features lack the columns {missing} of the model's drift reference; train a model with them.")
    days, codes = _days_of(features)
    weekdays = np.array([day.weekday() for day in days], dtype=np.int64)
    stored = reference["features"].values()
    values = np.stack(
        [_values(features.column(n), f, codes, weekdays) for n, f in zip(names, stored, strict=True)], axis=1
    )
    exceedances = [(values[:, i] - f["centre"]) / f["spread"] for i, f in enumerate(stored)]
    return DayStatistics(
        days=tuple(days),
        rows=tuple(np.bincount(codes, minlength=len(days)).tolist()),
        features=names,
        values=values,
        thresholds=np.array([f["threshold"] for f in stored]),
        day_values=np.max(exceedances, axis=0),
        day_threshold=reference["day_threshold"],
    )


def _values(column: pa.ChunkedArray, stored: dict[str, Any], codes: Codes, weekdays: Codes) -> Floats:
    counts = _histograms(column, stored, codes, len(weekdays))
    others = np.array(stored["histogram"], dtype=np.float64)[None, :]
    if stored["by_weekday"]:
        by_weekday = np.array(stored["by_weekday"], dtype=np.float64)
        empty = by_weekday.sum(axis=1, keepdims=True) == 0  # a weekday on which the window had no rows
        others = np.where(empty, others, by_weekday)[weekdays]
    return _distance(counts, others)


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
