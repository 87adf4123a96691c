"""A model package: the folder of a model, with all that scoring needs. It has no pickle.

``model.ubj`` is XGBoost's own UBJSON. ``model.json`` is the card: features, category tables, label, training window and
baseline. ``reference.json`` is the drift reference. ``findings.json`` has what a training found out about the model, for
people; older packages have none. The registry stores packages, and knows the digest of each card. The card has the
digests of the other files. So loading reads no byte that was not made by the training. The folder is also an MLflow
model, whose loader is ``_load_pyfunc``.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, ValidationError

from contrail.config.model_spec import ScoreSpec
from contrail.config.spec import PipelineSpec
from contrail.errors import DataError
from contrail.faults import is_fault
from contrail.frozen import Frozen
from contrail.methods.baselines import RateTable
from contrail.methods.calibrator import Calibrator
from contrail.methods.conformal import IntervalRule
from contrail.methods.decisions import Deciding, DecisionRule
from contrail.methods.drift_reference import DriftReference
from contrail.methods.encoding import encode, feature_types
from contrail.methods.flagged import UsualShare
from contrail.methods.offset import Offset
from contrail.methods.xgboost_loading import load_xgboost
from contrail.partitions import Partitions

if TYPE_CHECKING:
    import pandas as pd
    import xgboost

MODEL, CARD, REFERENCE, FINDINGS = "model.ubj", "model.json", "reference.json", "findings.json"
_TEXTS, _WORD = re.compile(r"('(?:[^']|'')*')"), re.compile(r"\w+")


class TrainingRecord(Frozen):
    """The record of a training. With the code and the lock file it suffices to make the same bytes again.

    ``start`` and ``end`` bound the window. Its labels were known at the cut-off of ``labels_as_of``. ``params`` has all of
    XGBoost's parameters, including threads and seed. ``options`` has the effective training settings. More than one of
    ``workers`` means executors of Spark, which chose their threads. ``threads`` are those that XGBoost took, which a control
    group or OpenMP may have limited. ``code_hash`` is of Contrail's own files. Older records lack the last three.
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
    code_hash: str = ""
    processor: str = ""
    threads: int = 0

    @property
    def partitions(self) -> Partitions:
        """The training window."""
        return Partitions(self.start, self.end)


