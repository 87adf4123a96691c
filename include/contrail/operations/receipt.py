"""The receipt of one prediction: the model, features, code and run that made it, and the same score computed again.

Who may see it is decided where it is shown.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

import pyarrow as pa

from contrail.adapters.registry import RegisteredModel
from contrail.config.names import listed, quoted
from contrail.config.pipeline import Pipeline
from contrail.config.problems import hint
from contrail.config.spec import PipelineSpec
from contrail.errors import MissingInputError, SpecError
from contrail.frozen import Frozen
from contrail.lake import history
from contrail.lake.datasets import PARTITION
from contrail.lake.history import HistoryEntry
from contrail.lake.lake import Lake
from contrail.lake.sessions import session
from contrail.lake.sql import in_words
from contrail.lake.views import Wanted, create_views
from contrail.methods.model_package import ModelPackage
from contrail.partitions import Partitions
from contrail.reports.fragments import table_html
from contrail.stages.champion import model_of
from contrail.stages.fitting import fitted

_NAMED = 3  # predictions that an ambiguous key names in its error


class Reason(Frozen):
    """A feature that moved a score. ``contribution`` is in log-odds, or in label units."""

    feature: str
    value: str | None
    contribution: float


class Made(Frozen):
    """The commit that made rows: ``committed_at`` is UTC in ISO 8601, ``inputs`` the snapshot of each table it read."""

    snapshot: int
    committed_at: str
    stage: str
    run_id: str
    code_revision: str
    pipeline_hash: str
    lock_hash: str
    inputs: Mapping[str, int | None]


class ModelReceipt(Frozen):
    """The version that predicted, and its training."""

    version: str
    training_window: str
    training_rows: int
    feature_snapshot: int | None
    training_set_md5: str
    code_revision: str
    lock_hash: str


class Receipt(Frozen):
    """One prediction and what made it.

    ``features`` and ``scoring`` are None where their snapshots have expired. ``recomputed`` is the score that the model
    gives to the same features now; None where their snapshot has expired. It equals ``prediction``.
    """

    pipeline: str
    partition: date
    key: Mapping[str, Any]
    prediction: float
    decision: bool | None
    reasons: tuple[Reason, ...]
    model: ModelReceipt
    features_snapshot: int
    features: Made | None
    scoring: Made | None
    scoring_run: str
    scored_at: str
    recomputed: float | None

    @property
    def same(self) -> bool | None:
        """Whether the score computed again is the one that was published; None when it cannot be computed again."""
        return None if self.recomputed is None else self.recomputed == self.prediction

    def _repr_html_(self) -> str:
        values = self.as_dict()
        rows = [(name, values[name]) for name in ("partition", "prediction", "decision", "recomputed", "scoring_run")]
        rows += [(f"key: {name}", value) for name, value in values["key"].items()]
        rows += [(f"reason: {one.feature} = {one.value}", one.contribution) for one in self.reasons]
        for part in ("model", "features", "scoring"):
            rows += [(f"{part}: {name}", value) for name, value in (values[part] or {}).items()]
        return table_html(f"{self.pipeline}: a prediction and what made it", (), rows)


class Traced(NamedTuple):
    """A receipt with what was opened for it: the model's package, and the row of features; None where it has expired."""

    receipt: Receipt
    package: ModelPackage
    features: pa.Table | None


def receipt_of(pipeline: Pipeline, lake: Lake, day: date, key: Mapping[str, object], personal: bool = False) -> Receipt:
    """Find one prediction and what made it. Arguments and errors are those of ``traced``."""
    return traced(pipeline, lake, day, key, personal).receipt


def traced(pipeline: Pipeline, lake: Lake, day: date, key: Mapping[str, object], personal: bool = False) -> Traced:
    """Find one prediction and what made it, and keep its model and features for who asks more of them.

    Args:
        pipeline: The pipeline.
        lake: Its tables.
        day: Partition of the prediction.
        key: Values of columns of the key, as many as name one prediction of the day.
        personal: Show the values of reasons that are personal.

    Raises:
        SpecError: for a column that the key lacks, or values that name several predictions.
        MissingInputError: when there is no such prediction, or its model is gone.
    """
    spec = pipeline.spec
    for name in key:
        if name not in spec.key:
            raise SpecError(f"'{name}' is no column of the key of {spec.name}; {hint(name, spec.key, 'the key')}")
    row = _row(pipeline, lake, day, key)
    model = fitted(spec, model_of(lake.settings, lake, row["model_version"]))
    found = {name: row[name] for name in spec.key}
    snapshot = int(row["feature_snapshot"])
    features = _features(lake, spec, snapshot, day, found)
    receipt = Receipt(
        pipeline=spec.name,
        partition=day,
        key=found,
        prediction=row[spec.prediction_column],
        decision=row.get("decision"),
        reasons=_reasons(spec, row, personal),
        model=_model(model),
        features_snapshot=snapshot,
        features=_made(history.maker(lake, "features", snapshot, day)),
        scoring=_made(_scoring(lake, day, row["scoring_run"])),
        scoring_run=row["scoring_run"],
        scored_at=row["scored_at"].isoformat(),
        recomputed=None if features is None else float(model.package.predict(features)[0]),
    )
    return Traced(receipt, model.package, features)


