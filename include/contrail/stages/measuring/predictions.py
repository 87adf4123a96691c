"""How far the published predictions and their reasons moved from the days before: measured rows, with a verdict each."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import pyarrow as pa

from contrail.adapters.registry import RegisteredModel
from contrail.lake.datasets import PARTITION
from contrail.methods.drift_verdicts import DayVerdict, verdicts
from contrail.methods.prediction_drift import REASONS, SCORES, STATISTICS, Moved, moved, reach_days
from contrail.partitions import Partitions
from contrail.stages.base import StageRun
from contrail.stages.options import DriftOptions as Options
from contrail.stages.profiles import predicted_days


@dataclass(frozen=True)
class PredictionDrift:
    """The measured days of scores or of reasons, and the verdict of each."""

    name: str
    days: Mapping[date, Moved]
    verdicts: Mapping[date, DayVerdict]

    def begins(self, partitions: Partitions) -> list[date]:
        """Days of the range on which drift began."""
        raised = [day for day, one in self.verdicts.items() if one.verdict == "drift"]
        return [day for day in raised if day in partitions and day - timedelta(days=1) not in raised]


def measure_predictions(run: StageRun[Options], model: RegisteredModel) -> list[PredictionDrift]:
    """Measure the days of the range, and those before them on which verdicts rest."""
    spec = run.pipeline.spec.drift
    days = predicted_days(run, model, run.partitions.reaching_back(reach_days(spec)))
    found = []
    for name in (SCORES, REASONS):
        measured = moved(days, name, spec)
        unusual = [(day, {name} if one.unusual else set[str]()) for day, one in measured.items()]
        found.append(PredictionDrift(name, measured, {one.day: one for one in verdicts(unusual, spec)}))
    return found


def prediction_rows(
    found: list[PredictionDrift], model: RegisteredModel, days: set[date], schema: pa.Schema
) -> pa.Table:
    """The rows of the table ``drift``, of those days that are measured at all."""
    rows = [
        {
            PARTITION: day,
            "feature": each.name,
            "statistic": STATISTICS[each.name],
            "value": one.value,
            "threshold": one.threshold,
            "unusual": one.unusual,
            "unusual_days": each.verdicts[day].unusual_days,
            "verdict": each.verdicts[day].verdict,
            "rows": one.rows,
            "model_name": model.name,
            "model_version": str(model.version),
        }
        for each in found
        for day, one in each.days.items()
        if day in days
    ]
    return pa.Table.from_pylist(rows, schema=schema)
