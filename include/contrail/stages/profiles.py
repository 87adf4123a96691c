"""What drift reads of a day in place of its rows: histograms of its features, its decisions, and its labels' residuals.

They are kept in ``drift_profiles``, for each day and model. Each says which data files it was made of. One that is missing,
or was made of other files than are published, is made again from the rows: out of core, and once. What follows from the
profiles does not belong here.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain
from typing import Any, Literal

import duckdb
import numpy as np
import pyarrow as pa

from contrail.adapters.registry import RegisteredModel
from contrail.config.names import listed
from contrail.errors import DamagedError
from contrail.lake import drift_records
from contrail.lake.datasets import PARTITION
from contrail.lake.flagged import flagged_counts
from contrail.lake.labels import make_labels, mature_days
from contrail.lake.predicted import PredictedCounts, predicted_counts
from contrail.lake.sessions import session
from contrail.methods.drift import Histograms, day_histograms
from contrail.methods.label_drift import LABEL, ResidualSums
from contrail.methods.prediction_drift import SCORES, PredictedDay
from contrail.partitions import Partitions, as_ranges
from contrail.stages.base import StageRun
from contrail.stages.options import StageOptions

Kind = Literal["features", "decisions", "label", "predictions"]
Inputs = Mapping[str, int | None]
Row = dict[str, Any]

_TABLE = "drift_profiles"
EVERY_MODEL = "*"
_ROWS = 65_536  # in a batch: of 60 features, 31 MB


def histograms_of(
    run: StageRun[StageOptions], model: RegisteredModel, window: Partitions, inputs: Inputs
) -> dict[date, Histograms]:
    """Return the histograms of the features of each day that has rows, in the bins of a model's drift reference.

    Args:
        run: The stage.
        model: Has the reference.
        window: The days.
        inputs: The snapshot of each table that is read, ``features`` among them.
    """
    snapshot, reference = inputs["features"], model.package.reference

    def count(days: list[date]) -> list[Row]:
        with session(run.settings) as connection:
            batches = _features(run, connection, [*reference.features], days, inputs)
            counted = day_histograms(batches, reference)
        return [
            _row(day, name, rows=int(counts.sum()), counts=counts.astype(int).tolist())
            for day, histograms in counted.items()
            for name, counts in histograms.items()
        ]

    made_of = {day: digest_of(files) for day, files in run.lake.made_of("features", window, snapshot).items()}
    found = _Profiles(run, model, "features", {"features": snapshot}).of(window, made_of, count)
    return {
        day: {row["feature"]: np.array(json.loads(row["counts"]), np.float64) for row in rows}
        for day, rows in found.items()
    }


def decisions_of(
    run: StageRun[StageOptions], model: RegisteredModel, window: Partitions
) -> dict[date, tuple[int, int]]:
    """Return how many of a model's published predictions of each day are flagged, and how many there are."""
    if run.pipeline.spec.task != "binary" or not run.lake.exists("predictions"):
        return {}
    snapshot = run.lake.snapshot_id("predictions")

    def count(days: list[date]) -> list[Row]:
        counts = flagged_counts(run.lake, days, model.version, snapshot)
        every = {day: counts.get(day, (0, 0)) for day in days}
        return [
            _row(day, "decision", rows=rows, counts=[rows - flagged, flagged]) for day, (flagged, rows) in every.items()
        ]

    files = run.lake.made_of("predictions", window, snapshot)
    made_of = {day: digest_of(model.version, names) for day, names in files.items()}
    found = _Profiles(run, model, "decisions", {"predictions": snapshot}).of(window, made_of, count)
    return {day: (json.loads(row["counts"])[1], row["rows"]) for day, (row,) in found.items() if row["rows"]}


