"""What a champion's decisions were worth, from the days that ``performance`` has measured.

The stage ``performance`` computes the values of a day. Here they are added up for people.
"""

from dataclasses import dataclass

import numpy as np

from contrail.adapters.registry import RegisteredModel
from contrail.config.spec import PipelineSpec
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.methods.decisions import COST
from contrail.methods.intervals import CONFIDENCE, FEWEST_DAYS, SAMPLES, Interval, day_weights, interval_of

_COLUMNS = (PARTITION, "model_version", "shadow", "labelled", COST, "expected_value", "realised_value")


@dataclass(frozen=True)
class Decided:
    """Means a day over ``days`` measured days: what flagging would save by the probabilities, and what it saved.

    ``interval`` is that of ``realised`` over days; few days have none. ``cost_per_row`` is that of a labelled row.
    ``reason`` is the champion's threshold with its reason.
    """

    days: int
    expected: float
    realised: float
    interval: Interval | None
    cost_per_row: float
    unit: str
    reason: str

    @property
    def sentence(self) -> str:
        """What decisions were worth, in words."""
        unit, interval = f" {self.unit}" if self.unit else "", self.interval
        over = f" [{interval.low:,.6g}, {interval.high:,.6g}]" if interval else ""
        return (
            f"saved {self.realised:,.6g}{unit} a day{over} beside flagging none, {self.expected:,.6g} expected, on "
            f"{self.days:,} days; a row costs {self.cost_per_row:,.4g}{unit}; {self.reason}"
        )


def decided(spec: PipelineSpec, lake: Lake, champion: RegisteredModel) -> Decided | None:
    """Add up the days of the champion's published predictions. None without costs, or before a day is measured."""
    costs, reason = spec.score.costs, champion.package.threshold_reason(spec.score)
    if costs is None or reason is None or not lake.exists("performance"):
        return None
    if not {*_COLUMNS} <= {*lake.table("performance").schema().column_names}:
        return None
    found = [
        row
        for row in lake.scan("performance", columns=[*_COLUMNS]).to_pylist()
        if row["model_version"] == champion.version and not row["shadow"] and row["realised_value"] is not None
    ]
    if not found:
        return None
    found.sort(key=lambda row: row[PARTITION])
    cost, expected, realised, rows = (
        np.array([row[name] for row in found], np.float64) for name in (*_COLUMNS[4:], "labelled")
    )
    weights = day_weights(len(found), SAMPLES)
    means = weights @ realised / weights.sum(axis=1)
    return Decided(
        days=len(found),
        expected=float(expected.mean()),
        realised=float(realised.mean()),
        interval=interval_of(means, CONFIDENCE) if len(found) >= FEWEST_DAYS else None,
        cost_per_row=float(np.average(cost, weights=rows)),
        unit=costs.unit,
        reason=reason,
    )
