"""The quality that a champion's published predictions turned out to have, pooled over days, beside the baselines."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow.compute as pc

from contrail.adapters.registry import RegisteredModel
from contrail.config.pipeline import Pipeline
from contrail.lake.datasets import PARTITION
from contrail.lake.flagged import flagged_counts
from contrail.lake.labels import immature_days, read_training_rows
from contrail.lake.lake import Lake
from contrail.methods import calibration, metrics
from contrail.methods.calibration import Period
from contrail.methods.flagged import RUN_DAYS, UsualShare, recent_share
from contrail.methods.intervals import Interval, day_intervals
from contrail.partitions import Partitions
from contrail.stages.tables import tables_of


@dataclass(frozen=True)
class Flagged:
    """The share flagged in the 28 days up to ``day``, and its usual range."""

    day: date
    share: float
    usual: UsualShare

    @property
    def is_usual(self) -> bool:
        """Whether the share lies in its range."""
        return self.usual.low <= self.share <= self.usual.high


@dataclass(frozen=True)
class Realised:
    """Metrics by candidate, the champion first, on rows of the window whose labels are mature.

    ``intervals`` are those of the metrics, over days. ``immature`` names the days of predictions that are left out.
    ``months`` has the champion's calibration by month.
    """

    window: str
    immature: tuple[str, ...]
    rows: int
    metrics: Mapping[str, Mapping[str, float]]
    intervals: Mapping[str, Mapping[str, Interval]]
    months: tuple[Period, ...]


def realised(
    pipeline: Pipeline, lake: Lake, champion: RegisteredModel, window: Partitions | None = None
) -> Realised | None:
    """Pooled metrics of the champion's predictions with mature labels, beside the baselines on the same rows.

    Only partitions after the training window count. None when there is nothing to measure.
    """
    spec, scored = pipeline.spec, lake.ends("predictions")
    if not all(lake.follows(dataset) for dataset in (*tables_of("score", spec), *tables_of("performance", spec))):
        return None  # the next run brings the tables to the spec
    first = champion.package.card.training.end + timedelta(days=1 + spec.train.embargo_days)
    if not scored or scored.end < first:
        return None
    window = window or Partitions(max(scored.start, first), scored.end)
    by = [PARTITION, *spec.key]
    predicted = lake.scan("predictions", window, [*by, spec.prediction_column, "model_version"])
    predicted = predicted.filter(pc.equal(predicted["model_version"], str(champion.version)))
    # Sorted by key, since a sum in another order differs in the last digit.
    order = [(name, "ascending") for name in by]
    rows = read_training_rows(lake, spec, window).join(predicted, keys=by, join_type="inner").sort_by(order)
    if not rows.num_rows:
        return None
    label, days = rows["label"].to_numpy(), rows[PARTITION].to_numpy()
    rate_table = champion.package.of_today(spec).rate_table
    candidates = {
        "champion": rows[spec.prediction_column].to_numpy(),
        **({"rate table": rate_table.predict(rows)} if {*rate_table.features} <= {*rows.column_names} else {}),
        "constant": np.full(len(label), champion.package.card.label_mean),
    }
    return Realised(
        window=str(Partitions(days.min().item(), days.max().item())),
        immature=immature_days(lake, spec, window),
        rows=rows.num_rows,
        metrics={name: metrics.evaluate(spec.task, label, p) for name, p in candidates.items()},
        intervals={name: day_intervals(spec.task, label, p, days) for name, p in candidates.items()},
        months=calibration.by_month(spec.task, label, candidates["champion"], days),
    )


def flagged(lake: Lake, champion: RegisteredModel) -> Flagged | None:
    """The share of the champion's newest predictions that are flagged. None without a usual range or enough days."""
    usual, scored = champion.package.card.flagged, lake.ends("predictions")
    if usual is None or not scored:
        return None
    day = scored.end
    window = Partitions(day - timedelta(days=RUN_DAYS - 1), day)
    share = recent_share(flagged_counts(lake, window, champion.version), day)
    return None if share is None else Flagged(day, share, usual)
