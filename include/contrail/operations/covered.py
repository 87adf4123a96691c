"""How often labels lay within a champion's published intervals, from the days that ``performance`` has measured."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from contrail.adapters.registry import RegisteredModel
from contrail.config.spec import PipelineSpec
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.methods.intervals import CONFIDENCE, FEWEST_DAYS, SAMPLES, Interval, day_weights, interval_of

_COLUMNS = (PARTITION, "model_version", "shadow", "labelled", "coverage", "interval_width")


@dataclass(frozen=True)
class Coverage:
    """The share of labels within the intervals of a stretch of days, and the mean width. Few days have no ``interval``."""

    days: str
    coverage: float
    interval: Interval | None
    width: float

    @property
    def said(self) -> str:
        """The share in words, with its interval over days."""
        return f"{self.coverage:.1%}" + (
            f" [{self.interval.low:.1%}, {self.interval.high:.1%}]" if self.interval else ""
        )


@dataclass(frozen=True)
class Covered:
    """The coverage of all measured days, and of each quarter; ``share`` is what the model promised."""

    share: float
    overall: Coverage
    quarters: tuple[Coverage, ...]

    @property
    def sentence(self) -> str:
        """The coverage in words."""
        parts = "; ".join(f"{one.days} {one.said}" for one in self.quarters)
        return (
            f"{self.overall.said} of the labels lie within, where {self.share:.0%} is wanted; {self.overall.width:,.6g} wide "
            f"on average. {parts}"
        )


def covered(spec: PipelineSpec, lake: Lake, champion: RegisteredModel) -> Covered | None:
    """Pool the days of the champion's published predictions. None without intervals, or before a day is measured."""
    rule = champion.package.card.interval
    if spec.score.interval is None or rule is None or not lake.exists("performance"):
        return None
    if not {*_COLUMNS} <= {*lake.table("performance").schema().column_names}:
        return None
    rows = [
        row
        for row in lake.scan("performance", columns=[*_COLUMNS]).to_pylist()
        if row["model_version"] == champion.version and not row["shadow"] and row["coverage"] is not None
    ]
    if not rows:
        return None
    rows.sort(key=lambda row: row[PARTITION])
    quarters: dict[str, list[dict[str, object]]] = {}
    for row in rows:
        quarters.setdefault(_quarter(row[PARTITION]), []).append(row)
    return Covered(rule.share, _pooled("all", rows), tuple(_pooled(name, own) for name, own in quarters.items()))


def _quarter(day: date) -> str:
    return f"{day.year} Q{(day.month + 2) // 3}"


def _pooled(name: str, rows: list[dict[str, object]]) -> Coverage:
    labelled, coverage, width = (np.array([row[c] for row in rows], np.float64) for c in _COLUMNS[3:])
    weights = day_weights(len(rows), SAMPLES)
    shares = (weights @ (coverage * labelled)) / (weights @ labelled)
    return Coverage(
        days=name,
        coverage=float(shares[0]),
        interval=interval_of(shares, CONFIDENCE) if len(rows) >= FEWEST_DAYS else None,
        width=float(np.average(width, weights=labelled)),
    )