def residuals_of(
    run: StageRun[StageOptions], model: RegisteredModel, window: Partitions, inputs: Inputs
) -> dict[date, tuple[int, float]]:
    """Return the labelled rows of each mature day, and their mean label minus the model's mean prediction.

    The model predicts these rows again, because published predictions may come from another version.

    Args:
        run: The stage.
        model: Predicts.
        window: The days.
        inputs: The snapshot of each table that is read: ``features`` and the validated tables of the label.
    """

    def count(days: list[date]) -> list[Row]:
        sums = _residuals(run, model, days, inputs)
        return [_row(day, LABEL, rows=sums.rows.get(day, 0), residual=sums.sums.get(day, 0.0)) for day in days]

    found = _Profiles(run, model, "label", inputs).of(window, _labels_made_of(run, window, inputs), count)
    return {day: (row["rows"], row["residual"] / row["rows"]) for day, (row,) in found.items() if row["rows"]}


def predicted_days(run: StageRun[StageOptions], model: RegisteredModel, window: Partitions) -> dict[date, PredictedDay]:
    """Return the published predictions of each day, whatever version made them, as quantiles and sums of reasons.

    A day whose files are damaged is left out and named: it is the past of many days, and none of them needs it.

    Args:
        run: The stage.
        model: The one that the run measures against.
        window: The days.
    """
    if not run.lake.exists("predictions"):
        return {}
    snapshot = run.lake.snapshot_id("predictions")

    def count(days: list[date]) -> list[Row]:
        return [
            row
            for day, one in _readable_counts(run, days, snapshot).items()
            for row in (
                _row(day, SCORES, one.rows, counts=[one.version, *one.quantiles]),
                *(_row(day, name, one.rows, residual=size) for name, size in one.reasons.items()),
            )
        ]

    made_of = {day: digest_of(names) for day, names in run.lake.made_of("predictions", window, snapshot).items()}
    profiles = _Profiles(run, model, "predictions", {"predictions": snapshot}, every_model=True)
    found = {}
    for day, rows in profiles.of(window, made_of, count).items():
        scores = next(row for row in rows if row["feature"] == SCORES)
        version, *quantiles = json.loads(scores["counts"])
        reasons = {row["feature"]: row["residual"] for row in rows if row["feature"] != SCORES}
        found[day] = PredictedDay(version, scores["rows"], tuple(quantiles), dict(sorted(reasons.items())))
    return found


def _readable_counts(
    run: StageRun[StageOptions], days: Sequence[date], snapshot: int | None
) -> dict[date, PredictedCounts]:
    try:
        return predicted_counts(run.lake, run.pipeline.spec, days, snapshot)
    except DamagedError as error:
        if len(days) == 1:
            run.progress(f"drift of predictions leaves out {days[0]}: {error}")
            return {}
    # Halves, because few days are damaged among many.
    half = len(days) // 2
    return {**_readable_counts(run, days[:half], snapshot), **_readable_counts(run, days[half:], snapshot)}


# ---- the table ----


@dataclass(frozen=True)
class _Profiles:
    """The profiles of one kind that belong to a model. ``inputs`` are the snapshots that new ones are made of."""

    run: StageRun[StageOptions]
    model: RegisteredModel
    kind: Kind
    inputs: Inputs
    every_model: bool = False

    def of(
        self, window: Partitions, made_of: Mapping[date, str], count: Callable[[list[date]], list[Row]]
    ) -> dict[date, list[Row]]:
        """Return the rows of each day. Those of other data files than ``made_of`` says are counted again and published."""
        found = self._known(window, made_of)
        if missing := [day for day in made_of if day not in found]:
            self.run.progress(f"counting the {self.kind} of {', '.join(map(str, as_ranges(missing)))}")
            rows = [row | self._scope | {"made_of": made_of[row[PARTITION]]} for row in count(missing)]
            self._publish(missing, rows)
            found |= _by_day(rows)
        return dict(sorted(found.items()))

    @property
    def _scope(self) -> dict[str, str]:
        return {"model": EVERY_MODEL if self.every_model else self.model.package.digest, "kind": self.kind}

    def _known(self, window: Partitions, made_of: Mapping[date, str]) -> dict[date, list[Row]]:
        if not self.run.lake.exists(_TABLE):
            return {}
        try:
            rows = self.run.lake.scan(_TABLE, window, scope=self._scope).to_pylist()
        except DamagedError as error:
            self.run.progress(f"counting every day of {window} again: {error}")
            return {}
        return _by_day(row for row in rows if row["made_of"] == made_of.get(row[PARTITION]))

    def _publish(self, days: list[date], rows: list[Row]) -> None:
        dataset = drift_records.drift_profiles(self.run.pipeline.spec)
        table = pa.Table.from_pylist(rows, schema=dataset.staged_schema())
        made_by = {"model_name": self.model.name, "model_version": str(self.model.version)}
        self.run.lake.publish(dataset, table, days, self.run.provenance(self.inputs, **made_by), self._scope)