def _row(pipeline: Pipeline, lake: Lake, day: date, key: Mapping[str, object]) -> dict[str, Any]:
    spec = pipeline.spec
    if not lake.partitions("predictions", Partitions(day, day)):
        has = lake.ends("predictions")
        raise MissingInputError(
            f"{spec.name} has no predictions of {day}; {f'it has {has}' if has else 'it has none yet'}. "
            f"Run: contrail score --pipeline {spec.name} --from {day}"
        )
    rows = rows_with(lake, spec, "predictions", Wanted(days={"predictions": Partitions(day, day)}, personal=True), key)
    said = ", ".join(f"{name}={value}" for name, value in key.items())
    if not rows.num_rows:
        raise MissingInputError(f"{spec.name} has no prediction of {day} with {said}")
    if rows.num_rows > 1:
        several = "; ".join(
            ", ".join(f"{name}={row[name]}" for name in spec.key) for row in rows.slice(0, _NAMED).to_pylist()
        )
        also = [name for name in spec.key if name not in key]
        raise SpecError(
            f"{rows.num_rows:,} predictions of {day} have {said or 'no key given'}: {several}… Name also {', '.join(also)}."
        )
    found: dict[str, Any] = rows.to_pylist()[0]
    return found


def rows_with(lake: Lake, spec: PipelineSpec, table: str, wanted: Wanted, key: Mapping[str, object]) -> pa.Table:
    """Read the rows of a table that have these values in columns of the key, in the order of partition and key."""
    with session(lake.settings) as connection, in_words(lake, spec):
        create_views(connection, lake, spec, {table}, wanted)
        shown = connection.table(table)
        kinds = dict(zip(shown.columns, shown.types, strict=True))
        same = " AND ".join(f"{quoted(name)} = ${n}::{kinds[name]}" for n, name in enumerate(key, start=1)) or "true"
        query = f"SELECT * FROM {table} WHERE {same} ORDER BY {listed((PARTITION, *spec.key))}"
        return connection.sql(query, params=[str(value) for value in key.values()]).to_arrow_table()


def _reasons(spec: PipelineSpec, row: Mapping[str, Any], personal: bool) -> tuple[Reason, ...]:
    ranks = range(1, spec.score.reasons + 1)
    return tuple(
        Reason(
            feature=row[f"reason_{rank}"],
            value=row[f"reason_{rank}_value"] if personal or row[f"reason_{rank}"] not in spec.personal else None,
            contribution=row[f"reason_{rank}_contribution"],
        )
        for rank in ranks
        if row.get(f"reason_{rank}") is not None
    )


def _model(model: RegisteredModel) -> ModelReceipt:
    training = model.package.card.training
    return ModelReceipt(
        version=model.version,
        training_window=str(training.partitions),
        training_rows=training.rows,
        feature_snapshot=training.feature_snapshot,
        training_set_md5=training.training_set_md5,
        code_revision=training.code_revision,
        lock_hash=training.lock_hash,
    )


def _scoring(lake: Lake, day: date, run_id: str) -> HistoryEntry | None:
    window = Partitions(day, day)
    mine = (entry for entry in lake.history("predictions") if entry.provenance.run_id == run_id)
    return next((entry for entry in mine if entry.commit.touches(window)), None)


def _made(entry: HistoryEntry | None) -> Made | None:
    if entry is None:
        return None
    made = entry.provenance
    return Made(
        snapshot=entry.snapshot,
        committed_at=entry.committed_at,
        stage=made.stage,
        run_id=made.run_id,
        code_revision=made.code_revision,
        pipeline_hash=made.pipeline_hash,
        lock_hash=made.lock_hash,
        inputs=dict(made.inputs),
    )


def _features(lake: Lake, spec: PipelineSpec, snapshot: int, day: date, key: Mapping[str, object]) -> pa.Table | None:
    wanted = Wanted(snapshots={"features": snapshot}, days={"features": Partitions(day, day)}, personal=True)
    try:
        rows = rows_with(lake, spec, "features", wanted, key)
    except MissingInputError:
        return None
    return rows if rows.num_rows else None
