"""What the steps of a training hand to each other. No step's work belongs here."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contrail.config.spec import PipelineSpec
from contrail.methods.evaluation import TrainingMetrics, Validation
from contrail.methods.fit import Fitted, Method
from contrail.methods.matrices import Rows, TrainingRows
from contrail.methods.splits import Split
from contrail.stages.base import StageRun
from contrail.stages.options import TrainOptions


@dataclass(frozen=True)
class WindowRows:
    """The labelled rows of the training window. Partition and key sort them.

    ``data`` has the features as XGBoost reads them. Of each row, memory has its partition, its label, and its values of
    the features by which rows are grouped: ``days`` and ``labels`` of shape (rows,), and ``groups``. ``file`` is the
    training set, with all columns.
    """

    data: TrainingRows
    days: npt.NDArray[np.datetime64]
    labels: npt.NDArray[np.float64]
    groups: pa.Table
    file: Path

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class TrainingWindow:
    """The rows of the training window, and the snapshots of every table that they were read from.

    ``immature`` names the partitions without rows, because not all of their labels were known.
    """

    rows: WindowRows
    snapshots: Mapping[str, int | None]
    labels_as_of: date
    immature: tuple[str, ...] = ()

    @property
    def days(self) -> npt.NDArray[np.datetime64]:
        """Each row's partition, shape (rows,)."""
        return self.rows.days

    @property
    def labels(self) -> npt.NDArray[np.float64]:
        """Each row's label, shape (rows,)."""
        return self.rows.labels


@dataclass(frozen=True)
class Training:
    """All that is known before the first tree grows. ``md5`` are the hashes of the data in DVC, by name."""

    run: StageRun[TrainOptions]
    method: Method
    split: Split
    window: TrainingWindow
    md5: Mapping[str, str]

    @property
    def spec(self) -> PipelineSpec:
        """The pipeline's spec; the training settings in force are ``method.settings``."""
        return self.run.pipeline.spec

    @cached_property
    def data(self) -> TrainingRows:
        """The window's rows as XGBoost reads them."""
        most = self.method.settings.external_memory_rows
        return replace(self.window.rows.data, external_memory=0 < most < len(self.window.rows))

    @cached_property
    def masks(self) -> tuple[Rows, Rows]:
        """The rows to learn from, and the rows that stop the rounds."""
        return self.split.masks(self.window.days)


@dataclass(frozen=True)
class Trained:
    """A fitted model, its predictions of the validation rows, and how good these are."""

    training: Training
    fitted: Fitted
    validation: Validation
    metrics: TrainingMetrics
