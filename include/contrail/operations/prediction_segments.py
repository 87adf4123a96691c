"""The predictions of a segment, which is one value of a category: volumes by value, and the quality that outcomes show.

``performance`` measures whole days. Here the same sums (``methods.block_sums``) are over the rows of a value. Rows are joined
and sorted out of core.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import duckdb

from contrail.config.names import listed, literal, quoted
from contrail.config.pipeline import Pipeline
from contrail.config.spec import PipelineSpec
from contrail.errors import SpecError
from contrail.frozen import Frozen
from contrail.lake.datasets import PARTITION
from contrail.lake.labels import make_labels, mature_days
from contrail.lake.lake import Lake
from contrail.lake.sessions import session
from contrail.methods.metrics import finite
from contrail.partitions import Partitions
from contrail.stages.quality import block_sums

_GROUPS = 200  # values that are named; the others are left out, the smallest first
_MISSING = "(missing)"


class Segment(Frozen):
    """A value of a feature: ``carrier`` is ``UA``."""

    name: str
    value: str


class Quality(Frozen):
    """What outcomes say of predictions. ``rows`` and ``labelled`` count those of days whose outcomes should be known."""

    rows: int
    labelled: int
    label_mean: float | None = None
    prediction_mean: float | None = None
    metric: float | None = None
    calibration: float | None = None


class Group(Frozen):
    """The predictions of one value. ``share`` is the part flagged; ``quality`` is None where no outcome is due yet."""

    value: str
    rows: int
    mean: float
    share: float | None
    quality: Quality | None


def segments_of(pipeline: Pipeline) -> tuple[str, ...]:
    """The categories among the features that are no person's."""
    columns = pipeline.spec.features.columns
    return tuple(name for name, one in columns.items() if one.kind == "category" and name not in pipeline.spec.personal)


def check_segment(pipeline: Pipeline, name: str) -> None:
    """Refuse a feature that is no segment.

    Raises:
        SpecError: naming those that are.
    """
    if name not in segments_of(pipeline):
        raise SpecError(f"no segment '{name}'. Segments: {', '.join(segments_of(pipeline)) or 'none'}")


def metric_of(pipeline: Pipeline) -> str:
    """The metric of the gate, where ``performance`` has it."""
    own = {"binary": ("auc", "log_loss"), "regression": ("rmse", "mae")}[pipeline.spec.task]
    gate = pipeline.spec.gate.metric
    return gate if gate in (*own, "brier") else own[0]


def groups(lake: Lake, pipeline: Pipeline, name: str, days: Partitions) -> tuple[Group, ...]:
    """The predictions of some days by the values of a feature, the largest group first.

    Raises:
        SpecError: for a feature that is no segment.
        MissingInputError: before the first prediction.
    """
    check_segment(pipeline, name)
    for table in ("predictions", "features"):
        lake.table(table)
    with _rows(lake, pipeline, name, days) as (connection, mature):
        counted = (
            f"SELECT value, count(*), avg(prediction), avg(decided), count(*) FILTER ({_due(mature)}) FROM valued "
            f"GROUP BY value ORDER BY count(*) DESC, value LIMIT {_GROUPS}"
        )
        found = connection.sql(counted).fetchall()
        return tuple(
            Group(
                value=value,
                rows=rows,
                mean=mean,
                share=share,
                quality=_pooled(connection, pipeline, f"value = {literal(value)}", due) if due else None,
            )
            for value, rows, mean, share, due in found
        )


def quality_by_day(lake: Lake, pipeline: Pipeline, segment: Segment, days: Partitions) -> dict[date, Quality]:
    """The quality of a segment on each day whose outcomes should be known."""
    with _rows(lake, pipeline, segment.name, days) as (connection, mature):
        own = f"value = {literal(segment.value)}"
        of_days = f"SELECT {PARTITION}, count(*), count(label) FROM valued WHERE {own} AND {_due(mature)}"
        found = connection.sql(f"{of_days} GROUP BY ALL ORDER BY ALL").fetchall()
        labelled = {day: count for day, _, count in found if count}
        sums = block_sums(_labelled(connection, own), pipeline.spec.task, labelled) if labelled else None
        at = {day: position for position, day in enumerate(labelled)}
        return {
            day: _quality(pipeline, rows, count, sums.of_day(at[day]) if sums and day in at else {})
            for day, rows, count in found
        }


def rows_of(pipeline: Pipeline, segment: Segment) -> str:
    """The SQL of a segment's predictions; it reads the views ``predictions`` and ``features``."""
    on = listed((PARTITION, *pipeline.spec.key))
    return (
        f"(SELECT p.* FROM predictions p SEMI JOIN (SELECT {on} FROM features "
        f"WHERE {_value(segment.name)} = {literal(segment.value)}) USING ({on}))"
    )


def score_of(spec: PipelineSpec) -> str:
    """The SQL of a prediction and its decision, of which a regression has none."""
    decided = "decision::INT" if spec.task == "binary" else "NULL::INT"
    return f"{quoted(spec.prediction_column)} AS prediction, {decided} AS decided"


def _value(name: str) -> str:
    return f"coalesce({quoted(name)}::VARCHAR, {literal(_MISSING)})"


@contextmanager
def _rows(
    lake: Lake, pipeline: Pipeline, name: str, days: Partitions
) -> Iterator[tuple[duckdb.DuckDBPyConnection, list[date]]]:
    """Make the table ``valued``: each prediction with its value and outcome. It yields the days whose outcomes are due."""
    spec = pipeline.spec
    on = listed((PARTITION, *spec.key))
    with session(lake.settings) as connection:
        for table in ("predictions", "features"):
            lake.view(connection, table, table, days)
        mature: list[date] = []
        if all(map(lake.exists, (f"validated_{spec.entities}", f"validated_{spec.label.table}"))):
            mature = mature_days(lake, spec, days)
            make_labels(connection, lake, spec, list(days))
        else:
            connection.execute(
                f"CREATE TEMP TABLE labels AS SELECT {on}, NULL::DOUBLE AS label FROM predictions LIMIT 0"
            )
        connection.execute(
            f"CREATE TEMP TABLE valued AS SELECT {PARTITION}, value, prediction, decided, label "
            f"FROM (SELECT {on}, {score_of(spec)} FROM predictions) "
            f"JOIN (SELECT {on}, {_value(name)} AS value FROM features) USING ({on}) LEFT JOIN labels USING ({on})"
        )
        yield connection, mature


def _due(mature: list[date]) -> str:
    return f"{PARTITION} IN ({', '.join(literal(str(day)) for day in mature)})" if mature else "false"


def _labelled(connection: duckdb.DuckDBPyConnection, where: str) -> duckdb.DuckDBPyRelation:
    return connection.sql(f"SELECT {PARTITION}, label, prediction FROM valued WHERE {where} AND label IS NOT NULL")


def _pooled(connection: duckdb.DuckDBPyConnection, pipeline: Pipeline, where: str, due: int) -> Quality:
    found = _labelled(connection, where)
    days = dict(found.aggregate(f"{PARTITION}, count(*)").order(PARTITION).fetchall())
    values = block_sums(found, pipeline.spec.task, days).overall() if days else {}
    return _quality(pipeline, due, sum(days.values()), values)


def _quality(pipeline: Pipeline, rows: int, labelled: int, values: dict[str, float]) -> Quality:
    known = finite(values)
    return Quality(
        rows=rows,
        labelled=labelled,
        label_mean=known.get("label_mean"),
        prediction_mean=known.get("prediction_mean"),
        metric=known.get(metric_of(pipeline)),
        calibration=known.get("calibration_error", known.get("bias")),
    )
