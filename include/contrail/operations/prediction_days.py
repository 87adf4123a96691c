"""Predictions by day, of all or of one segment: volumes, scores, decisions, realised quality, and drift as features × days.

It reads what the stages published, and aggregates rows in DuckDB. What a number means belongs to the stages.
"""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from contrail.config.pipeline import Pipeline
from contrail.frozen import Frozen
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.methods.label_drift import LABEL
from contrail.operations.before_labels import EstimatedDay, estimated_days
from contrail.operations.prediction_marks import Mark, marks_of
from contrail.operations.prediction_segments import (
    Segment,
    check_segment,
    metric_of,
    quality_by_day,
    rows_of,
    score_of,
    segments_of,
)
from contrail.partitions import Partitions

_SPAN = 92
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


_DRIFT = (("value", "threshold"), ("effect", "effect_threshold"), ("from_window", "from_window_threshold"))


class ScoredDay(Frozen):
    """The predictions of a day. ``share`` is the part flagged by the decision; None where nothing is decided."""

    day: date
    rows: int
    mean: float
    quantiles: tuple[float, ...]
    share: float | None
    versions: tuple[str, ...]


class MeasuredDay(Frozen):
    """The realised quality of a day, as ``performance`` measured it for a version; None where it could not be.

    That of a segment is of all versions together, and has no ``baseline``.
    """

    day: date
    version: str
    rows: int
    labelled: int
    label_mean: float | None
    prediction_mean: float | None
    metric: float | None
    baseline: float | None
    calibration: float | None


class DriftDay(Frozen):
    """The drift of a day. ``values`` has a multiple of the threshold for each feature: above 1 is unusual."""

    day: date
    verdict: str
    values: tuple[float | None, ...]


class PredictionDays(Frozen):
    """Everything that the view shows of a range of days. ``features`` names the columns of ``drift``.

    ``segment`` is None for all predictions. Drift and estimates are of whole days, so a segment has none.
    """

    pipeline: str
    segment: Segment | None
    task: str
    metric: str
    first: date | None
    last: date | None
    scored: tuple[ScoredDay, ...]
    measured: tuple[MeasuredDay, ...]
    estimated: tuple[EstimatedDay, ...]
    features: tuple[str, ...]
    drift: tuple[DriftDay, ...]
    marks: tuple[Mark, ...]
    segments: tuple[str, ...]


def prediction_days(
    lake: Lake, pipeline: Pipeline, last: date | None = None, span: int = _SPAN, segment: Segment | None = None
) -> PredictionDays:
    """Read the predictions of some days.

    Args:
        lake: The pipeline's lake.
        pipeline: The pipeline.
        last: Last day; by default, and at most, the last scored one.
        span: How many days, as far as there are.
        segment: The value of a feature; by default all predictions.

    Raises:
        SpecError: for a feature that is no segment.
    """
    if segment:
        check_segment(pipeline, segment.name)
    known = lake.ends("predictions")
    end = min(last or known.end, known.end) if known else None
    window = (
        Partitions(max(end - timedelta(days=span - 1), known.start), max(end, known.start)) if known and end else None
    )
    features, drift = _drift(lake, None if segment else window)
    return PredictionDays(
        pipeline=pipeline.name,
        segment=segment,
        task=pipeline.spec.task,
        metric=metric_of(pipeline),
        first=known.start if known else None,
        last=known.end if known else None,
        scored=tuple(_scored(lake, pipeline, window, segment)) if window else (),
        measured=tuple(_measured(lake, pipeline, window, segment)) if window else (),
        estimated=estimated_days(lake, metric_of(pipeline), window) if window and not segment else (),
        features=features,
        drift=drift,
        marks=marks_of(lake, window) if window else (),
        segments=segments_of(pipeline),
    )


def _scored(lake: Lake, pipeline: Pipeline, window: Partitions, segment: Segment | None) -> Iterator[ScoredDay]:
    tables = ["predictions", "features"] if segment else ["predictions"]
    if not all(map(lake.exists, tables)):
        return
    of = rows_of(pipeline, segment) if segment else "predictions"
    sql = (
        f"SELECT {PARTITION}, count(*), avg(prediction), quantile_cont(prediction, {list(_QUANTILES)}), avg(decided), "
        "list_sort(list_distinct(list(model_version))) "
        f"FROM (SELECT {PARTITION}, model_version, {score_of(pipeline.spec)} FROM {of}) GROUP BY ALL ORDER BY ALL"
    )
    with lake.connect(tables, dict.fromkeys(tables, window)) as connection:
        for day, rows, mean, quantiles, share, versions in connection.sql(sql).fetchall():
            yield ScoredDay(
                day=day, rows=rows, mean=mean, quantiles=tuple(quantiles), share=share, versions=tuple(versions)
            )


def _measured(lake: Lake, pipeline: Pipeline, window: Partitions, segment: Segment | None) -> Iterator[MeasuredDay]:
    if segment:
        if all(map(lake.exists, ("predictions", "features"))):
            for day, found in quality_by_day(lake, pipeline, segment, window).items():
                yield MeasuredDay(day=day, version="", baseline=None, **dict(found))
        return
    if not lake.exists("performance"):
        return
    metric = metric_of(pipeline)
    rows = lake.scan("performance", window).to_pylist()
    for row in sorted(rows, key=lambda row: (row[PARTITION], row["model_version"])):
        if row.get("shadow"):
            continue
        yield MeasuredDay(
            day=row[PARTITION],
            version=row["model_version"],
            rows=row["rows"],
            labelled=row["labelled"],
            label_mean=row["label_mean"],
            prediction_mean=row["prediction_mean"],
            metric=row.get(metric),
            baseline=row.get(f"baseline_{metric}"),
            calibration=row.get("calibration_error", row.get("bias")),
        )


def _drift(lake: Lake, window: Partitions | None) -> tuple[tuple[str, ...], tuple[DriftDay, ...]]:
    """The features by their largest drift, and their drift on each day."""
    if window is None or not lake.exists("drift"):
        return (), ()
    rows = lake.scan("drift", window).to_pylist()
    verdicts = {row[PARTITION]: row["verdict"] or "" for row in rows if row["feature"] == "*"}
    found: dict[str, dict[date, float]] = {}
    for row in rows:
        if row["feature"] != "*" and (multiple := _multiple(row)) is not None:
            found.setdefault(row["feature"], {})[row[PARTITION]] = round(multiple, 3)
    names = sorted(found, key=lambda name: (name != LABEL, -max(found[name].values()), name))
    return tuple(names), tuple(
        DriftDay(day=day, verdict=verdicts[day], values=tuple(found[name].get(day) for name in names))
        for day in sorted(verdicts)
    )


def _multiple(row: Mapping[str, Any]) -> float | None:
    """How far a feature or the label is beyond what is usual. A feature is unusual when all that is measured of it is."""
    pairs = [(row.get(what), row.get(limit)) for what, limit in _DRIFT]
    return min((abs(value) / usual for value, usual in pairs if value is not None and usual), default=None)
