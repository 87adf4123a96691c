"""The quality that a champion's published predictions turned out to have, pooled over days, beside the baselines.

Rows are joined and sorted out of core. The metrics are sums over them (``methods.block_sums``).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import numpy as np
import pyarrow as pa

from contrail.adapters.registry import RegisteredModel
from contrail.config.names import listed, literal, quoted
from contrail.config.pipeline import Pipeline
from contrail.config.spec import PipelineSpec
from contrail.lake.datasets import PARTITION
from contrail.lake.flagged import flagged_counts
from contrail.lake.labels import immature_days, labelled_rows
from contrail.lake.lake import Lake
from contrail.methods.calibration import Period
from contrail.methods.flagged import RUN_DAYS, UsualShare, recent_share
from contrail.methods.intervals import Interval
from contrail.methods.metrics import Floats
from contrail.partitions import Partitions
from contrail.stages.quality import block_sums
from contrail.stages.tables import tables_of

_CHAMPION = "champion"
_ROWS = 65_536  # in a batch


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
    with _judged(spec, lake, champion, window) as (connection, candidates):
        counted = f"SELECT {PARTITION}, count(*) FROM judged GROUP BY ALL ORDER BY ALL"
        days = dict(connection.sql(counted).fetchall())
        if not days:
            return None
        sums = {
            name: block_sums(
                connection.sql(f"SELECT {PARTITION}, label, {quoted(name)} AS prediction FROM judged"), spec.task, days
            )
            for name in candidates
        }
    pooled = {name: each.pooled() for name, each in sums.items()}
    return Realised(
        window=str(Partitions(min(days), max(days))),
        immature=immature_days(lake, spec, window),
        rows=sum(days.values()),
        metrics={name: values for name, (values, _) in pooled.items()},
        intervals={name: intervals for name, (_, intervals) in pooled.items()},
        months=sums[_CHAMPION].periods(),
    )


@contextmanager
def _judged(
    spec: PipelineSpec, lake: Lake, champion: RegisteredModel, window: Partitions
) -> Iterator[tuple[duckdb.DuckDBPyConnection, tuple[str, ...]]]:
    """Make the table ``judged``: each labelled row that the champion scored, with what each candidate says of it."""
    rate_table, mean = champion.package.of_today(spec).rate_table, champion.package.card.label_mean
    by, score = listed((PARTITION, *spec.key)), spec.prediction_column
    candidates: dict[str, Callable[[pa.Table], Floats]] = {
        _CHAMPION: lambda batch: batch.column(score).to_numpy(),
        "rate table": rate_table.predict,
        "constant": lambda batch: np.full(len(batch), mean),
    }
    groups = [*rate_table.features]
    if not {*groups} <= {*lake.schema("features").names}:
        del candidates["rate table"]
        groups = []
    columns = ", ".join(["label", quoted(score), *(f"f.{quoted(name)}" for name in (PARTITION, *groups))])
    # A second cursor, because the first one reads what the second one writes.
    with labelled_rows(lake, spec, window) as labelled, labelled.connection.cursor() as cursor:
        lake.view(labelled.connection, "predictions", "predictions", window)
        rows = labelled.connection.sql(
            f"SELECT {columns} FROM features f JOIN labelled USING ({by}) JOIN predictions p USING ({by}) "
            f"WHERE model_version = {literal(str(champion.version))}"
        ).to_arrow_reader(_ROWS)

        def judged() -> Iterator[pa.RecordBatch]:
            for batch in rows:
                own = pa.Table.from_batches([batch])
                said = {name: pa.array(predict(own), pa.float64()) for name, predict in candidates.items()}
                columns = {name: own.column(name).combine_chunks() for name in (PARTITION, "label")} | said
                yield pa.record_batch(columns, schema)

        schema = pa.schema([(PARTITION, pa.date32()), *((name, pa.float64()) for name in ("label", *candidates))])
        cursor.register("said", pa.RecordBatchReader.from_batches(schema, judged()))
        cursor.execute("CREATE TEMP TABLE judged AS FROM said")
        yield cursor, tuple(candidates)


def flagged(lake: Lake, champion: RegisteredModel) -> Flagged | None:
    """The share of the champion's newest predictions that are flagged. None without a usual range or enough days."""
    usual, scored = champion.package.card.flagged, lake.ends("predictions")
    if usual is None or not scored:
        return None
    day = scored.end
    window = Partitions(day - timedelta(days=RUN_DAYS - 1), day)
    share = recent_share(flagged_counts(lake, window, champion.version), day)
    return None if share is None else Flagged(day, share, usual)
