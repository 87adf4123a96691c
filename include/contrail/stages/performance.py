"""Measure the predictions of a partition once its labels are known: realised quality, day by day.

The stage joins published predictions, and the challenger's in shadow, with labels, and publishes ``performance``. Rows are
joined and sorted out of core (``stages.quality``), and the metrics are sums over them (``methods.block_sums``). Gates
and promotion, which judge a model before it scores, belong elsewhere.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

import duckdb
import pyarrow as pa

from contrail.adapters.registry import resolve
from contrail.errors import DataError, MissingInputError
from contrail.lake import records
from contrail.lake.datasets import PARTITION
from contrail.lake.labels import mature_days
from contrail.lake.sessions import session
from contrail.methods import metrics
from contrail.methods.calibration import Period
from contrail.methods.metrics import HEADLINE
from contrail.partitions import Partitions, as_ranges
from contrail.stages.base import StageRun, result_of
from contrail.stages.estimates import publish_estimates
from contrail.stages.options import PerformanceOptions as Options
from contrail.stages.quality import SHADOW, Quality, join, quality_of, scored_days
from contrail.stages.results import PerformanceDetails, PeriodCalibration, PooledQuality, StageResult
from contrail.stages.segment_quality import publish_segments
from contrail.stages.staleness import OK, Staleness
from contrail.stages.values import DayValues, values_of_days


def execute(run: StageRun[Options]) -> StageResult[PerformanceDetails]:
    """Measure every mature partition of the range, and estimate those whose labels are not known at their cut-off.

    Measurements, segments and estimates have a commit each.

    A partition is mature when the label table's validated partitions exist from it through ``mature_after_days`` later.
    An immature one stays as it was, and ``details.immature`` names it. No day is measured in part.

    Raises:
        MissingInputError: if there are no predictions or labels at all.
    """
    spec, lake = run.pipeline.spec, run.lake
    tables = ("predictions", f"validated_{spec.entities}", f"validated_{spec.label.table}")
    if all(map(lake.exists, tables[1:])):
        _check_scored(run)
    inputs = {name: lake.snapshot_id(name) for name in (*tables, *([SHADOW] if lake.exists(SHADOW) else []))}
    measured = _measure(run, inputs)
    estimated = publish_estimates(run, lambda version: _learned_from(run, version))
    details = measured.details.model_copy(update={"estimated": estimated})
    unchanged = measured.unchanged and not estimated
    return result_of(run, details, rows=measured.rows, unchanged=unchanged, snapshots=measured.snapshots)


@dataclass(frozen=True)
class _Measured:
    """What became of the mature days. ``rows`` and ``snapshots`` are those of ``performance``."""

    details: PerformanceDetails
    rows: int = 0
    snapshots: Mapping[str, int] = field(default_factory=dict)

    @property
    def unchanged(self) -> bool:
        """Whether nothing was published."""
        return not self.snapshots


def _measure(run: StageRun[Options], inputs: Mapping[str, int | None]) -> _Measured:
    """Measure the mature days that are asked for, and publish them."""
    spec, lake = run.pipeline.spec, run.lake
    only_stale = run.options.only_stale
    asked = _with_predictions(run) if only_stale else list(run.partitions)
    mature = [day for day in mature_days(lake, spec, run.partitions) if day in asked]
    immature = tuple(str(days) for days in as_ranges(set(asked) - set(mature)))
    waiting, current = len(asked) - len(mature), len(mature)
    if only_stale:
        mature = _stale(run, mature)
    if not mature:
        what = "is missing or stale" if current else "has all its labels yet"
        run.progress(f"no partition of {run.partitions} {what}")
        return _Measured(PerformanceDetails(measured=0, immature=immature))
    with session(run.settings) as connection:
        join(run, connection, mature, inputs)
        found = list(_qualities(run, connection))
        values = values_of_days(connection, spec.score)
        rows = _rows(run, found, values)
        # Segments first: when a run is killed between the two, the day is still to be measured.
        segments = publish_segments(run, connection, mature, inputs)
        published = lake.publish(records.performance(spec), rows, mature, run.provenance(inputs, **segments.mark))
    measured = set(rows.column(PARTITION).to_pylist())
    run.progress(f"partitions measured: {len(measured)}, waiting for labels: {waiting}")
    if segments.fell:
        run.progress(f"quality fell in {', '.join(segments.fell)}")
    details = PerformanceDetails(
        measured=len(measured),
        immature=immature,
        quality=_pooled(run, found),
        without_predictions=tuple(str(days) for days in as_ranges(set(mature) - measured)),
        fell=segments.fell,
    )
    return _Measured(details, rows.num_rows, {"performance": published})


def _check_scored(run: StageRun[Options]) -> None:
    """Check that anything has ever been scored.

    Raises:
        MissingInputError: with the command that scores the range.
    """
    if not run.lake.exists("predictions"):
        raise MissingInputError(
            f"{run.pipeline.name}: nothing has been scored yet, so there is nothing to measure. Run: contrail score "
            f"-p {run.pipeline.name} --from {run.partitions.start} --to {run.partitions.end}"
        )


def _with_predictions(run: StageRun[Options]) -> list[date]:
    """Days of the range that have predictions, or have a measurement of earlier ones."""
    tables = [name for name in ("predictions", SHADOW, "performance") if run.lake.exists(name)]
    return sorted({day for name in tables for day in run.lake.made_of(name, run.partitions)})


def _stale(run: StageRun[Options], mature: Iterable[date]) -> list[date]:
    """Days whose measurement is not of what is published now. A rollback counts as a change too."""
    staleness = Staleness(run.pipeline, run.lake)
    return [day for day in mature if staleness.own(run.stage, day).state != OK]


def _qualities(run: StageRun[Options], connection: duckdb.DuckDBPyConnection) -> Iterator[Quality]:
    """The quality of each version's predictions, published or in shadow."""
    means: dict[str, float | None] = {}
    for scored in scored_days(connection):
        version = scored.model_version
        if version not in means:
            means[version] = _training_mean(run, version)
        yield quality_of(connection, run.pipeline.spec, scored, means[version])


