"""What a model's drift is measured against: the distributions of its training window, and what is usual among its days.

A day's distribution of a feature is compared with the training window's. What is far is learned from the window itself:
each of its days is compared with all the others, and the threshold is the distance that a share ``false_alarm_rate`` of
them passes. So features with a handful of values a day, which look drifted by any fixed threshold, are measured by what
is usual for them.

The reference is stored with the model as JSON. Measuring later days against it is in ``contrail.methods.drift``.
"""

import json
from datetime import date, timedelta
from typing import Annotated, Final, Literal, NamedTuple

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
# In the day's statistic a feature's distance counts in multiples of its own threshold's, and that is set by two or three
# days of the window. So this share of the distribution moved is added, or the feature with the luckiest threshold would
# decide: all of a feature missing was found in 54 % of the features without it, in 84 % with it.
_SCALE_ADDED = 0.05
_FOLDS = 10


class Usual(Frozen):
    """What a feature's days are compared with, and the distances that are usual.

    ``histogram`` has the window's count in each bin; ``by_weekday`` those of Monday to Sunday, where a weekday's own
    histogram predicts its days better than the histogram of all days does. ``median`` and ``threshold`` are distances.
    """

    histogram: tuple[int, ...]
    by_weekday: tuple[tuple[int, ...], ...] | None
    median: float
    threshold: float

    def others(self, weekdays: Codes) -> Floats:
        """The counts that days of these weekdays are compared with, shape (days or 1, bins)."""
        if self.by_weekday:
            return np.array(self.by_weekday, dtype=np.float64)[weekdays]
        return np.array(self.histogram, dtype=np.float64)[None, :]


class NumberReference(NumberBins, Usual):
    """A number's bins and what is usual in them."""


class CategoryReference(CategoryBins, Usual):
    """A category's bins and what is usual in them."""


FeatureReference = Annotated[NumberReference | CategoryReference, Field(discriminator="kind")]


class DriftReference(Frozen):
    """The drift reference of a training window: each feature's, the day's as a whole, and the label's.

    ``first_day`` to ``last_day`` has ``days`` days with rows; ``day_threshold`` is of a day's largest exceedance.
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
        """The bytes that are stored with the model; the same reference, the same bytes."""
        return json.dumps(self.as_dict(), sort_keys=True).encode()

    @classmethod
    def from_json(cls, content: bytes) -> "DriftReference":
        """The reference that was stored.

        Raises:
            DataError: for the format of another version of this module, naming both and what to do.
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


def build_reference(features: pa.Table, spec: PipelineSpec, label: LabelReference) -> DriftReference:
    """The drift reference of a training window, to be stored with the model.

    The first ``lookback_days`` of a pipeline are left out when enough others remain: their features rest on less
    history than those of any later day.

    Args:
        features: Rows of the window: ``partition_date`` and every column of ``spec.features``.
        spec: Gives the features, ``drift.bins`` and ``drift.false_alarm_rate``.
        label: What labels are usual, by ``build_label_reference``.

    Raises:
        DataError: if the window has fewer days than any threshold could be learned from.
    """
    features = _with_history(features, spec)
    days, codes = days_of(features)
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
        column = features.column(name)
        bins = bins_of(column, feature.kind, spec.drift.bins, codes)
        pools, distances[:, i] = _calibrate(bins, bins.histograms(column, codes, len(days)), weekdays)
        compared[name] = bins, pools
    medians, thresholds = _usual(distances, rate)
    return DriftReference(
        false_alarm_rate=rate,
        first_day=days[0],
        last_day=days[-1],
        days=len(days),
        rows=features.num_rows,
        features={
            name: _feature(*compared[name], float(medians[i]), float(thresholds[i])) for i, name in enumerate(compared)
        },
        day_threshold=_day_threshold(distances, rate),
        label=label,
    )


def _with_history(features: pa.Table, spec: PipelineSpec) -> pa.Table:
    first = spec.first_partition + timedelta(days=spec.features.lookback_days)
    later = features.filter(pc.greater_equal(features.column(_PARTITION), pa.scalar(first, pa.date32())))
    enough = len(pc.unique(later.column(_PARTITION))) >= max(_MIN_DAYS, spec.features.lookback_days)
    return later if enough else features


class _Pools(NamedTuple):
    """The counts that a feature's days are compared with: of the window, and of each weekday where that is better."""

    histogram: tuple[int, ...]
    by_weekday: tuple[tuple[int, ...], ...] | None


def _calibrate(bins: Bins, counts: Floats, weekdays: Codes) -> tuple[_Pools, Floats]:
    """The histograms to compare with, and each day's distance from the others'."""
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
    """Median and threshold of each column."""
    return np.median(distances, axis=0), _upper_quantile(distances, rate)


def _upper_quantile(values: Floats, rate: float) -> Floats:
    """The value that one more day of the same kind passes with probability ``rate``, over the first axis.

    With rank (n + 1)(1 - rate) among n days; with too few days for the rate, it is the largest.
    """
    found: Floats = np.quantile(values, 1 - rate, axis=0, method="weibull")
    return found


def exceedances(distances: Floats, medians: Floats, thresholds: Floats) -> Floats:
    """Distances on a common scale: 0 is a feature's median distance, 1 a little above its own threshold."""
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
        largest[fold == k] = exceedances(distances[fold == k], *usual).max(axis=1)
    return float(_upper_quantile(largest, rate))
