"""The realised quality of segments by day, and in which of them it fell. The statistics are in ``methods.segment_falls``.

The rows are added up by day and value in whole numbers, so no order of them changes a digit. Days before the range come from
what was published of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from contrail.config.names import listed, literal, quoted
from contrail.config.spec import PipelineSpec
from contrail.lake import quality_records
from contrail.lake.datasets import PARTITION
from contrail.methods.segment_falls import LEAST_ROWS, REACH_DAYS, Compared, Judged, Name, begins, judge
from contrail.partitions import Partitions
from contrail.stages.base import StageRun
from contrail.stages.options import StageOptions

TABLE = "segment_quality"
MISSING = "(missing)"
_MOST = 30  # values of a feature, the largest of a day
_PARTS = 10**12  # values are added up in these, exactly
Row = dict[str, Any]


def publish_segments(
    run: StageRun[StageOptions],
    connection: duckdb.DuckDBPyConnection,
    days: Sequence[date],
    inputs: Mapping[str, int | None],
) -> tuple[str, ...]:
    """Measure and judge the segments of mature days, and publish them in one commit.

    Args:
        run: The stage.
        connection: The session in which ``stages.quality`` made ``labels`` and ``predictions``.
        days: The mature days, in order.
        inputs: The snapshot of each table that was read.

    Returns:
        A sentence for each fall that was first seen on these days.
    """
    names = _features(run)
    if not names:
        return ()
    snapshot = run.lake.snapshot_id("features")
    run.lake.view(connection, "segment_rows", "features", days, snapshot_id=snapshot)
    rows = [row for name in names for row in _measured(run.pipeline.spec, connection, name)]
    versions = _versions(rows)
    rows = [row for row in rows if row["model_version"] == versions[row[PARTITION]]]
    published = _published(run, days)
    before, told = _before(published, days), _told(run, published)
    judged = judge(before, _compared(rows))
    dataset = quality_records.segment_quality(run.pipeline.spec)
    table = pa.Table.from_pylist([_row(row, judged) for row in rows], schema=dataset.arrow_schema())
    run.lake.publish(dataset, table, days, run.provenance({**inputs, "features": snapshot}))
    return tuple(
        f"{name[0]} {name[1]} since {since} (seen on {seen})"
        for name, seen, since in begins(judged, before)
        if (name, since) not in told
    )


def _features(run: StageRun[StageOptions]) -> tuple[str, ...]:
    """The features of ``train.segments`` that are published and no person's."""
    spec = run.pipeline.spec
    if not run.lake.exists("features"):
        return ()
    there = set(run.lake.schema("features").names)
    return tuple(name for name in spec.train.segments if name in there and name not in spec.personal)


def _measured(spec: PipelineSpec, connection: duckdb.DuckDBPyConnection, name: str) -> list[Row]:
    """The sums of each day and value with enough labelled rows, as a row of the table without its verdict."""
    on = listed((PARTITION, *spec.key))
    value = f"coalesce(f.{quoted(name)}::VARCHAR, {literal(MISSING)})"
    loss, expected, variance = _losses(spec)
    whole = ", ".join(f"sum({_whole(one)})" for one in ("label", "p", loss, expected, variance))
    found = connection.sql(
        f"SELECT {PARTITION}, model_name, model_version, value, count(*), {whole} FROM ("
        f"SELECT {PARTITION}, p.model_name, p.model_version, {value} AS value, l.label, "
        f"p.{quoted(spec.prediction_column)}::DOUBLE AS p FROM predictions p JOIN labels l USING ({on}) "
        f"JOIN segment_rows f USING ({on})) WHERE isfinite(p) GROUP BY ALL ORDER BY {PARTITION}, count(*) DESC, value"
    ).fetchall()
    by_day: dict[tuple[date, str], list[tuple[Any, ...]]] = {}
    for row in found:
        by_day.setdefault((row[0], row[2]), []).append(row)
    return [row for rows in by_day.values() for row in _of_day(name, rows)]