class ModelCard(Frozen):
    """Everything about a model except its trees.

    ``flagged`` is the usual share of flagged predictions. A regression has none, nor has a short training window.
    ``decision`` is the threshold that the training chose by the spec's costs; None where the spec had none.
    ``offset`` says where scores start before the trees. ``calibration`` is applied after them, and ``interval`` says how wide
    intervals are. Each is there where the spec asked for it.
    """

    format: Literal[1] = 1
    pipeline: str
    task: Literal["binary", "regression"]
    label: str
    label_mean: float
    features: tuple[str, ...]
    categories: dict[str, list[str]]
    rate_table: RateTable
    flagged: UsualShare | None = None
    decision: DecisionRule | None = Field(default=None, exclude_if=lambda rule: rule is None)
    offset: Offset | None = Field(default=None, exclude_if=lambda offset: offset is None)
    calibration: Calibrator | None = Field(default=None, exclude_if=lambda step: step is None)
    interval: IntervalRule | None = Field(default=None, exclude_if=lambda rule: rule is None)
    training: TrainingRecord
    sha256: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class ModelPackage:
    """A model with its card and drift reference, in memory.

    The reference stays unread until drift is measured. Only then must its format be readable. ``columns`` has today's name
    of each feature that had another one when the model was trained.
    """

    card: ModelCard
    booster_bytes: bytes
    reference_bytes: bytes
    findings_bytes: bytes | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path, digest: str | None = None) -> "ModelPackage":
        """Read a package from its folder and check it.

        Args:
            folder: Has the files.
            digest: The card's digest as the registry has it. None: the folder was made in this process.

        Raises:
            DataError: naming the file that is missing, changed or unreadable.
        """
        try:
            names = [MODEL, CARD, REFERENCE, *([FINDINGS] if (folder / FINDINGS).exists() else [])]
            files = {name: (folder / name).read_bytes() for name in names}
        except OSError as error:
            if is_fault(error):
                raise
            raise DataError(f"model package {folder} has no {Path(str(error.filename)).name} to read") from error
        return cls.from_files(files, folder, digest)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], folder: Path, digest: str | None = None) -> "ModelPackage":
        """Make a package from its files, which came from ``folder``, and check it as ``load`` does."""
        if digest is not None:
            _check_digest(files[CARD], digest, folder / CARD, "the registry")
        try:
            card = ModelCard.model_validate_json(files[CARD])
        except ValidationError as error:
            raise DataError(f"{folder / CARD} is not a model card of this version: {error}") from error
        # XGBoost ends the process on some damaged trees. So it gets only those that the card vouches for.
        for name in files.keys() & {MODEL, REFERENCE, FINDINGS}:
            _check_digest(files[name], card.sha256.get(name), folder / name, CARD)
        return cls(card, files[MODEL], files[REFERENCE], files.get(FINDINGS))

    def files(self) -> dict[str, bytes]:
        """Return the files by name. The card has the hashes of the others. Equal packages give equal bytes."""
        files = {MODEL: self.booster_bytes, REFERENCE: self.reference_bytes}
        files |= {FINDINGS: self.findings_bytes} if self.findings_bytes is not None else {}
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        card = self.card.model_copy(update={"sha256": hashes}).model_dump(mode="json")
        return {**files, CARD: (json.dumps(card, indent=1, allow_nan=False) + "\n").encode()}

    def save(self, folder: Path) -> "ModelPackage":
        """Write the files, and return the package with its hashes."""
        folder.mkdir(parents=True, exist_ok=True)
        files = self.files()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return replace(self, card=ModelCard.model_validate_json(files[CARD]))

    def of_today(self, spec: PipelineSpec) -> "ModelPackage":
        """Return the package with the names that a pipeline gives to its features now."""
        known = spec.features.earlier_names
        return replace(self, columns={name: known[name] for name in self.card.features if name in known})

    @property
    def features(self) -> tuple[str, ...]:
        """The columns that the model reads, in its order."""
        return tuple(self.columns.get(name, name) for name in self.card.features)

    @property
    def rate_table(self) -> RateTable:
        """The table of group means."""
        table = self.card.rate_table
        return table.model_copy(update={"features": tuple(self.columns.get(name, name) for name in table.features)})

    def threshold(self, score: ScoreSpec) -> float:
        """Return the probability from which on the model flags a row.

        What its training chose stays with it. A model that was trained without costs has the threshold of the spec, or the
        ratio of its costs.
        """
        if self.card.decision is not None:
            return self.card.decision.threshold
        return score.threshold if score.costs is None else score.costs.ratio

    def threshold_reason(self, score: ScoreSpec) -> str | None:
        """Say why the threshold is what it is; None where the spec states it."""
        if self.card.decision is not None:
            return self.card.decision.sentence
        if score.costs is None:
            return None
        return f"threshold {score.costs.ratio:.4g} because {score.costs.sentence}; the model was trained without costs"

    def deciding(self, score: ScoreSpec) -> Deciding | None:
        """Return how the model flags rows and what that costs today; None without costs in the spec."""
        return None if score.costs is None else Deciding(score.costs, self.threshold(score))

    @cached_property
    def digest(self) -> str:
        """What identifies all that predictions and their drift depend on, with today's names: 64 hex digits."""
        files = [hashlib.sha256(content).hexdigest() for content in (self.booster_bytes, self.reference_bytes)]
        known = [*files, self.features, dict(self.card.categories)]
        known += [self.card.calibration.as_dict()] if self.card.calibration else []
        known += [self.card.offset.as_dict()] if self.card.offset else []
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()

    @cached_property
    def reference(self) -> DriftReference:
        """The drift reference. Errors are those of ``DriftReference.from_json``."""
        found = DriftReference.from_json(self.reference_bytes)
        named = {self.columns.get(name, name): usual for name, usual in found.features.items()}
        return found.model_copy(update={"features": named})

    @cached_property
    def booster(self) -> "xgboost.Booster":
        """The trees, for prediction on the CPU. They are read when first used, since that takes XGBoost a second.

        Raises:
            DataError: if their features are not those of the card.
        """
        return self.booster_on("cpu")

    def booster_on(self, device: str) -> "xgboost.Booster":
        """Make the trees again, for prediction on another device. Errors are those of ``booster``."""
        load_xgboost()
        import xgboost

        booster = xgboost.Booster()
        booster.load_model(bytearray(self.booster_bytes))
        booster.set_param({"device": device})
        names, kinds = booster.feature_names, booster.feature_types
        expected = feature_types(self.card.features, self.card.categories)
        if tuple(names or ()) != self.card.features or list(kinds or ()) != expected:
            raise DataError(
                f"{self.card.pipeline}: {MODEL} has features {names}, {CARD} has {list(self.card.features)}"
            )
        return booster

    def differences(self, spec: PipelineSpec) -> list[str]:
        """List how the package disagrees with a pipeline's current spec. It may score when the list is empty."""
        card, now = self.card, self.of_today(spec).features
        trained = {
            name: "category" if old in card.categories else "number"
            for old, name in zip(card.features, now, strict=True)
        }
        wanted: dict[str, str] = {name: column.kind for name, column in spec.features.columns.items()}
        label = _renamed(card.label, spec.tables[spec.label.table].earlier_names)
        found: dict[str, list[str]] = {
            "it is a model of another pipeline": [] if card.pipeline == spec.name else [card.pipeline],
            "its task differs": [] if card.task == spec.task else [card.task],
            "its label differs": [] if label == spec.label.expression else [card.label],
            "it needs features that the pipeline no longer has": sorted(trained.keys() - wanted.keys()),
            "features changed their kind": [
                f"{name} (a {kind} at its training, a {wanted[name]} now)"
                for name, kind in sorted(trained.items())
                if wanted.get(name, kind) != kind
            ],
        }
        return [f"{what}: {', '.join(which)}" for what, which in found.items() if which]

    def matrix(self, features: pa.Table) -> npt.NDArray[np.float32]:
        """Encode rows for the model: float32, shape (rows, features), with NaN for missing values."""
        categories = {self.columns.get(name, name): values for name, values in self.card.categories.items()}
        return encode(features, self.features, categories)

    def predict(self, features: pa.Table) -> npt.NDArray[np.float64]:
        """Predict the probability of the label (binary) or its value (regression), shape (rows,)."""
        return self.predict_matrix(self.matrix(features))

    def predict_matrix(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Predict rows that ``matrix`` has encoded."""
        if not len(matrix):
            return np.empty(0)
        found = self.booster.inplace_predict(matrix, base_margin=self.starts(matrix))
        return self.calibrated(np.asarray(found, np.float64))

    def starts(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
        """Return where the scores of encoded rows start, shape (rows,). None: the trees have one start for all."""
        offset = self.card.offset
        return None if offset is None else offset.starts(matrix[:, self.card.features.index(offset.feature)])

    def calibrated(self, predictions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Apply the calibration step to what the trees predict, where there is one."""
        return predictions if self.card.calibration is None else self.card.calibration.apply(predictions)

    def contributions(self, features: pa.Table) -> npt.NDArray[np.float32]:
        """Compute exact SHAP values, shape (rows, features + 1). The last is the mean. They sum to the raw score.

        That is what the trees say, before any calibration step.
        """
        return self.contributions_matrix(self.matrix(features))

    def contributions_matrix(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Compute SHAP values of rows that ``matrix`` has encoded."""
        import xgboost

        if not len(matrix):
            return np.empty((0, len(self.card.features) + 1), np.float32)
        kinds = feature_types(self.card.features, self.card.categories)
        starts = self.starts(matrix)
        names = list(self.card.features)
        data = xgboost.DMatrix(matrix, base_margin=starts, feature_names=names, feature_types=kinds)
        return self.attributed(self.booster.predict(data, pred_contribs=True), starts)

    def attributed(
        self, contributions: npt.NDArray[np.float32], starts: npt.NDArray[np.float32] | None
    ) -> npt.NDArray[np.float32]:
        """Give the offset's feature what it moves the start by. XGBoost counts the whole start as the mean."""
        offset = self.card.offset
        if offset is not None and starts is not None:
            moved = starts - np.float32(offset.centre)
            contributions[:, self.card.features.index(offset.feature)] += moved
            contributions[:, -1] -= moved
        return contributions


def _check_digest(content: bytes, expected: str | None, path: Path, by: str) -> None:
    if hashlib.sha256(content).hexdigest() != expected:
        raise DataError(f"{path} is not the file that was trained: its SHA-256 differs from that in {by}")


def _renamed(expression: str, names: Mapping[str, str]) -> str:
    """Give an expression the names that its columns have now. Texts in it stay."""
    parts = _TEXTS.split(expression)
    return "".join(
        part if n % 2 else _WORD.sub(lambda word: names.get(word[0], word[0]), part) for n, part in enumerate(parts)
    )


class _Pyfunc:
    """The model that ``mlflow.pyfunc.load_model`` returns."""

    def __init__(self, package: ModelPackage) -> None:
        self._package = package

    def predict(self, rows: "pd.DataFrame", params: dict[str, Any] | None = None) -> npt.NDArray[np.float64]:
        """Predict the rows of a data frame. It has the model's feature columns, not encoded."""
        return self._package.predict(pa.Table.from_pandas(rows, preserve_index=False))


def _load_pyfunc(path: str) -> _Pyfunc:
    """Load the package for MLflow, which prescribes this name."""
    return _Pyfunc(ModelPackage.load(Path(path)))
