"""The reference for a model's drift: what its training window shows to be usual.

Drift measures three distances of a feature's day: how far its distribution moved from the days just before
(``contrail.methods.days_before``), how far its contributions to predictions moved with it, and how far its distribution is
from the window's. The window's own days show which of them are large. A feature is unusual only when all three are.

The reference is stored with the model as JSON. ``contrail.methods.drift`` measures later days against it.
"""

import json
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, Final, Literal, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, ValidationError

from contrail.config.model_spec import DriftSpec
from contrail.config.spec import PipelineSpec
from contrail.errors import DataError
from contrail.frozen import Frozen
from contrail.methods.days_before import Flags, enough_before, pooled
from contrail.methods.drift_effects import Contributions, effect_distances
from contrail.methods.histograms import Bins, CategoryBins, Floats, NumberBins, bins_of, days_of
from contrail.methods.label_drift import LabelReference

STATISTIC: Final = "earth_mover"
FORMAT: Final = 3

_PARTITION = "partition_date"
_MIN_DAYS = 8
_MIN_COMPARED = 5
# One day in twenty lies beyond this quantile of a distance. Beside the median it sets the scale of the distance.
_LARGE = 0.05
# A scale rests on two or three days of the window. Without this added share the feature with the luckiest scale would
# decide. Chosen on January to August of flight_delay and a year of bike_demand: see ``benchmarks/drift_calibration.py``.
_SCALE_ADDED = 0.02
# Some windows have too few runs, or too quiet ones, to tell what is rare. Below this exceedance no run is: of many days, and
# of few. Of few days, each day of a run must be a large one.
_MANY_DAYS = 56
_LEAST_OF_MANY, _LEAST_OF_FEW = 0.5, 1.0
_FOLDS = 10


class Scale(Frozen):
    """The usual distances of a window's days: their median, and how far above it a large one lies."""

    median: float
    spread: float

    def at(self, exceedance: float) -> float:
        """Return the distance with this exceedance."""
        return self.median + exceedance * self.spread


class Usual(Frozen):
    """What is usual of a feature in the training window.

    ``histogram`` has the window's count in each bin. ``effects`` has each bin's mean contribution to the predictions, in
    their standard deviations. With ``same_weekday`` a day is compared with days of its own weekday, because that predicted
    the window's days better.
    """

    histogram: tuple[int, ...]
    effects: tuple[float, ...]
    same_weekday: bool
    distance: Scale
    effect: Scale
    from_window: Scale


class NumberReference(NumberBins, Usual):
    """The bins of a number, and its usual distances."""


class CategoryReference(CategoryBins, Usual):
    """The bins of a category, and its usual distances."""


FeatureReference = Annotated[NumberReference | CategoryReference, Field(discriminator="kind")]


class DriftReference(Frozen):
    """The drift reference of a training window: for each feature, for a whole day, and for the label.

    ``days`` counts the days with rows from ``first_day`` to ``last_day``. A feature with a larger exceedance than
    ``day_threshold`` is unusual.
    """

    format: Literal[3] = FORMAT
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
                "which compares a day with the days before it. Its predictions are not affected. Train and promote a model, "
                "then run drift again."
            ) from error


class Columns(Protocol):
    """Rows that are read a column at a time. An Arrow table is one."""

    def column(self, name: str) -> pa.ChunkedArray:
        """Return the values of a column."""