def _rows(run: StageRun[Options], qualities: Iterable[Quality], values: DayValues) -> pa.Table:
    """A row for each mature day and model version that predicted it."""
    dataset = records.performance(run.pipeline.spec)
    entries = [
        {
            PARTITION: day,
            "model_name": each.scored.model_name,
            "model_version": each.scored.model_version,
            "shadow": each.scored.shadow,
            "rows": rows,
            "labelled": labelled,
            "label_coverage": labelled / rows,
            **(each.of_day(day) if labelled else {}),
            **values.get((day, each.scored.model_version, each.scored.shadow), {}),
        }
        for each in qualities
        for day, (rows, labelled) in each.scored.days.items()
    ]
    known = [{name: value for name, value in entry.items() if name in dataset.columns} for entry in entries]
    return pa.Table.from_pylist(known, schema=dataset.arrow_schema())


def _pooled(run: StageRun[Options], qualities: Iterable[Quality]) -> dict[str, PooledQuality]:
    """The quality of each version's published predictions over all days, where there are enough of them."""
    found = {}
    for each in qualities:
        if each.scored.shadow or each.sums is None:
            continue
        values, intervals = each.sums.pooled()
        if not intervals:
            continue
        version = each.scored.model_version
        found[version] = PooledQuality(
            rows=int(each.sums.rows.sum()),
            metrics=metrics.finite(values),
            intervals={name: (interval.low, interval.high) for name, interval in intervals.items()},
            months=tuple(map(_month, each.sums.periods())),
        )
        run.progress(_pooled_line(version, found[version], HEADLINE[run.pipeline.spec.task]))
    return found


def _month(month: Period) -> PeriodCalibration:
    return PeriodCalibration(
        period=str(Partitions(month.start, month.end)),
        rows=month.rows,
        label_mean=month.label_mean,
        prediction_mean=month.prediction_mean,
        calibration_error=month.calibration_error,
        interval=(month.interval.low, month.interval.high) if month.interval else None,
    )


def _pooled_line(version: str, quality: PooledQuality, headline: str) -> str:
    month = max(quality.months, key=lambda month: month.calibration_error)
    low, high = quality.intervals[headline]
    return (
        f"version {version}: {headline} {quality.metrics[headline]:.4f} [{low:.4f}, {high:.4f}] on {quality.rows:,} rows; "
        f"calibration error {quality.metrics['calibration_error']:.4f}, at worst {month.calibration_error:.4f} in "
        f"{month.period} (predicted {month.prediction_mean:.4f}, found {month.label_mean:.4f})"
    )


def _learned_from(run: StageRun[Options], version: str) -> Partitions | None:
    """The training window of a model that predicted; None when it can no longer be read."""
    try:
        return resolve(run.settings, run.pipeline.name, version).package.card.training.partitions
    except (DataError, MissingInputError):
        return None


def _training_mean(run: StageRun[Options], version: str) -> float | None:
    """The mean label of the training window of a model that predicted; None when it can no longer be read."""
    try:
        return resolve(run.settings, run.pipeline.name, version).package.card.label_mean
    except (DataError, MissingInputError) as error:
        run.progress(f"no baseline for version {version}: {error}")
        return None
