"""Predictions by day: volumes, scores, decisions, realised quality, and drift as features × days.

It reads what the stages published, and aggregates rows in DuckDB. What a number means belongs to the stages.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from contrail.config.names import literal, quoted
from contrail.config.pipeline import Pipeline
from contrail.errors import SpecError
from contrail.frozen import Frozen
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.methods.label_drift import LABEL
from contrail.operations.champions import champion_moves
from contrail.partitions import Partitions

_SPAN = 92
_GROUPS = 200  # groups of a segment that are named; the others are left out, the smallest first
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class ScoredDay(Frozen):
    """The predictions of a day. ``share`` is the part flagged by the decision; None where nothing is decided."""

    day: date
    rows: int
    mean: float
    quantiles: tuple[float, ...]
    share: float | None
    versions: tuple[str, ...]


class MeasuredDay(Frozen):
    """The realised quality of a day and version, as ``performance`` measured it; None where it could not be."""

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


class Mark(Frozen):
    """Something that happened to the model or the data, on the axis of the partitions."""

    day: date
    kind: str
    text: str
    at: datetime | None


class Group(Frozen):
    """The predictions of one value of a segment."""

    value: str
    rows: int
    mean: float
    share: float | None


class PredictionDays(Frozen):
    """Everything that the view shows of a range of days. ``features`` names the columns of ``drift``."""

    pipeline: str
    task: str
    metric: str
    first: date | None
    last: date | None
    scored: tuple[ScoredDay, ...]
    measured: tuple[MeasuredDay, ...]
    features: tuple[str, ...]
    drift: tuple[DriftDay, ...]
    marks: tuple[Mark, ...]
    segments: tuple[str, ...]


def prediction_days(lake: Lake, pipeline: Pipeline, last: date | None = None, span: int = _SPAN) -> PredictionDays:
    """Read the predictions of some days.

    Args:
        lake: The pipeline's lake.
        pipeline: The pipeline.
        last: Last day; by default, and at most, the last scored one.
        span: How many days, as far as there are.
    """
    known = lake.ends("predictions")
    end = min(last or known.end, known.end) if known else None
    window = (
        Partitions(max(end - timedelta(days=span - 1), known.start), max(end, known.start)) if known and end else None
    )
    features, drift = _drift(lake, window)
    spec = pipeline.spec
    return PredictionDays(
        pipeline=pipeline.name,
        task=spec.task,
        metric=_metric(pipeline),
        first=known.start if known else None,
        last=known.end if known else None,
        scored=tuple(_scored(lake, pipeline, window)) if window else (),
        measured=tuple(_measured(lake, pipeline, window)) if window else (),
        features=features,
        drift=drift,
        marks=tuple(_marks(lake, window)) if window else (),
        segments=_segments(pipeline),
    )


def segment(lake: Lake, pipeline: Pipeline, name: str, days: Partitions) -> tuple[Group, ...]:
    """The predictions of some days by the values of a feature, the largest group first.

    Raises:
        SpecError: for a feature that is no segment.
        MissingInputError: before the first prediction.
    """
    if name not in _segments(pipeline):
        raise SpecError(f"no segment '{name}'. Segments: {', '.join(_segments(pipeline)) or 'none'}")
    for table in ("predictions", "features"):
        lake.table(table)
    on = ", ".join(map(quoted, (PARTITION, *pipeline.spec.key)))
    sql = (
        f"SELECT coalesce({quoted(name)}::VARCHAR, '(missing)') AS value, count(*), avg(score), avg(decided) FROM "
        f"(SELECT {on}, {_score(pipeline)} FROM predictions) JOIN (SELECT {on}, {quoted(name)} FROM features) USING ({on}) "
        f"GROUP BY value ORDER BY count(*) DESC, value LIMIT {_GROUPS}"
    )
    tables = ["predictions", "features"]
    with lake.connect(tables, dict.fromkeys(tables, days)) as connection:
        found = connection.sql(sql).fetchall()
    return tuple(Group(value=value, rows=rows, mean=mean, share=share) for value, rows, mean, share in found)


def _metric(pipeline: Pipeline) -> str:
    own = {"binary": ("auc", "log_loss"), "regression": ("rmse", "mae")}[pipeline.spec.task]
    gate = pipeline.spec.gate.metric
    return gate if gate in (*own, "brier") else own[0]


def _segments(pipeline: Pipeline) -> tuple[str, ...]:
    """The categories among the features that are no person's."""
    columns = pipeline.spec.features.columns
    return tuple(name for name, one in columns.items() if one.kind == "category" and name not in pipeline.spec.personal)


