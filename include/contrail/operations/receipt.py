"""The receipt of one prediction: the model, features, code and run that made it, and the same score computed again.

Who may see it is decided where it is shown.
"""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

import pyarrow as pa
from pydantic import Field

from contrail.adapters.registry import RegisteredModel
from contrail.config.personal import hidden
from contrail.config.pipeline import Pipeline
from contrail.config.spec import PipelineSpec
from contrail.errors import MissingInputError, SpecError
from contrail.frozen import Frozen
from contrail.lake import history, readers
from contrail.lake.datasets import PARTITION
from contrail.lake.history import HistoryEntry
from contrail.lake.lake import Lake
from contrail.methods.model_package import ModelPackage
from contrail.methods.scoring import Receipt as Origin
from contrail.methods.scoring import Scorer, Scoring
from contrail.operations.published_reasons import Reason, reasons_in, same_reasons, shown_reasons
from contrail.operations.rows_of_key import (
    checked_key,
    holder_of,
    newest_day,
    no_predictions,
    rows_with,
    said,
)
from contrail.partitions import Partitions
from contrail.reports.fragments import table_html
from contrail.stages.champion import model_of

_NAMED = 3  # predictions that an ambiguous key names in its error


class Made(Frozen):
    """The commit that made rows: ``committed_at`` is UTC in ISO 8601, ``inputs`` the snapshot of each table it read.

    ``person`` started the run. It is empty where that was not kept.
    """

    snapshot: int
    committed_at: str
    stage: str
    run_id: str
    code_revision: str
    pipeline_hash: str
    lock_hash: str
    person: str
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

    ``key`` hides personal values that nobody asked for. ``whole_key`` has them, finds rows, and is never written.

    ``features`` and ``scoring`` are None where their snapshots have expired. ``recomputed`` is the score that the model
    gives to the same features now, and ``same_reasons`` whether it gives the same reasons. Both are None where the
    features' snapshot has expired. ``device`` is what scored: a card's sums differ from a processor's by rounding.
    """

    pipeline: str
    partition: date
    key: Mapping[str, Any]
    whole_key: Mapping[str, Any] = Field(exclude=True, repr=False)
    prediction: float
    decision: bool | None
    reasons: tuple[Reason, ...]
    model: ModelReceipt
    features_snapshot: int
    features: Made | None
    scoring: Made | None
    scoring_run: str
    scored_at: str
    device: str
    recomputed: float | None
    same_reasons: bool | None

    @property
    def same_score(self) -> bool | None:
        """Whether the score computed again has the bits of the published one; None when it cannot be computed again."""
        return None if self.recomputed is None else self.recomputed.hex() == self.prediction.hex()

    @property
    def same(self) -> bool | None:
        """Whether score and reasons computed again are those that were published; None when they cannot be."""
        return None if self.recomputed is None else bool(self.same_score and self.same_reasons)

    @property
    def verdict(self) -> str:
        """What came of computing it again, in a sentence or two."""
        if self.recomputed is None:
            return "Its features have expired, so the score cannot be computed again."
        if self.same:
            return "Computed again from its receipt just now: the same score and the same reasons, to the last bit."
        what = (
            "the reasons are others"
            if self.same_score
            else f"the score is {self.recomputed!r}, not {self.prediction!r}"
        )
        if self.device != "cpu":
            why = f"A card ({self.device}) scored this row, and its sums differ from a processor's by rounding."
        else:
            why = (
                "Somebody changed the table or the model by hand, or another XGBoost computes. "
                f"Run: contrail verify -p {self.pipeline}"
            )
        return f"Computed again from its receipt, {what}. {why}"

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


def receipt_of(
    pipeline: Pipeline,
    lake: Lake,
    day: date | None,
    key: Mapping[str, object],
    personal: bool = False,
    as_of: datetime | None = None,
) -> Receipt:
    """Find one prediction and what made it. Arguments and errors are those of ``traced``."""
    return traced(pipeline, lake, day, key, personal, as_of).receipt


def traced(
    pipeline: Pipeline,
    lake: Lake,
    day: date | None,
    key: Mapping[str, object],
    personal: bool = False,
    as_of: datetime | None = None,
) -> Traced:
    """Find one prediction and what made it, and keep its model and features for who asks more of them.

    Args:
        pipeline: The pipeline.
        lake: Its tables.
        day: Partition of the prediction. None: the newest on which the key has one.
        key: Values of columns of the key, as many as name one prediction of the day.
        personal: Show personal values: of reasons, and of columns of the key that ``key`` does not give.
        as_of: The prediction that readers saw at this moment. Default: that of now.

    Raises:
        SpecError: for a column that the key lacks, a value of another type, or values that name several predictions.
        MissingInputError: when there is no such prediction, or its model is gone.
    """
    spec, found = pipeline.spec, checked_key(lake, pipeline.spec, key)
    snapshot = _seen(lake, spec, as_of)
    day = day or newest_day(lake, spec, found, snapshot)
    row = _row(lake, spec, day, found, snapshot)
    return trace(pipeline, lake, row, personal, found)


def trace(
    pipeline: Pipeline, lake: Lake, row: Mapping[str, Any], personal: bool, asked: Collection[str] = ()
) -> Traced:
    """Find what made a row of predictions, which ``rows_with`` has read, and compute it again.

    Args:
        pipeline: The pipeline.
        lake: Its tables.
        row: The row.
        personal: Show personal values.
        asked: Columns of the key whose values the reader gave, who thus knows them.

    Raises:
        MissingInputError: when its model is gone.
    """
    spec, day, snapshot = pipeline.spec, row[PARTITION], int(row["feature_snapshot"])
    model = model_of(lake.settings, lake, row["model_version"])
    package = model.package.of_today(spec)
    found = {name: row[name] for name in spec.key}
    table = holder_of(lake, "features", snapshot)
    features = features_of(lake, spec, table, snapshot, day, found, package) if table else None
    scoring = _scoring(lake, day, row["scoring_run"])
    recomputed, same = (None, None) if features is None else computed_again(spec, package, features, row)
    receipt = Receipt(
        pipeline=spec.name,
        partition=day,
        key=hidden(found, () if personal else spec.personal - set(asked)),
        whole_key=found,
        prediction=row[score_column(package)],
        decision=row.get("decision"),
        reasons=shown_reasons(spec, reasons_in(row), personal),
        model=_model(model),
        features_snapshot=snapshot,
        features=_made(history.maker(lake, table, snapshot, day)) if table else None,
        scoring=_made(scoring),
        scoring_run=row["scoring_run"],
        scored_at=row["scored_at"].isoformat(),
        device=scoring.provenance.extra.get("device", "cpu") if scoring else "cpu",
        recomputed=recomputed,
        same_reasons=same,
    )
    return Traced(receipt, package, features)


def _seen(lake: Lake, spec: PipelineSpec, as_of: datetime | None) -> int | None:
    """The snapshot of predictions that readers saw at a moment."""
    if as_of is None:
        return None
    snapshot = readers.snapshot_at(lake, "predictions", as_of)
    if snapshot is None:
        first = lake.history("predictions")[-1].committed_at if lake.exists("predictions") else None
        when = f"the first were published at {first}" if first else no_predictions(lake, spec)
        raise MissingInputError(f"{spec.name} had no predictions at {as_of:%Y-%m-%d %H:%M:%S} UTC; {when}.")
    return snapshot


def _row(lake: Lake, spec: PipelineSpec, day: date, key: Mapping[str, str], snapshot: int | None) -> dict[str, Any]:
    days = Partitions(day, day)
    if not lake.exists("predictions") or not lake.made_of("predictions", days, snapshot):
        had = "has" if snapshot is None else "then had"
        raise MissingInputError(
            f"{spec.name} {had} no predictions of {day}; {no_predictions(lake, spec)}. "
            f"Run: contrail score --pipeline {spec.name} --from {day}"
        )
    rows = rows_with(lake, spec, "predictions", key, days, snapshot)
    if not rows.num_rows:
        raise MissingInputError(f"{spec.name} has no prediction of {day} with {said(spec, key)}")
    if rows.num_rows > 1:
        several = "; ".join(
            said(spec, {name: row[name] for name in spec.key}) for row in rows.slice(0, _NAMED).to_pylist()
        )
        also = [name for name in spec.key if name not in key]
        raise SpecError(
            f"{rows.num_rows:,} predictions of {day} have {said(spec, key)}: {several}… Name also {', '.join(also)}."
        )
    found: dict[str, Any] = rows.to_pylist()[0]
    return found


def computed_again(
    spec: PipelineSpec, package: ModelPackage, features: pa.Table, row: Mapping[str, Any]
) -> tuple[float, bool]:
    """Compute a prediction again, as the stage ``score`` would. Return the score, and whether the reasons are the row's.

    Args:
        spec: The pipeline.
        package: The row's model.
        features: The row's features, one row.
        row: The published row.
    """
    published = reasons_in(row)
    origin = Origin(model_name="", model_version="", feature_snapshot=None, scoring_run="", scored_at=datetime.min)
    reasons = max(1, len(published))
    scoring = Scoring(kept=(), threshold=package.threshold(spec.score), reasons=reasons, receipt=origin)
    (again,) = Scorer(package, scoring)(features).to_pylist()
    return again[score_column(package)], same_reasons(spec, published, reasons_in(again))


def score_column(package: ModelPackage) -> str:
    """The column of predictions that has a model's scores."""
    return "probability" if package.card.task == "binary" else "prediction"


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
        person=made.person,
        inputs=dict(made.inputs),
    )


def features_of(
    lake: Lake,
    spec: PipelineSpec,
    table: str,
    snapshot: int,
    day: date,
    key: Mapping[str, object],
    package: ModelPackage,
) -> pa.Table | None:
    """The rows of features of a day that have these values in the key, as a model reads them; None where there are none."""
    found = {name: str(value) for name, value in key.items()}
    rows = rows_with(lake, spec, table, found, Partitions(day, day), snapshot, package.features)
    return rows if rows.num_rows else None
