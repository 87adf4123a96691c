"""The reference for a model's drift: the distributions of its training window, and the distances that are usual there.

Drift compares a day's distribution of a feature with the training window's. The window itself shows which distance is
large: each of its days is compared with all others, and a share ``false_alarm_rate`` of these distances exceeds the
threshold. So each feature has its own threshold. A feature with a handful of values a day would drift by any fixed one.

The reference is stored with the model as JSON. ``contrail.methods.drift`` measures later days against it.
"""

import json
from datetime import date, timedelta
from typing import Annotated, Final, Literal, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, ValidationError

from contrail.config.spec import PipelineSpec
from contrail.errors import DataError
from contrail.frozen import Frozen
from contrail.methods.histograms import Bins, CategoryBins, Codes, Floats, NumberBins, bins_of, days_of
from contrail.methods.label_drift import LabelReference

STATISTIC: Final = "earth_mover"
FORMAT: Final = 2

_PARTITION = "partition_date"
_MIN_DAYS = 8
_MIN_DAYS_OF_A_WEEKDAY = 3
# The day's statistic counts a feature's distance in multiples of its threshold, which rests on two or three days of the
# window. Without this added share the feature with the luckiest threshold would decide. A feature that went missing was
# found for 54 % of the features without it, and for 84 % with it.
_SCALE_ADDED = 0.05
_FOLDS = 10


class Usual(Frozen):
    """The histogram to compare a feature's days with, and the usual distances.

    ``histogram`` has the window's count in each bin. ``by_weekday`` has the counts of Monday to Sunday. It is None unless a
    weekday's own histogram predicts its days better. ``median`` and ``threshold`` are distances.
    """

    histogram: tuple[int, ...]
    by_weekday: tuple[tuple[int, ...], ...] | None
    median: float
    threshold: float

    def others(self, weekdays: Codes) -> Floats:
        """Return the counts to compare days of these weekdays with, shape (days or 1, bins)."""
        if self.by_weekday:
            return np.array(self.by_weekday, dtype=np.float64)[weekdays]
        return np.array(self.histogram, dtype=np.float64)[None, :]


class NumberReference(NumberBins, Usual):
    """The bins of a number, and its usual distances."""


class CategoryReference(CategoryBins, Usual):
    """The bins of a category, and its usual distances."""


FeatureReference = Annotated[NumberReference | CategoryReference, Field(discriminator="kind")]


class DriftReference(Frozen):
    """The drift reference of a training window: for each feature, for a whole day, and for the label.

    ``days`` counts the days with rows from ``first_day`` to ``last_day``. ``day_threshold`` applies to a day's largest
    exceedance.
    """

    format: Literal[2] = FORMAT
    statistic: Literal["earth_mover"] = STATISTIC
    false_alarm_rate: float
    first_day: date
    last_day: date
    days: int
    rows: int
    features: dict[str, FeatureReference]
    day_threshold: float
    label: LabelReference

    def to_json(self) -> bytes:
        """Return the bytes to store with the model. The same reference gives the same bytes."""
        return json.dumps(self.as_dict(), sort_keys=True).encode()

    @classmethod
    def from_json(cls, content: bytes) -> "DriftReference":
        """Read a stored reference.

        Raises:
            DataError: for the format of another version of this module. The message has both formats, and what to do.
        """
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            found = json.loads(content).get("format")
            wrong = f"it is damaged: {error}" if found == FORMAT else f"it has format {found}"
            raise DataError(
                f"the model's drift reference cannot be read: {wrong}; this version of Contrail reads format {FORMAT}, "
                "which also says what labels are usual. Its predictions are not affected. Train and promote a model, then "
                "run drift again."
            ) from error


class Columns(Protocol):
    """Rows that are read a column at a time. An Arrow table is one."""

    def column(self, name: str) -> pa.ChunkedArray:
        """Return the values of a column."""