def _score(pipeline: Pipeline) -> str:
    binary = pipeline.spec.task == "binary"
    return (
        f"{quoted(pipeline.spec.prediction_column)} AS score, {'decision::INT' if binary else 'NULL::INT'} AS decided"
    )


def _scored(lake: Lake, pipeline: Pipeline, window: Partitions) -> Iterator[ScoredDay]:
    if not lake.exists("predictions"):
        return
    sql = (
        f"SELECT {PARTITION}, count(*), avg(score), quantile_cont(score, {list(_QUANTILES)}), avg(decided), "
        "list_sort(list_distinct(list(model_version))) "
        f"FROM (SELECT {PARTITION}, model_version, {_score(pipeline)} FROM predictions) GROUP BY ALL ORDER BY ALL"
    )
    with lake.connect(["predictions"], {"predictions": window}) as connection:
        for day, rows, mean, quantiles, share, versions in connection.sql(sql).fetchall():
            yield ScoredDay(
                day=day, rows=rows, mean=mean, quantiles=tuple(quantiles), share=share, versions=tuple(versions)
            )


def _measured(lake: Lake, pipeline: Pipeline, window: Partitions) -> Iterator[MeasuredDay]:
    if not lake.exists("performance"):
        return
    metric = _metric(pipeline)
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
    rows = lake.scan("drift", window, [PARTITION, "feature", "value", "threshold", "verdict"]).to_pylist()
    verdicts = {row[PARTITION]: row["verdict"] or "" for row in rows if row["feature"] == "*"}
    found: dict[str, dict[date, float]] = {}
    for row in rows:
        if row["feature"] != "*" and row["value"] is not None and row["threshold"]:
            multiple = abs(row["value"]) / row["threshold"]
            found.setdefault(row["feature"], {})[row[PARTITION]] = round(multiple, 3)
    names = sorted(found, key=lambda name: (name != LABEL, -max(found[name].values()), name))
    return tuple(names), tuple(
        DriftDay(day=day, verdict=verdicts[day], values=tuple(found[name].get(day) for name in names))
        for day in sorted(verdicts)
    )


def _marks(lake: Lake, window: Partitions) -> Iterator[Mark]:
    """Promotions, refusals and corrections, by the partition from which they count."""
    for move in champion_moves(lake):
        if move.effective_from in window:
            text = f"version {move.version_after} became champion"
            yield Mark(day=move.effective_from, kind="promotion", text=text, at=move.moved_at)
    for table, kind, columns in (
        ("refusals", "refusal", "'refused: ' || table_name || ', ' || rule, refused_at"),
        (
            "governor",
            "training",
            "CASE decision WHEN 'retrain' THEN 'trained again' ELSE 'training refused' END, decided_at",
        ),
    ):
        if not lake.exists(table):
            continue
        with lake.connect([table], {table: window}) as connection:
            where = f"WHERE {PARTITION} BETWEEN {literal(str(window.start))} AND {literal(str(window.end))}"
            where += " AND decision <> 'hold'" if table == "governor" else ""
            for day, text, at in connection.sql(
                f"SELECT {PARTITION}, {columns} FROM {table} {where} ORDER BY ALL"
            ).fetchall():
                yield Mark(day=day, kind=kind, text=text, at=at)
