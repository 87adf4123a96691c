"""Scoring: one function from rows of features to rows of predictions with their reasons.

The function is pure, from Arrow to Arrow. It can be saved as bytes, so that another process makes the same function.
Reading features and publishing predictions do not belong here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ConfigDict

from contrail.frozen import Frozen
from contrail.methods import card
from contrail.methods.conformal import IntervalRule
from contrail.methods.model_package import ModelPackage
from contrail.methods.reasons import reason_columns
from contrail.methods.trainer import Device

_SCORING, _COLUMNS = "scoring.json", "columns.json"


class Receipt(Frozen):
    """The origin of each row, so that anyone can find its model and its features again."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    feature_snapshot: int | None
    scoring_run: str
    scored_at: datetime

    def columns(self, rows: int) -> dict[str, pa.Array]:
        """Return the receipt as one column per field, each of length ``rows``."""
        values = {
            "model_name": pa.scalar(self.model_name),
            "model_version": pa.scalar(self.model_version),
            "feature_snapshot": pa.scalar(self.feature_snapshot, pa.int64()),
            "scoring_run": pa.scalar(self.scoring_run),
            "scored_at": pa.scalar(self.scored_at, pa.timestamp("us", "UTC")),
        }
        return {name: pa.repeat(value, rows) for name, value in values.items()}


class Scoring(Frozen):
    """The settings of scoring: the columns to keep, the threshold, the number of reasons, the device and the receipt."""

    kept: tuple[str, ...]
    threshold: float
    interval: bool = False
    reasons: int
    receipt: Receipt
    device: Device = "cpu"


@dataclass(frozen=True)
class Scorer:
    """The scoring function. It makes one row of predictions from each row of features, independent of the others."""

    package: ModelPackage
    scoring: Scoring

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Score rows. They have the columns ``kept`` and the model's features.

        Raises:
            MissingInputError, DataError: as ``encode``.
        """
        package, scoring = self.package, self.scoring
        predicted, contributions = self._predicted(package.matrix(rows))
        columns = {name: rows.column(name) for name in scoring.kept}
        columns |= outcome_columns(package.card.task, predicted, scoring.threshold)
        if scoring.interval:
            columns |= interval_columns(package.card.interval, predicted)
        if contributions is not None:
            columns |= reason_columns(rows, package.features, contributions, scoring.reasons)
        return pa.table({**columns, **scoring.receipt.columns(rows.num_rows)})

    def _predicted(
        self, matrix: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32] | None]:
        """Return predictions and contributions. Without reasons there are none, and the processors are fast enough."""
        if not self.scoring.reasons:
            return self.package.predict_matrix(matrix), None
        if self.scoring.device == "cuda":
            return card.explain(self.package, matrix)
        return self.package.predict_matrix(matrix), self.package.contributions_matrix(matrix)

    @property
    def at_once(self) -> int:
        """Return how many calls pay beside each other: with a GPU, others are encoded while one is on the card."""
        return 3 if self.scoring.device == "cuda" else 1

    def files(self) -> dict[str, bytes]:
        """Return all files that another process needs, by name: the model's own, ``scoring.json`` and ``columns.json``."""
        columns = json.dumps(dict(self.package.columns)).encode()
        return {**self.package.files(), _SCORING: self.scoring.model_dump_json().encode(), _COLUMNS: columns}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "Scorer":
        """Make the same function from its files.

        Raises:
            DataError: if the model has changed since its training.
        """
        package = replace(ModelPackage.from_files(files, Path()), columns=json.loads(files[_COLUMNS]))
        return cls(package, Scoring.model_validate_json(files[_SCORING]))


def interval_columns(rule: IntervalRule | None, predicted: npt.NDArray[np.float64]) -> dict[str, pa.Array]:
    """Return the ends of each prediction's interval. They are null for a model that was trained without."""
    if rule is None:
        return dict.fromkeys(("lower", "upper"), pa.nulls(len(predicted), pa.float64()))
    lower, upper = rule.around(predicted)
    return {"lower": pa.array(lower, pa.float64()), "upper": pa.array(upper, pa.float64())}


def outcome_columns(task: str, predicted: npt.NDArray[np.float64], threshold: float) -> dict[str, pa.Array]:
    """Name the predictions as the task does. A probability also gets its decision at ``threshold``."""
    values = pa.array(predicted, pa.float64())
    if task == "regression":
        return {"prediction": values}
    return {"probability": values, "decision": pc.greater_equal(values, threshold)}