def build_reference(features: Columns, spec: PipelineSpec, label: LabelReference) -> DriftReference:
    """Build the drift reference of a training window, to store with the model.

    It leaves out the first ``lookback_days`` of a pipeline when enough other days remain. Features of these first days rest
    on less history.

    Args:
        features: Rows of the window: ``partition_date`` and every column of ``spec.features``, in its order.
        spec: Gives the features, ``drift.bins`` and ``drift.false_alarm_rate``.
        label: The label's reference, from ``build_label_reference``.

    Raises:
        DataError: if the window has too few days to learn a threshold.
    """
    partitions = features.column(_PARTITION)
    kept = _with_history(partitions, spec)
    days, codes = days_of(pa.table({_PARTITION: partitions.filter(kept)}))
    if len(days) < _MIN_DAYS:
        raise DataError(
            f"a drift reference needs {_MIN_DAYS} days or more; the training window has {len(days)} with rows. "
            "Train on a longer range of partitions."
        )
    rate = spec.drift.false_alarm_rate
    weekdays = np.array([day.weekday() for day in days])
    compared: dict[str, tuple[Bins, _Pools]] = {}
    distances = np.empty((len(days), len(spec.features.columns)))
    for i, (name, feature) in enumerate(spec.features.columns.items()):
        column = features.column(name).filter(kept)
        bins = bins_of(column, feature.kind, spec.drift.bins, codes)
        pools, distances[:, i] = _calibrate(bins, bins.histograms(column, codes, len(days)), weekdays)
        compared[name] = bins, pools
    medians, thresholds = _usual(distances, rate)
    return DriftReference(
        false_alarm_rate=rate,
        first_day=days[0],
        last_day=days[-1],
        days=len(days),
        rows=len(codes),
        features={
            name: _feature(*compared[name], float(medians[i]), float(thresholds[i])) for i, name in enumerate(compared)
        },
        day_threshold=_day_threshold(distances, rate),
        label=label,
    )


def _with_history(partitions: pa.ChunkedArray, spec: PipelineSpec) -> pa.ChunkedArray:
    """Return which rows to keep."""
    first = spec.first_partition + timedelta(days=spec.features.lookback_days)
    later = pc.greater_equal(partitions, pa.scalar(first, pa.date32()))
    enough = len(pc.unique(partitions.filter(later))) >= max(_MIN_DAYS, spec.features.lookback_days)
    return later if enough else pc.is_valid(partitions)


class _Pools(NamedTuple):
    """The counts to compare a feature's days with: of the window, and of each weekday if that is better."""

    histogram: tuple[int, ...]
    by_weekday: tuple[tuple[int, ...], ...] | None


def _calibrate(bins: Bins, counts: Floats, weekdays: Codes) -> tuple[_Pools, Floats]:
    """Return the histograms to compare with, and each day's distance from the other days."""
    total = counts.sum(axis=0)
    whole = _Pools(tuple(total.astype(int).tolist()), None)
    distances = bins.distances(counts, total - counts)
    if np.bincount(weekdays, minlength=7).min() < _MIN_DAYS_OF_A_WEEKDAY:
        return whole, distances
    by_weekday = np.stack([counts[weekdays == weekday].sum(axis=0) for weekday in range(7)])
    like = bins.distances(counts, by_weekday[weekdays] - counts)
    if like.mean() >= distances.mean():
        return whole, distances
    return whole._replace(by_weekday=tuple(map(tuple, by_weekday.astype(int).tolist()))), like


def _feature(bins: Bins, pools: _Pools, median: float, threshold: float) -> FeatureReference:
    usual = {**pools._asdict(), "median": median, "threshold": threshold}
    if isinstance(bins, NumberBins):
        return NumberReference(edges=bins.edges, gaps=bins.gaps, **usual)
    return CategoryReference(values=bins.values, **usual)


def _usual(distances: Floats, rate: float) -> tuple[Floats, Floats]:
    """Return the median and the threshold of each column."""
    return np.median(distances, axis=0), _upper_quantile(distances, rate)


def _upper_quantile(values: Floats, rate: float) -> Floats:
    """Return the value that one more day of the same kind exceeds with probability ``rate``, over the first axis.

    It has rank (n + 1)(1 - rate) among n days. With too few days for the rate, it is the largest value.
    """
    found: Floats = np.quantile(values, 1 - rate, axis=0, method="weibull")
    return found


def exceedances(distances: Floats, medians: Floats, thresholds: Floats) -> Floats:
    """Put distances on a common scale: 0 is a feature's median distance, 1 a little above its own threshold."""
    return (distances - medians) / (thresholds - medians + _SCALE_ADDED)


def _day_threshold(distances: Floats, rate: float) -> float:
    """Return the threshold of a day's largest exceedance.

    Each day is judged by thresholds from the other folds' days, because thresholds have not seen a later day either. With
    thresholds that had seen the day, false alarms were twice as frequent as the rate (forty simulated years).
    """
    fold = np.arange(len(distances)) % min(_FOLDS, len(distances))
    largest = np.empty(len(distances))
    for k in np.unique(fold):
        usual = _usual(distances[fold != k], rate)
        largest[fold == k] = exceedances(distances[fold == k], *usual).max(axis=1)
    return float(_upper_quantile(largest, rate))
