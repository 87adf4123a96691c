"""What the steps of a training hand to each other. No step's work belongs here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from contrail.config.spec import PipelineSpec
from contrail.lake.datasets import PARTITION
from contrail.methods.encoded_rows import BLOCK_ROWS, DayRows, Mask, Rows
from contrail.methods.evaluation import TrainingMetrics, Validation
from contrail.methods.fit import Fitted, Method
from contrail.methods.matrices import TrainingRows, with_offset
from contrail.methods.splits import Split
from contrail.stages.base import StageRun
from contrail.stages.options import TrainOptions


@dataclass(frozen=True)
class DayLabels:
    """The days that have labelled rows, in order: the number of their rows, and the smallest and the largest label."""

    days: npt.NDArray[np.datetime64]
    rows: npt.NDArray[np.int64]
    smallest: npt.NDArray[np.float64]
    largest: npt.NDArray[np.float64]


@dataclass(frozen=True)
class WindowRows:
    """The labelled rows of the training window. Partition and key sort them.

    ``data`` has the features and the labels as XGBoost reads them. Of each row, memory has nothing else. ``file`` is the
    training set, with all columns. ``groups`` names the features by which rows are grouped. ``beside`` has sensitive columns
    that no model reads, of every ``every``-th row.
    """

    data: TrainingRows
    labels: DayLabels
    groups: tuple[str, ...]
    file: Path
    every: int = 1
    beside: pa.Table | None = None

    def __len__(self) -> int:
        return int(self.labels.rows.sum())

    def of_days(self, chosen: Mask) -> DayRows:
        """Return the rows of chosen days."""
        return DayRows(np.cumsum(self.labels.rows), chosen)

    def positions(self, chosen: Rows) -> Iterator[npt.NDArray[np.int64]]:
        """Count chosen rows from the window's first on, in the batches of ``batches``."""
        for block in self.data.encoded.blocks:
            mask = chosen[block.start : block.stop]
            if mask.any():
                yield block.start + np.flatnonzero(mask)

    def batches(self, chosen: Rows) -> Iterator[tuple[pa.Table, npt.NDArray[np.float64]]]:
        """Read chosen rows, in the batches in which they are predicted: their partition and groups, and their labels."""
        columns = list(dict.fromkeys((PARTITION, *self.groups, "label")))
        with pq.ParquetFile(self.file) as file:
            read, held = file.iter_batches(BLOCK_ROWS, columns=columns), list[pa.Table]()
            for block in self.data.encoded.blocks:
                size, mask = block.stop - block.start, chosen[block.start : block.stop]
                while sum(rows.num_rows for rows in held) < size:
                    held.append(pa.Table.from_batches([next(read)]))
                rows = pa.concat_tables(held)
                held = [rows.slice(size)]
                if mask.any():
                    own = rows.slice(0, size).filter(pa.array(mask))
                    yield own, own.column("label").to_numpy()


@dataclass(frozen=True)
class TrainingWindow:
    """The rows of the training window, and the snapshots of every table that they were read from.

    ``immature`` names the partitions without rows, because not all of their labels were known.
    """

    rows: WindowRows
    snapshots: Mapping[str, int | None]
    labels_as_of: date
    immature: tuple[str, ...] = ()


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
        rows = replace(self.window.rows.data, external_memory=0 < most < len(self.window.rows))
        return with_offset(rows, self.method.settings, self.spec.task)

    @cached_property
    def masks(self) -> tuple[Rows, Rows]:
        """The rows to learn from, and the rows that stop the rounds."""
        fit, check = map(self.window.rows.of_days, self.split.masks(self.window.rows.labels.days))
        return fit, check


@dataclass(frozen=True)
class Trained:
    """A fitted model, the sums of its predictions of the validation rows, and how good these are."""

    training: Training
    fitted: Fitted
    validation: Validation
    metrics: TrainingMetrics
