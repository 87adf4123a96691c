"""What the stage ``drift`` has measured, and its rows in the table. How it measures does not belong here."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from contrail.adapters.registry import RegisteredModel
from contrail.lake.datasets import PARTITION
from contrail.methods import label_drift
from contrail.methods.drift import DAY_STATISTIC, WHOLE_DAY, DayStatistics
from contrail.methods.drift_reference import STATISTIC
from contrail.methods.drift_verdicts import DayVerdict
from contrail.methods.histograms import Floats
from contrail.methods.label_drift import LABEL
from contrail.partitions import Partitions
from contrail.stages.measuring.predictions import PredictionDrift, prediction_rows


@dataclass(frozen=True)
class LabelDay:
    """The newest labels that were mature at a partition's cut-off."""

    rows: int
    value: float
    threshold: float

    @property
    def verdict(self) -> str:
        """Whether the labels are as usual."""
        return "drift" if self.value > self.threshold else "ok"


@dataclass(frozen=True)
class Measured:
    """The days of a range, and those before it that its verdicts rest on."""

    model: RegisteredModel
    statistics: DayStatistics
    verdicts: list[DayVerdict]
    labels: dict[date, LabelDay]
    partitions: Partitions

    @property
    def inside(self) -> list[int]:
        """Positions of the range's own days."""
        return [i for i, day in enumerate(self.statistics.days) if day in self.partitions]

    @property
    def begins(self) -> list[date]:
        """Days of the range on which drift began."""
        drifting = [verdict.verdict == "drift" for verdict in self.verdicts]
        return [self.statistics.days[i] for i in self.inside if drifting[i] and not (i and drifting[i - 1])]

    @property
    def label_drift(self) -> list[date]:
        """Days of the range, and the one before it, on which drift of the label was raised."""
        return [day for day, label in self.labels.items() if label.verdict == "drift"]

    @property
    def label_begins(self) -> list[date]:
        """Days of the range on which drift of the label began."""
        raised = self.label_drift
        return [day for day in raised if day in self.partitions and day - timedelta(days=1) not in raised]


def published_rows(measured: Measured, predictions: list[PredictionDrift]) -> pa.Table:
    """The rows of the table ``drift``: for each day its features, its verdict, its labels, and its predictions."""
    features = _feature_rows(measured)
    days = {measured.statistics.days[i] for i in measured.inside}
    of_predictions = prediction_rows(predictions, measured.model, days, features.schema)
    return pa.concat_tables([features, _label_rows(measured, features.schema), of_predictions])


def _label_rows(measured: Measured, schema: pa.Schema) -> pa.Table:
    """One row for each day with mature labels and features."""
    days = {measured.statistics.days[i] for i in measured.inside}
    found = {day: label for day, label in measured.labels.items() if day in days}
    labels, count = found.values(), len(found)
    return pa.table(
        {
            PARTITION: list(found),
            "feature": [LABEL] * count,
            "statistic": [label_drift.STATISTIC] * count,
            "value": [label.value for label in labels],
            "threshold": [label.threshold for label in labels],
            "effect": [None] * count,
            "effect_threshold": [None] * count,
            "from_window": [None] * count,
            "from_window_threshold": [None] * count,
            "unusual": [label.verdict == "drift" for label in labels],
            "unusual_days": [None] * count,
            "verdict": [label.verdict for label in labels],
            "rows": [label.rows for label in labels],
            "model_name": [measured.model.name] * count,
            "model_version": [str(measured.model.version)] * count,
        },
        schema,
    )


def _feature_rows(measured: Measured) -> pa.Table:
    """For each day, one row a feature and then one row with the verdict."""
    statistics, inside = measured.statistics, measured.inside
    days, names = [statistics.days[i] for i in inside], [*statistics.features, WHOLE_DAY]
    own, width = [measured.verdicts[i] for i in inside], len(names)

    def of_day(entries: list[Any]) -> list[Any]:
        """Null in the rows of features, then the day's entry."""
        return [cell for entry in entries for cell in (*[None] * (width - 1), entry)]

    def of_feature(values: Floats) -> pa.Array:
        """A cell for each feature, then null in the row of the day."""
        cells = np.column_stack([values, np.full(len(days), np.nan)])
        return pa.array(cells.ravel(), from_pandas=True)

    exceedances = statistics.exceedances[inside]
    value = np.column_stack([statistics.values[inside], exceedances.max(axis=1)]).ravel()
    unusual = statistics.unusual[inside]
    rows = [statistics.rows[i] for i in inside]
    return pa.table(
        {
            PARTITION: pa.array(np.repeat(np.array(days, dtype="datetime64[D]"), width), pa.date32()),
            "feature": names * len(days),
            "statistic": ([STATISTIC] * (width - 1) + [DAY_STATISTIC]) * len(days),
            "value": value,
            "threshold": np.tile([*statistics.thresholds, statistics.day_threshold], len(days)),
            "effect": of_feature(statistics.effects[inside]),
            "effect_threshold": of_feature(np.broadcast_to(statistics.effect_thresholds, exceedances.shape)),
            "from_window": of_feature(statistics.from_window[inside]),
            "from_window_threshold": of_feature(np.broadcast_to(statistics.from_window_thresholds, exceedances.shape)),
            "unusual": np.column_stack([unusual, unusual.any(axis=1)]).ravel(),
            "unusual_days": pa.array(of_day([verdict.unusual_days for verdict in own]), pa.int64()),
            "verdict": pa.array(of_day([verdict.verdict for verdict in own]), pa.string()),
            "rows": np.repeat(rows, width),
            "model_name": [measured.model.name] * len(value),
            "model_version": [str(measured.model.version)] * len(value),
        }
    )
