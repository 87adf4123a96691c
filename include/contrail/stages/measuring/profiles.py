"""What drift reads of a day in place of its rows: histograms of its features, and the residuals of its labels.

They are kept in ``drift_profiles``, for each day and model. Each says which data files it was made of. One that is missing,
or was made of other files than are published, is made again from the rows: out of core, and once. What follows from the
profiles does not belong here.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date, timedelta
from itertools import chain
from typing import Any, Literal

import duckdb
import numpy as np
import pyarrow as pa

from contrail.adapters.registry import RegisteredModel
from contrail.config.names import quoted
from contrail.lake import records
from contrail.lake.datasets import PARTITION
from contrail.lake.labels import make_labels, mature_days
from contrail.lake.sessions import session
from contrail.methods.drift import Histograms, day_histograms
from contrail.methods.label_drift import LABEL, ResidualSums
from contrail.partitions import Partitions, as_ranges
from contrail.stages.base import StageRun
from contrail.stages.options import StageOptions

Kind = Literal["features", "label"]
Inputs = Mapping[str, int | None]

_TABLE = "drift_profiles"
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
    reference = model.package.reference
    made_of = {day: _digest(files) for day, files in run.lake.made_of("features", window, inputs["features"]).items()}
    known = _known(run, model, window, "features", made_of)
    missing = [day for day in made_of if len(known.get(day, ())) != len(reference.features)]
    found: dict[date, Histograms] = {
        day: {row["feature"]: np.array(json.loads(row["counts"]), np.float64) for row in rows}
        for day, rows in known.items()
        if day not in missing
    }
    if not missing:
        return found
    with session(run.settings) as connection:
        counted = day_histograms(_features(run, connection, [*reference.features], missing, inputs), reference)
    rows = [
        {
            PARTITION: day,
            "feature": name,
            "rows": int(counts.sum()),
            "counts": json.dumps(counts.astype(int).tolist()),
            "made_of": made_of[day],
        }
        for day, histograms in counted.items()
        for name, counts in histograms.items()
    ]
    _publish(run, model, "features", missing, rows, {"features": inputs["features"]})
    return found | counted


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
    made_of = _labels_made_of(run, window, inputs)
    known = _known(run, model, window, "label", made_of)
    missing = [day for day in made_of if day not in known]
    found = {day: (row["rows"], row["residual"]) for day, (row,) in known.items()}
    if missing:
        sums = _residuals(run, model, missing, inputs)
        counted = {day: (sums.rows.get(day, 0), sums.sums.get(day, 0.0)) for day in missing}
        rows = [
            {PARTITION: day, "feature": LABEL, "rows": count, "residual": total, "made_of": made_of[day]}
            for day, (count, total) in counted.items()
        ]
        _publish(run, model, "label", missing, rows, inputs)
        found |= counted
    return {day: (rows, total / rows) for day, (rows, total) in sorted(found.items()) if rows}


# ---- the table ----


def _known(
    run: StageRun[StageOptions], model: RegisteredModel, window: Partitions, kind: Kind, made_of: Mapping[date, str]
) -> dict[date, list[dict[str, Any]]]:
    """The profiles of each day that were made of what is published."""
    found: dict[date, list[dict[str, Any]]] = {}
    if run.lake.exists(_TABLE):
        for row in run.lake.scan(_TABLE, window).to_pylist():
            mine = (row["model"], row["kind"]) == (model.package.digest, kind)
            if mine and row["made_of"] == made_of.get(row[PARTITION]):
                found.setdefault(row[PARTITION], []).append(row)
    return found


def _publish(
    run: StageRun[StageOptions],
    model: RegisteredModel,
    kind: Kind,
    days: Collection[date],
    rows: Iterable[dict[str, Any]],
    inputs: Inputs,
) -> None:
    dataset = records.drift_profiles(run.pipeline.spec)
    scope = {"model": model.package.digest, "kind": kind}
    table = pa.Table.from_pylist([row | scope for row in rows], schema=dataset.staged_schema())
    provenance = run.provenance(inputs, model_name=model.name, model_version=str(model.version))
    run.lake.publish(dataset, table, days, provenance, scope)
    run.progress(f"profiles of the {kind} made of {', '.join(map(str, as_ranges(days)))}")


def _digest(*made_of: object) -> str:
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
    columns = ", ".join(quoted(name) for name in dict.fromkeys((PARTITION, *names)))
    run.lake.show(connection, "features", days, inputs["features"])
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
        day: _digest(
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
    by = ", ".join(quoted(name) for name in (PARTITION, *spec.key))
    with session(run.settings) as connection:
        make_labels(connection, run.lake, spec, sorted(days), inputs)
        # A second cursor, because the first one reads what the second one yields.
        batches = _predictions(run, connection.cursor(), model, days, inputs)
        first = next(batches)
        connection.register("predicted", pa.RecordBatchReader.from_batches(first.schema, chain([first], batches)))
        query = f"SELECT {PARTITION}, label, prediction FROM predicted JOIN labels USING ({by}) ORDER BY {by}"
        for batch in connection.sql(query).to_arrow_reader(_ROWS):
            sums.add(
                *(batch.column(name).to_numpy(zero_copy_only=False) for name in (PARTITION, "label", "prediction"))
            )
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