def build_reference(
    features: Columns, spec: PipelineSpec, label: LabelReference, contributions: Contributions
) -> DriftReference:
    """Build the drift reference of a training window, to store with the model.

    It leaves out the first ``lookback_days`` of a pipeline when enough other days remain. Features of these first days rest
    on less history.

    Args:
        features: Rows of the window: ``partition_date`` and every column of ``spec.features``, in its order.
        spec: Gives the features, and the keys of ``drift``.
        label: The label's reference, from ``build_label_reference``.
        contributions: Of the features to predictions of rows of the window.

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
    compared = _Compared.of(days)
    measured = np.empty((3, len(compared.days), len(spec.features.columns)))
    found: dict[str, _Feature] = {}
    for i, (name, feature) in enumerate(spec.features.columns.items()):
        column = features.column(name).filter(kept)
        bins = bins_of(column, feature.kind, spec.drift.bins, codes)
        effects = contributions.effects(name, bins)
        found[name], measured[:, :, i] = compared.best(bins, bins.histograms(column, codes, len(days)), effects)
    scales = [_scales(distances) for distances in measured]
    return DriftReference(
        false_alarm_rate=spec.drift.false_alarm_rate,
        first_day=days[0],
        last_day=days[-1],
        days=len(days),
        rows=len(codes),
        features={
            name: _stored(feature, *(Scale(median=float(m[i]), spread=float(s[i])) for m, s in scales))
            for i, (name, feature) in enumerate(found.items())
        },
        day_threshold=_day_threshold(compared.days, measured, spec.drift),
        label=label,
    )


def _with_history(partitions: pa.ChunkedArray, spec: PipelineSpec) -> pa.ChunkedArray:
    """Return which rows to keep."""
    first = spec.first_partition + timedelta(days=spec.features.lookback_days)
    later = pc.greater_equal(partitions, pa.scalar(first, pa.date32()))
    enough = len(pc.unique(partitions.filter(later))) >= max(_MIN_DAYS, spec.features.lookback_days)
    return later if enough else pc.is_valid(partitions)


class _Feature(NamedTuple):
    """A feature as it is compared."""

    bins: Bins
    histogram: tuple[int, ...]
    effects: tuple[float, ...]
    same_weekday: bool


class _Compared(NamedTuple):
    """How the days of a window may be compared: ``ways`` says whether with the own weekday. ``own`` are the days to compare.

    Without a way there are too few days before most days: each is compared with all others.
    """

    window: Sequence[date]
    ways: tuple[bool, ...]
    own: Flags

    @classmethod
    def of(cls, days: Sequence[date]) -> "_Compared":
        last, weekday = (enough_before(days, same_weekday=same) for same in (False, True))
        if (last & weekday).sum() >= _MIN_DAYS:
            return cls(days, (False, True), last & weekday)
        if last.sum() >= _MIN_COMPARED:
            return cls(days, (False,), last)
        return cls(days, (), np.ones(len(days), np.bool_))

    @property
    def days(self) -> list[date]:
        """The days to compare."""
        return [day for day, own in zip(self.window, self.own, strict=True) if own]

    def best(self, bins: Bins, counts: Floats, effects: tuple[float, ...]) -> tuple[_Feature, Floats]:
        """Return a feature in the way in which its days differ least from those before, and the three distances of each."""
        own, total = counts[self.own], counts.sum(axis=0)
        others = {same: pooled(self.window, counts, same_weekday=same)[self.own] for same in self.ways}
        others = others or {False: total - own}
        distances = {same: bins.distances(own, pool) for same, pool in others.items()}
        # Of equals the first, which has more days.
        same_weekday = min(distances, key=lambda same: float(distances[same].mean()))
        feature = _Feature(bins, tuple(total.astype(int).tolist()), effects, same_weekday)
        moved = effect_distances(np.array(effects), own, others[same_weekday])
        return feature, np.array([distances[same_weekday], moved, bins.distances(own, total - own)])


def _stored(
    feature: _Feature, distance: Scale, effect: Scale, from_window: Scale
) -> NumberReference | CategoryReference:
    bins = feature.bins
    usual = {**feature._asdict(), "distance": distance, "effect": effect, "from_window": from_window}
    del usual["bins"]
    if isinstance(bins, NumberBins):
        return NumberReference(edges=bins.edges, gaps=bins.gaps, **usual)
    return CategoryReference(values=bins.values, **usual)


def _scales(distances: Floats) -> tuple[Floats, Floats]:
    """Return the median of each column, and how far above it a large distance lies."""
    medians = np.median(distances, axis=0)
    return medians, _upper_quantile(distances, _LARGE) - medians + _SCALE_ADDED


def _upper_quantile(values: Floats, rate: float) -> Floats:
    """Return the value that one more of the same kind exceeds with probability ``rate``, over the first axis.

    It has rank (n + 1)(1 - rate) among n. With too few for the rate, it is the largest value.
    """
    found: Floats = np.quantile(values, 1 - rate, axis=0, method="weibull")
    return found


def exceedances(values: Floats, medians: Floats, spreads: Floats) -> Floats:
    """Put distances on a common scale: 0 is a feature's median distance, 1 a little above a large one."""
    return (values - medians) / spreads


def _day_threshold(days: Sequence[date], measured: Floats, drift: DriftSpec) -> float:
    """Return the exceedance that ``raise_days`` of ``of_days`` days of one feature seldom pass.

    Each day is judged by scales from other days, because scales have not seen a later day either.

    Args:
        days: Days in order.
        measured: Their distances, shape (3, days, features).
        drift: How many days are a run, and how seldom one is unusual.
    """
    fold = np.arange(len(days)) * _FOLDS // len(days)
    largest = np.empty(len(days))
    for k in np.unique(fold):
        passed = np.min([exceedances(distances, *_scales(distances[fold != k])) for distances in measured], axis=0)
        largest[fold == k] = _runs(days, passed, drift).max(axis=1)[fold == k]
    runs, least = largest[np.isfinite(largest)], _LEAST_OF_FEW if len(days) < _MANY_DAYS else _LEAST_OF_MANY
    return max(least, float(_upper_quantile(runs, drift.false_alarm_rate)) if len(runs) else 0.0)


def _runs(days: Sequence[date], passed: Floats, drift: DriftSpec) -> Floats:
    """Return what ``raise_days`` of the ``of_days`` days up to each day pass, shape (days, features)."""
    numbers = np.array([day.toordinal() for day in days]) - days[0].toordinal()
    calendar = np.full((numbers[-1] + drift.of_days, passed.shape[1]), -np.inf)
    calendar[numbers + drift.of_days - 1] = passed
    windows = np.lib.stride_tricks.sliding_window_view(calendar, drift.of_days, axis=0)
    found: Floats = np.sort(windows, axis=2)[numbers, :, -min(drift.raise_days, drift.of_days)]
    return found