def _losses(spec: PipelineSpec) -> tuple[str, str, str]:
    """The SQL of a row's loss, of the loss that its prediction promises, and of the variance of their difference."""
    if spec.task != "binary":
        return "abs(label - p)", "0::DOUBLE", "0::DOUBLE"
    safe = "greatest(least(p, 1 - 1e-15), 1e-15)"
    yes, no = f"ln({safe})", f"ln(1 - {safe})"
    return (
        f"-(label * {yes} + (1 - label) * {no})",
        f"-(p * {yes} + (1 - p) * {no})",
        f"p * (1 - p) * ({yes} - {no}) * ({yes} - {no})",
    )


def _whole(value: str) -> str:
    return f"CAST(round(({value}) * {_PARTS}) AS HUGEINT)"


def _of_day(name: str, rows: list[tuple[Any, ...]]) -> Iterator[Row]:
    count = sum(row[4] for row in rows)
    *_, loss, expected, _ = [sum(int(row[at]) for row in rows) for at in range(5, 10)]
    for day, model, version, value, own, labels, predicted, lost, promised, variance in rows[:_MOST]:
        if own < LEAST_ROWS:
            continue
        others = count - own
        above = int(lost) - int(promised)
        rest = (loss - expected - above) / _PARTS / others if others else None
        yield {
            PARTITION: day,
            "model_name": model,
            "model_version": version,
            "feature": name,
            "value": value,
            "labelled": own,
            "label_mean": int(labels) / _PARTS / own,
            "prediction_mean": int(predicted) / _PARTS / own,
            "loss": int(lost) / _PARTS / own,
            "excess": None if rest is None else above / _PARTS / own - rest,
            "noise": None if rest is None else float(np.sqrt(int(variance) / _PARTS)) / own,
        }


def _versions(rows: Sequence[Row]) -> dict[date, str]:
    """The version with most labelled rows on each day. A day has one, unless somebody scored parts of it by hand."""
    count: dict[date, dict[str, int]] = {}
    for row in rows:
        of_day = count.setdefault(row[PARTITION], {})
        of_day[row["model_version"]] = of_day.get(row["model_version"], 0) + row["labelled"]
    return {day: max(sorted(of_day), key=lambda version: of_day[version]) for day, of_day in count.items()}


def _compared(rows: Sequence[Row]) -> dict[date, dict[Name, Compared]]:
    found: dict[date, dict[Name, Compared]] = {}
    for row in rows:
        if row["excess"] is not None:
            one = Compared(row["excess"], row["noise"])
            found.setdefault(row[PARTITION], {})[row["feature"], row["value"]] = one
    return found


def _published(run: StageRun[StageOptions], days: Sequence[date]) -> list[Row]:
    """What was published of days, and of those before them on which their verdicts may rest."""
    if not run.lake.exists(TABLE):
        return []
    rows: list[Row] = run.lake.scan(TABLE, Partitions(days[0], days[-1]).reaching_back(REACH_DAYS)).to_pylist()
    return rows


def _before(published: Sequence[Row], days: Sequence[date]) -> dict[date, dict[Name, Judged]]:
    """The judged days on which the verdicts of days may rest, as they were published; but not those days."""
    found = dict[date, dict[Name, Judged]]()
    for row in published:
        if row[PARTITION] not in days and row["excess"] is not None:
            one = Judged(
                Compared(row["excess"], row["noise"]), row["worse"], row["fall"], row["threshold"], row["fell_since"]
            )
            found.setdefault(row[PARTITION], {})[row["feature"], row["value"]] = one
    return found


def _told(run: StageRun[StageOptions], published: Sequence[Row]) -> set[tuple[Name, date]]:
    """The falls that a run has told: each segment, and since when. A day that is measured again tells none of them again.

    A run that was killed before it published ``performance`` has told nothing.
    """
    fallen = [row for row in published if row["fell_since"] is not None]
    if not (fallen and run.lake.exists("performance")):
        return set()
    on = [row[PARTITION] for row in fallen]
    measured = run.lake.made_of("performance", Partitions(min(on), max(on)))
    return {((row["feature"], row["value"]), row["fell_since"]) for row in fallen if row[PARTITION] in measured}


def _row(row: Row, judged: Mapping[date, Mapping[Name, Judged]]) -> Row:
    one = judged.get(row[PARTITION], {}).get((row["feature"], row["value"]))
    if one is None:
        return row
    return {**row, "worse": one.worse, "fall": one.fall, "threshold": one.threshold, "fell_since": one.since}
