"""One prediction for a person who asks: what each feature did to the score, what if a feature were another, and the past.

The receipt says what made it (``receipt``). Nothing here is published.
"""

import math
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from contrail.config.names import listed, quoted
from contrail.config.pipeline import Pipeline
from contrail.config.problems import hint
from contrail.config.spec import PipelineSpec
from contrail.errors import SpecError
from contrail.frozen import Frozen
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.lake.sessions import session
from contrail.lake.views import Wanted, create_views
from contrail.methods.model_package import ModelPackage
from contrail.operations.receipt import Receipt, traced
from contrail.operations.rows_of_key import entity_columns, rows_with
from contrail.partitions import Partitions

_FOUND = 50  # predictions that a search names
_AROUND = timedelta(days=45)


class Found(Frozen):
    """A prediction that a search has found."""

    key: Mapping[str, Any]
    score: float
    decision: bool | None


class Effect(Frozen):
    """What a feature did to a score, in log-odds or label units. ``hidden``: its value is personal, so it is None here."""

    feature: str
    meaning: str
    kind: Literal["number", "category"]
    value: Any
    hidden: bool
    contribution: float


class Explained(Frozen):
    """A score and its parts. ``base`` and all contributions sum to ``raw``: log-odds of the score, or the score itself.

    Where the model has a calibration step (``calibrated``), they are the log-odds before it.
    """

    score: float
    raw: float
    base: float
    calibrated: bool
    effects: tuple[Effect, ...]


class Past(Frozen):
    """The prediction of the same entity on another day."""

    day: date
    score: float
    decision: bool | None
    version: str


class OnePrediction(Frozen):
    """A prediction with its receipt.

    ``published`` explains it; None where its features have expired. ``changed`` is the score with other values. ``choices``
    has the values that the model knows of each category. ``past`` has the same entity on the days around: what the key
    names beside dates and times. ``entity`` leaves out what ``receipt.key`` hides.
    """

    receipt: Receipt
    task: Literal["binary", "regression"]
    threshold: float | None
    threshold_reason: str | None = Field(default=None, exclude_if=lambda reason: reason is None)
    published: Explained | None
    changed: Explained | None
    choices: Mapping[str, tuple[str, ...]]
    entity: Mapping[str, Any]
    past: tuple[Past, ...]


def find(lake: Lake, pipeline: Pipeline, day: date, text: str) -> tuple[Found, ...]:
    """Find predictions of a day whose key has each word of a text. Those with the highest scores come first.

    Raises:
        SpecError: where the key is personal: it is looked up whole, and not searched.
    """
    spec = pipeline.spec
    if personal := [name for name in spec.key if name in spec.personal]:
        raise SpecError(f"{', '.join(personal)} of the key is personal, so it is not searched. Give the whole key.")
    decided = ", decision" if spec.task == "binary" else ", NULL AS decision"
    said = f"concat_ws(' ', {', '.join(f'CAST({quoted(name)} AS VARCHAR)' for name in spec.key)})"
    tokens = text.split()
    wanted = " AND ".join(f"contains(lower({said}), lower(${n}))" for n, _ in enumerate(tokens, start=1)) or "true"
    with session(lake.settings) as connection:
        create_views(connection, lake, spec, {"predictions"}, Wanted(days={"predictions": Partitions(day, day)}))
        rows = connection.sql(
            f"SELECT {listed(spec.key)}, {quoted(spec.prediction_column)} AS score{decided} FROM predictions "
            f"WHERE {wanted} ORDER BY score DESC, {listed(spec.key)} LIMIT {_FOUND}",
            params=tokens,
        ).to_arrow_table()
    return tuple(
        Found(key={name: row[name] for name in spec.key}, score=row["score"], decision=row["decision"])
        for row in rows.to_pylist()
    )


