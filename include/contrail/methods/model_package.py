"""The folder that a model is kept in, and all that is needed to score with it; never a pickle.

``model.ubj`` is XGBoost's own UBJSON; ``model.json`` is the card: features, category tables, label, training window
and baseline; ``reference.json`` is what drift is measured against. Loading checks hashes and schema. The folder is
also an MLflow model, whose loader is ``_load_pyfunc``. Where packages are kept is the registry's matter.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, ValidationError

from contrail.config.spec import PipelineSpec
from contrail.errors import DataError
from contrail.frozen import Frozen
from contrail.methods.baselines import RateTable
from contrail.methods.drift_reference import DriftReference
from contrail.methods.encoding import encode, feature_types
from contrail.partitions import Partitions

if TYPE_CHECKING:
    import pandas as pd
    import xgboost

MODEL, CARD, REFERENCE = "model.ubj", "model.json", "reference.json"


class TrainingRecord(Frozen):
    """What a model was made from; enough, with the code and the lock file, to make it again to the same bytes.

    ``partitions`` is the window as ``start`` and ``end``; labels are those known at the cut-off of ``labels_as_of``.
    ``params`` are all of XGBoost's, the threads and the seed included; ``options`` the training settings in force. More
    ``workers`` than one were executors of Spark, whose threads were Spark's to give.
    """

    start: date
    end: date
    labels_as_of: date
    embargo_days: int
    rows: int
    feature_snapshot: int | None
    snapshots: dict[str, int | None]
    training_set_md5: str
    rounds: int
    device: Literal["cpu", "cuda"]
    workers: int = 1
    params: dict[str, int | float | str | bool]
    options: dict[str, int | float | str | bool]
    code_revision: str
    lock_hash: str
    pipeline_hash: str
    xgboost_version: str

    @property
    def partitions(self) -> Partitions:
        """The training window."""
        return Partitions(self.start, self.end)


class ModelCard(Frozen):
    """Everything about a model but its trees."""

    format: Literal[1] = 1
    pipeline: str
    task: Literal["binary", "regression"]
    label: str
    label_mean: float
    features: tuple[str, ...]
    categories: dict[str, list[str]]
    rate_table: RateTable
    training: TrainingRecord
    sha256: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class ModelPackage:
    """A model with its card and drift reference, in memory.

    The reference stays as its file is until drift is measured: only then must it be of a format that can be read.
    """

    card: ModelCard
    booster_bytes: bytes
    reference_bytes: bytes

    @classmethod
    def load(cls, folder: Path) -> "ModelPackage":
        """Read a package from its folder and check it.

        Raises:
            DataError: naming the file that is missing, changed or not understood.
        """
        try:
            files = {name: (folder / name).read_bytes() for name in (MODEL, CARD, REFERENCE)}
        except FileNotFoundError as error:
            raise DataError(f"model package {folder} has no {Path(str(error.filename)).name}") from error
        return cls.from_files(files, folder)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], folder: Path) -> "ModelPackage":
        """Make a package of its three files, which came from ``folder``, and check it; errors as of ``load``."""
        try:
            card = ModelCard.model_validate_json(files[CARD])
        except ValidationError as error:
            raise DataError(f"{folder / CARD} is not a model card of this version: {error}") from error
        for name, expected in card.sha256.items():
            if hashlib.sha256(files[name]).hexdigest() != expected:
                raise DataError(
                    f"{folder / name} is not the file that was trained: its SHA-256 differs from {CARD}. Nothing was "
                    f"scored. Delete {folder} to fetch it from the registry again."
                )
        package = cls(card, files[MODEL], files[REFERENCE])
        package._check_schema(folder)
        return package

    def files(self) -> dict[str, bytes]:
        """The three files by their names, the card with the hashes of the others; the same package, the same bytes."""
        files = {MODEL: self.booster_bytes, REFERENCE: self.reference_bytes}
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        card = self.card.model_copy(update={"sha256": hashes}).model_dump(mode="json")
        return {**files, CARD: (json.dumps(card, indent=1, allow_nan=False) + "\n").encode()}

    def save(self, folder: Path) -> "ModelPackage":
        """Write the three files. Returns the package with its hashes."""
        folder.mkdir(parents=True, exist_ok=True)
        files = self.files()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return replace(self, card=ModelCard.model_validate_json(files[CARD]))

    def _check_schema(self, folder: Path) -> None:
        names, kinds = self.booster.feature_names, self.booster.feature_types
        expected = feature_types(self.card.features, self.card.categories)
        if tuple(names or ()) != self.card.features or list(kinds or ()) != expected:
            raise DataError(f"{folder}: {MODEL} has features {names}, {CARD} has {list(self.card.features)}")

    @cached_property
    def reference(self) -> DriftReference:
        """What drift is measured against; errors as of ``DriftReference.from_json``."""
        return DriftReference.from_json(self.reference_bytes)

    @cached_property
    def booster(self) -> "xgboost.Booster":
        """The trees, for prediction on the CPU."""
        import xgboost

        booster = xgboost.Booster()
        booster.load_model(bytearray(self.booster_bytes))
        booster.set_param({"device": "cpu"})
        return booster

    def differences(self, spec: PipelineSpec) -> list[str]:
        """How the package disagrees with a pipeline's spec as it is now; empty when it may score for it."""
        card = self.card
        kinds = {name: "category" if name in card.categories else "number" for name in card.features}
        wanted: dict[str, str] = {name: column.kind for name, column in spec.features.columns.items()}
        changed = sorted(name for name in kinds.keys() & wanted.keys() if kinds[name] != wanted[name])
        found: dict[str, list[str]] = {
            "it is a model of another pipeline": [] if card.pipeline == spec.name else [card.pipeline],
            "its task differs": [] if card.task == spec.task else [card.task],
            "its label differs": [] if card.label == spec.label.expression else [card.label],
            "it needs features that the pipeline no longer has": sorted(kinds.keys() - wanted.keys()),
            "features changed their kind": changed,
        }
        return [f"{what}: {', '.join(which)}" for what, which in found.items() if which]

    def matrix(self, features: pa.Table) -> npt.NDArray[np.float32]:
        """The rows as the model reads them: float32, shape (rows, features), missing as NaN."""
        return encode(features, self.card.features, self.card.categories)

    def predict(self, features: pa.Table) -> npt.NDArray[np.float64]:
        """Probability of a late label (binary) or the value (regression), shape (rows,)."""
        return self.predict_matrix(self.matrix(features))

    def predict_matrix(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """The same for rows from ``matrix``."""
        if not len(matrix):
            return np.empty(0)
        return np.asarray(self.booster.inplace_predict(matrix), np.float64)

    def contributions(self, features: pa.Table) -> npt.NDArray[np.float32]:
        """Exact SHAP values, shape (rows, features + 1); the last is the mean. They sum to the raw score."""
        return self.contributions_matrix(self.matrix(features))

    def contributions_matrix(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The same for rows from ``matrix``."""
        import xgboost

        if not len(matrix):
            return np.empty((0, len(self.card.features) + 1), np.float32)
        kinds = feature_types(self.card.features, self.card.categories)
        data = xgboost.DMatrix(matrix, feature_names=list(self.card.features), feature_types=kinds)
        found: npt.NDArray[np.float32] = self.booster.predict(data, pred_contribs=True)
        return found


class _Pyfunc:
    """What ``mlflow.pyfunc.load_model`` calls: features in, predictions out."""

    def __init__(self, package: ModelPackage) -> None:
        self._package = package

    def predict(self, rows: "pd.DataFrame", params: dict[str, Any] | None = None) -> npt.NDArray[np.float64]:
        """Predictions of a data frame with the model's feature columns, not encoded."""
        return self._package.predict(pa.Table.from_pandas(rows, preserve_index=False))


def _load_pyfunc(path: str) -> _Pyfunc:
    """MLflow's entry; the name is MLflow's."""
    return _Pyfunc(ModelPackage.load(Path(path)))
