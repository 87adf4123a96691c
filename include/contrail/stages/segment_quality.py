"""The realised quality of segments by day, and in which of them it fell. The statistics are in ``methods.segment_falls``.

The rows are added up by day and value in whole numbers, so no order of them changes a digit. Days before the range come from
what was published of them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from contrail.config.names import listed, literal, quoted
from contrail.config.spec import PipelineSpec
from contrail.lake import quality_records
from contrail.lake.datasets import PARTITION
from contrail.lake.lineage import Lineage
from contrail.lake.provenance import Provenance
from contrail.methods.segment_falls import LEAST_ROWS, OF_DAYS, REACH_DAYS, Compared, Judged, Name, begins, judge
from contrail.partitions import Partitions, as_ranges
from contrail.stages.base import StageRun
from contrail.stages.options import StageOptions

TABLE = "segment_quality"
JUDGED_BY = "segments_judged_by"
MISSING = "(missing)"
_MOST = 30  # values of a feature, the largest of a day
_PARTS = 10**12  # values are added up in these, exactly
Row = dict[str, Any]


def publish_segments(
    run: StageRun[StageOptions],
    connection: duckdb.DuckDBPyConnection,
    days: Sequence[date],
    inputs: Mapping[str, int | None],
) -> "Segments":
    """Measure and judge the segments of mature days, and publish them in one commit.

    Args:
        run: The stage.
        connection: The session in which ``stages.quality`` made ``labels`` and ``predictions``.
        days: The mature days, in order.
        inputs: The snapshot of each table that was read.

    Days after them whose verdicts rest on them and became others have a commit of their own, made of this table alone.

    Returns:
        What became of them, for ``performance``, whose commit says that the run has told its falls.
    """
    names = _features(run)
    if not names:
        return Segments()
    snapshot = run.lake.snapshot_id("features")
    run.lake.view(connection, "segment_rows", "features", days, snapshot_id=snapshot)
    rows = [row for name in names for row in _measured(run.pipeline.spec, connection, name)]
    versions = _versions(rows)
    rows = [row for row in rows if row["model_version"] == versions[row[PARTITION]]]
    found = _judged_on(run, rows, days)
    dataset = quality_records.segment_quality(run.pipeline.spec)
    if found.again:
        again = sorted({row[PARTITION] for row in found.again})
        run.check_unchanged(TABLE, found.snapshot, Partitions(again[0], again[-1]))
        run.progress(
            f"segments judged again, because days before them changed: {', '.join(map(str, as_ranges(again)))}"
        )
    told = _told(run, found.published)
    table = pa.Table.from_pylist([*map(found.row, rows)], schema=dataset.arrow_schema())
    published = run.lake.publish(dataset, table, days, run.provenance({**inputs, "features": snapshot}))
    anew = [*found.again, *_taken_over(run, found, days, published)]
    if anew:
        on = sorted({row[PARTITION] for row in anew})
        table = pa.Table.from_pylist(anew, schema=dataset.arrow_schema())
        run.lake.publish(dataset, table, on, run.provenance({TABLE: published}))
    fell = tuple(
        f"{name[0]} {name[1]} since {since} (seen on {seen})"
        for name, seen, since in begins(found.judged, found.before)
        if not any(seen <= day < seen + timedelta(days=OF_DAYS) or of == since for day, of in told.get(name, ()))
    )
    # The same work again publishes nothing: then the verdicts are those of an earlier run.
    made = _lineage(run, TABLE)
    makers = {maker.provenance.run_id for day in days if (maker := made.maker(day))}
    return Segments(fell, frozenset(makers | ({run.run_id} if anew else set())))


@dataclass(frozen=True)
class Segments:
    """A sentence for each fall that was first seen, and the runs that published the verdicts; empty without segments."""

    fell: tuple[str, ...] = ()
    judged_by: frozenset[str] = frozenset()

    @property
    def mark(self) -> dict[str, str]:
        """What the provenance of ``performance`` says of them."""
        return {JUDGED_BY: ",".join(sorted(self.judged_by))} if self.judged_by else {}


@dataclass(frozen=True)
class _JudgedOn:
    """The verdicts on measured days, and on published days after the first of them, which rest on them.

    ``again`` has all rows of the published days on which a verdict became another one. ``before`` are the days before the
    first one. ``published`` has what ``snapshot`` had of the days that were looked at.
    """

    judged: Mapping[date, Mapping[Name, Judged]]
    before: Mapping[date, Mapping[Name, Judged]]
    again: Sequence[Row]
    published: Sequence[Row]
    snapshot: int | None

    def row(self, row: Row) -> Row:
        """A row with its verdict."""
        one = self.judged.get(row[PARTITION], {}).get((row["feature"], row["value"]))
        if one is None:
            return row
        return {**row, "worse": one.worse, "fall": one.fall, "threshold": one.threshold, "fell_since": one.since}


def _judged_on(run: StageRun[StageOptions], rows: Sequence[Row], days: Sequence[date]) -> _JudgedOn:
    """Judge the measured days, then the published ones as far as verdicts change: a day reaches ``REACH_DAYS`` on."""
    snapshot = run.lake.snapshot_id(TABLE) if run.lake.exists(TABLE) else None
    span = Partitions(days[0], days[-1] + timedelta(days=REACH_DAYS))
    published = _published(run, span.reaching_back(REACH_DAYS), snapshot)
    before = _before([row for row in published if row[PARTITION] < span.start])
    found = _JudgedOn({}, before, [], published, snapshot)
    while True:
        there = [row for row in published if row[PARTITION] in span and row[PARTITION] not in days]
        own = judge(before, _compared([*there, *(row for row in rows if row[PARTITION] in span)]))
        found = replace(found, judged={**found.judged, **own})
        changed = {row[PARTITION] for row in there if found.row(row) != row}
        if not changed:
            return found
        found = replace(found, again=[*found.again, *(found.row(row) for row in there if row[PARTITION] in changed)])
        before = {day: one for day, one in {**before, **own}.items() if day > span.end - timedelta(days=REACH_DAYS)}
        span = Partitions(span.end + timedelta(days=1), span.end + timedelta(days=REACH_DAYS))
        published = _published(run, span, snapshot)
        found = replace(found, published=[*found.published, *published])


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


def _published(run: StageRun[StageOptions], days: Partitions, snapshot: int | None) -> list[Row]:
    """What a snapshot has of days."""
    if snapshot is None:
        return []
    rows: list[Row] = run.lake.scan(TABLE, days, snapshot_id=snapshot).to_pylist()
    return rows


def _before(published: Sequence[Row]) -> dict[date, dict[Name, Judged]]:
    """Judged days, as they were published."""
    found = dict[date, dict[Name, Judged]]()
    for row in published:
        if row["excess"] is not None:
            one = Judged(
                Compared(row["excess"], row["noise"]), row["worse"], row["fall"], row["threshold"], row["fell_since"]
            )
            found.setdefault(row[PARTITION], {})[row["feature"], row["value"]] = one
    return found


def _told(run: StageRun[StageOptions], published: Sequence[Row]) -> dict[Name, list[tuple[date, date]]]:
    """The days of the falls that a run has told, and since when they fell, by segment.

    A day that is measured again tells none of them again. A run that was killed before it published ``performance`` has
    told nothing, also of days that were measured long before.
    """
    fallen = [row for row in published if row["fell_since"] is not None]
    untold = _untold(run, {row[PARTITION] for row in fallen})
    found: dict[Name, list[tuple[date, date]]] = {}
    for row in fallen:
        if row[PARTITION] not in untold:
            found.setdefault((row["feature"], row["value"]), []).append((row[PARTITION], row["fell_since"]))
    return found


def _untold(run: StageRun[StageOptions], days: Collection[date]) -> set[date]:
    """Those of the published days whose verdicts are of a run that published no ``performance`` after them."""
    if not days:
        return set()
    finished = {one for commit in _lineage(run, "performance").commits for one in _runs(commit.provenance)}
    made = _lineage(run, TABLE)
    makers = {day: made.maker(day) for day in days}
    # Whoever made a day so long ago that nobody knows it has told it.
    return {day for day, maker in makers.items() if maker and maker.provenance.run_id not in finished}


def _runs(made: Provenance) -> list[str]:
    return [made.run_id, *made.extra.get(JUDGED_BY, "").split(",")]


def _lineage(run: StageRun[StageOptions], table: str) -> Lineage:
    """The commits of a table. What only a damaged archive says is not known."""
    return run.lake.lineage(table, lambda _: None)


def _taken_over(run: StageRun[StageOptions], found: _JudgedOn, measured: Sequence[date], published: int) -> list[Row]:
    """The rows of other days whose falls this run tells, although a run that told nothing has published the same verdicts.

    They are published as this run's, so that they count as told when it has ended.
    """
    again = {*measured, *(row[PARTITION] for row in found.again)}
    fallen = {day for day, own in found.judged.items() if any(one.fell for one in own.values())}
    if not (left := _untold(run, fallen - again)):
        return []
    return [row for row in _published(run, Partitions(min(left), max(left)), published) if row[PARTITION] in left]