def one_prediction(
    lake: Lake,
    pipeline: Pipeline,
    day: date | None,
    key: Mapping[str, object],
    changes: Mapping[str, Any] | None = None,
    as_of: datetime | None = None,
) -> OnePrediction:
    """Explain a prediction, and compute the score that other values of features would give.

    Args:
        lake: The pipeline's tables.
        pipeline: The pipeline.
        day: Partition of the prediction. None: the newest on which the key has one.
        key: Values of columns of the key, as many as name one prediction of the day.
        changes: Other values by feature; null means unknown.
        as_of: The prediction that readers saw at this moment. Default: that of now.

    Raises:
        SpecError: as ``traced``, and for a change of no feature, of a personal one, or to a value that it cannot have.
        MissingInputError: as ``traced``.
    """
    spec = pipeline.spec
    receipt, package, rows = traced(pipeline, lake, day, key, as_of=as_of)
    other = None if rows is None or not changes else changed_rows(rows, spec, package, changes)
    entity = {name: receipt.whole_key[name] for name in entity_columns(spec)}
    return OnePrediction(
        receipt=receipt,
        task=spec.task,
        threshold=package.threshold(spec.score) if spec.task == "binary" else None,
        threshold_reason=package.threshold_reason(spec.score),
        published=None if rows is None else explained(rows, spec, package),
        changed=None if other is None else explained(other, spec, package),
        choices={name: tuple(values) for name, values in _categories(package).items() if name not in spec.personal},
        # A part of it would name another's predictions.
        entity=entity if all(receipt.key[name] == value for name, value in entity.items()) else {},
        past=_past(lake, spec, receipt.partition, entity) if entity else (),
    )


def _categories(package: ModelPackage) -> dict[str, list[str]]:
    return {package.columns.get(name, name): list(values) for name, values in package.card.categories.items()}


def changed_rows(rows: pa.Table, spec: PipelineSpec, package: ModelPackage, changes: Mapping[str, Any]) -> pa.Table:
    """Give a row of features other values.

    Raises:
        SpecError: for a change of no feature, of a personal one, or to a value that it cannot have.
    """
    known = _categories(package)
    for name, value in changes.items():
        if name not in package.features:
            raise SpecError(f"'{name}' is no feature of the model; {hint(name, package.features, 'features')}")
        if name in spec.personal:
            raise SpecError(f"{name} is personal, so it is neither shown nor changed here")
        if name in known and value is not None and value not in known[name]:
            raise SpecError(f"the model does not know {name}={value!r}; {hint(str(value), known[name], 'values')}")
        if isinstance(value, float) and not math.isfinite(value):
            raise SpecError(f"{name} cannot be {value}; null means unknown")
        at = rows.schema.get_field_index(name)
        try:
            changed = pa.array([value], rows.schema.field(at).type)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise SpecError(f"{name} cannot be {value!r}; it is {rows.schema.field(at).type}") from error
        rows = rows.set_column(at, name, changed)
    return rows


def explained(rows: pa.Table, spec: PipelineSpec, package: ModelPackage, personal: bool = False) -> Explained:
    """Explain the score that a model gives to a row of features, with the values of persons where ``personal``."""
    *parts, base = map(float, package.contributions(rows)[0])
    (values,) = rows.select(package.features).to_pylist()
    categories = _categories(package)
    hidden = frozenset() if personal else spec.personal
    effects = [
        Effect(
            feature=name,
            meaning=spec.features.columns[name].doc if name in spec.features.columns else "The spec has it no more.",
            kind="category" if name in categories else "number",
            value=None if name in hidden else values[name],
            hidden=name in hidden,
            contribution=part,
        )
        for name, part in zip(package.features, parts, strict=True)
    ]
    effects.sort(key=lambda effect: (-abs(effect.contribution), effect.feature))
    score = float(package.predict(rows)[0])
    calibrated = package.card.calibration is not None
    return Explained(score=score, raw=base + sum(parts), base=base, calibrated=calibrated, effects=tuple(effects))


def _past(lake: Lake, spec: PipelineSpec, day: date, entity: Mapping[str, Any]) -> tuple[Past, ...]:
    around = Partitions(max(spec.first_partition, day - _AROUND), day + _AROUND)
    key = {name: str(value) for name, value in entity.items()}
    rows = rows_with(lake, spec, "predictions", key, around)
    return tuple(
        Past(
            day=row[PARTITION],
            score=row[spec.prediction_column],
            decision=row.get("decision"),
            version=row["model_version"],
        )
        for row in rows.to_pylist()
    )
