"""The predictions of days beside their labels, joined and sorted out of core, and the quality that they show.

Which days are measured, and what is published of them, belongs to the stage ``performance``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb
import numpy as np

from contrail.config.names import listed, quoted
from contrail.config.spec import PipelineSpec
from contrail.lake.datasets import PARTITION
from contrail.lake.labels import make_labels
from contrail.methods.block_sums import BlockSums
from contrail.methods.metrics import Task, finite
from contrail.stages.base import StageRun
from contrail.stages.options import StageOptions

SHADOW = "predictions_shadow"

_ROWS = 65_536  # in a batch
_MODEL = "model_name, model_version, shadow"


@dataclass(frozen=True)
class ScoredDays:
    """The days that a version predicted: the rows of each, and those of them that have a label."""

    model_name: str
    model_version: str
    shadow: bool
    days: dict[date, tuple[int, int]]


@dataclass(frozen=True)
class Quality:
    """What the labels say of a version's predictions. ``sums`` is None when no row has a label."""

    scored: ScoredDays
    sums: BlockSums | None

    def of_day(self, day: date) -> dict[str, float]:
        """Return the metrics of a day with labels, those that are defined."""
        assert self.sums is not None
        return finite(self.sums.of_day(self.sums.days.index(day)))


def join(
    run: StageRun[StageOptions],
    connection: duckdb.DuckDBPyConnection,
    days: Sequence[date],
    inputs: Mapping[str, int | None],
) -> None:
    """Make the table ``joined``: the predictions of these days with their label, null where there is none.

    The published predictions, and those of a challenger in shadow that were not published later.

    Args:
        run: The stage.
        connection: A session that spills.
        days: In order.
        inputs: The snapshot of each table that is read.
    """
    spec = run.pipeline.spec
    make_labels(connection, run.lake, spec, days, inputs)
    tables = [name for name in ("predictions", SHADOW) if name in inputs]
    for name in tables:
        run.lake.view(connection, name, name, days, snapshot_id=inputs[name])
    by = listed((PARTITION, *spec.key))
    columns = f"{by}, model_name, model_version, {quoted(spec.prediction_column)} AS prediction"
    more = "".join(f", {name}" for name in extra_columns(spec))
    columns += more
    query = f"SELECT {columns}, false AS shadow FROM predictions"
    if SHADOW in tables:
        # Do not measure a challenger twice that became champion and scored its day again.
        scored = f"SELECT DISTINCT {PARTITION}, model_version FROM predictions"
        query += (
            f" UNION ALL SELECT {columns}, true AS shadow FROM {SHADOW} ANTI JOIN ({scored}) "
            f"USING ({PARTITION}, model_version)"
        )
    connection.execute(
        f"CREATE TEMP TABLE joined AS SELECT {PARTITION}, {_MODEL}, prediction, label{more} "
        f"FROM ({query}) LEFT JOIN labels USING ({by})"
    )


def extra_columns(spec: PipelineSpec) -> tuple[str, ...]:
    """Name the columns of predictions that only some specs have, and whose quality is measured."""
    return (*(["decision"] if spec.score.costs else []), *(["lower", "upper"] if spec.score.interval else []))


def scored_days(connection: duckdb.DuckDBPyConnection) -> list[ScoredDays]:
    """Return what each version predicted, and how much of it has a label."""
    counted = connection.sql(
        f"SELECT {_MODEL}, {PARTITION}, count(*), count(label) FROM joined GROUP BY ALL ORDER BY {_MODEL}, {PARTITION}"
    ).fetchall()
    found: dict[tuple[str, str, bool], dict[date, tuple[int, int]]] = {}
    for name, version, shadow, day, rows, labelled in counted:
        found.setdefault((name, version, shadow), {})[day] = (rows, labelled)
    return [ScoredDays(*model, days) for model, days in found.items()]


def quality_of(
    connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, scored: ScoredDays, training_mean: float | None
) -> Quality:
    """Measure a version's predictions of its days in one pass over the joined rows, sorted by prediction.

    Args:
        connection: The session with the table ``joined``.
        spec: Says which task it is.
        scored: The version and its days.
        training_mean: What the baseline predicts of every row. None: there is no baseline.
    """
    days = {day: labelled for day, (_, labelled) in scored.days.items() if labelled}
    if not days:
        return Quality(scored, None)
    model = [scored.model_name, scored.model_version, scored.shadow]
    rows = connection.sql(
        f"SELECT {PARTITION}, label, prediction FROM joined WHERE ({_MODEL}) = (?, ?, ?) AND label IS NOT NULL",
        params=model,
    )
    return Quality(scored, block_sums(rows, spec.task, days, training_mean))


def block_sums(
    rows: duckdb.DuckDBPyRelation, task: Task, days: Mapping[date, int], constant: float | None = None
) -> BlockSums:
    """Add up labelled rows in one pass, sorted by prediction. They may be more than fit into memory.

    Args:
        rows: ``partition_date``, ``label`` and ``prediction``, in any order.
        task: Decides which metrics.
        days: The days in order, and the rows of each.
        constant: What the baseline predicts of every row. None: there is no baseline.
    """
    sums = BlockSums(task, [*days], [*days.values()], constant)
    positions = np.array([*days], "datetime64[D]")
    for batch in rows.order(f"prediction, {PARTITION}, label").to_arrow_reader(_ROWS):
        of_day, labels, predictions = (column.to_numpy(zero_copy_only=False) for column in batch.columns)
        sums.add(np.searchsorted(positions, of_day.astype("datetime64[D]")), labels, predictions)
    return sums.finish()