def _by_day(rows: Iterable[Row]) -> dict[date, list[Row]]:
    found: dict[date, list[Row]] = {}
    for row in rows:
        found.setdefault(row[PARTITION], []).append(row)
    return found


def _row(
    day: date, feature: str, rows: int, counts: Sequence[object] | None = None, residual: float | None = None
) -> Row:
    text = None if counts is None else json.dumps(counts)
    return {PARTITION: day, "feature": feature, "rows": rows, "counts": text, "residual": residual}


def digest_of(*made_of: object) -> str:
    """Name what a day's numbers were made of, as data files and definitions, in one short text."""
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()


# ---- from the rows, out of core ----


def _features(
    run: StageRun[StageOptions],
    connection: duckdb.DuckDBPyConnection,
    names: Iterable[str],
    days: Collection[date],
    inputs: Inputs,
) -> Iterator[pa.Table]:
    """The rows of these days, a batch at a time."""
    columns = listed(dict.fromkeys((PARTITION, *names)))
    run.lake.view(connection, "features", "features", days, snapshot_id=inputs["features"])
    for batch in connection.sql(f"SELECT {columns} FROM features").to_arrow_reader(_ROWS):
        yield pa.Table.from_batches([batch])


def _labels_made_of(run: StageRun[StageOptions], window: Partitions, inputs: Inputs) -> dict[date, str]:
    """What the residual of each mature day with features is made of: its rows, and how they get their label."""
    spec = run.pipeline.spec
    mature = timedelta(days=spec.label.mature_after_days)
    entities, outcomes = f"validated_{spec.entities}", f"validated_{spec.label.table}"
    features, known, told = (
        run.lake.made_of(name, days, inputs[name])
        for name, days in (
            ("features", window),
            (entities, window),
            (outcomes, Partitions(window.start, window.end + mature)),
        )
    )
    defined = [spec.label.model_dump(mode="json"), spec.tables[spec.label.table].known_at, *spec.key]
    return {
        day: digest_of(
            defined, features[day], known.get(day), *(told.get(late) for late in Partitions(day, day + mature))
        )
        for day in mature_days(run.lake, spec, window, snapshot=inputs[outcomes])
        if day in features
    }


def _residuals(
    run: StageRun[StageOptions], model: RegisteredModel, days: Collection[date], inputs: Inputs
) -> ResidualSums:
    """Predict the days again, and add up their residuals in the order of their keys: another one changes a last digit."""
    spec, sums = run.pipeline.spec, ResidualSums()
    by = listed((PARTITION, *spec.key))
    # A second cursor, because the first one reads what the second one yields.
    with session(run.settings) as connection, connection.cursor() as cursor:
        make_labels(connection, run.lake, spec, sorted(days), inputs)
        batches = _predictions(run, cursor, model, days, inputs)
        first = next(batches)
        connection.register("predicted", pa.RecordBatchReader.from_batches(first.schema, chain([first], batches)))
        query = f"SELECT {PARTITION}, label, prediction FROM predicted JOIN labels USING ({by}) ORDER BY {by}"
        for batch in connection.sql(query).to_arrow_reader(_ROWS):
            sums.add(*(column.to_numpy(zero_copy_only=False) for column in batch.columns))
    return sums


def _predictions(
    run: StageRun[StageOptions],
    connection: duckdb.DuckDBPyConnection,
    model: RegisteredModel,
    days: Collection[date],
    inputs: Inputs,
) -> Iterator[pa.RecordBatch]:
    spec = run.pipeline.spec
    by = [PARTITION, *spec.key]
    for rows in _features(run, connection, [*by, *model.package.features], days, inputs):
        predicted = rows.select(by).append_column("prediction", pa.array(model.package.predict(rows), pa.float64()))
        yield from predicted.combine_chunks().to_batches()
