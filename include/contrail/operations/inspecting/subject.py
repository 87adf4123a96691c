"""What is inspected: a model version, labelled rows of days after its training, and the rows that it was trained on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from contrail.adapters import data_versions
from contrail.adapters.registry import CHAMPION, RegisteredModel, alias_version
from contrail.config.pipeline import Pipeline
from contrail.errors import DataError, MissingInputError
from contrail.lake.datasets import PARTITION
from contrail.lake.labels import labelled_rows
from contrail.lake.lake import Lake
from contrail.lake.sessions import spill_folder
from contrail.methods.encoded_rows import BLOCK_ROWS, EncodedRows, EveryRow, Mask, Matrix, Room, spaced
from contrail.methods.feature_worth import Judged
from contrail.methods.intervals import FEWEST_DAYS
from contrail.methods.matrices import TrainingRows
from contrail.methods.model_package import ModelPackage, TrainingRecord
from contrail.methods.splits import split_window, within
from contrail.partitions import Partitions
from contrail.stages.champion import model_of
from contrail.stages.fitting import fitted

# Rows of days after the training, evenly spaced, by which losses are compared; and rows that trees grow on.
MOST_ROWS, MOST_TRAINED, MOST_DAYS = 50_000, 1_000_000, 184
_PROPOSED = 28  # days, where too few were asked for


@dataclass(frozen=True)
class Sample:
    """Labelled rows after the training, evenly spaced: one of ``every``, encoded for the model, shape (rows, features)."""

    days: tuple[date, ...]
    every: int
    rows_of_days: int
    matrix: Matrix
    labels: npt.NDArray[np.float64]
    judged: Judged


@dataclass(frozen=True)
class Subject:
    """A model as the registry has it, and the days after its training that were asked for."""

    pipeline: Pipeline
    lake: Lake
    model: RegisteredModel
    is_champion: bool
    partitions: Partitions

    @property
    def package(self) -> ModelPackage:
        """The model."""
        return self.model.package

    @property
    def record(self) -> TrainingRecord:
        """What its training recorded."""
        return self.package.card.training

    @property
    def names(self) -> tuple[str, ...]:
        """Its features, by today's names."""
        return self.package.features

    @property
    def trained_every(self) -> int:
        """Trees grow on one of so many rows of the training set: on all, unless there are millions."""
        return max(1, -(-self.record.rows // MOST_TRAINED))


def subject_of(pipeline: Pipeline, lake: Lake, ref: str, first: date | None, last: date | None) -> Subject:
    """Find a model and the labelled days after its training, from ``first`` to ``last``.

    By default these are the newest days with features and all labels, 184 or fewer.

    Raises:
        MissingInputError: when there is no such model, or there are fewer than five such days.
        DataError: when days are asked for that the model may have seen.
        SpecError: when the model does not fit the pipeline any more, or the range ends before it starts.
    """
    if first and last:
        Partitions(first, last)
    found = fitted(pipeline.spec, model_of(lake.settings, lake, ref))
    record = found.package.card.training
    earliest = earliest_of(record)
    if first is not None and first < earliest:
        raise DataError(
            f"{found.name} version {found.version} was trained on {record.partitions} with an embargo of "
            f"{record.embargo_days} days, and may have seen {first}. Inspect it on days from {earliest} on: contrail "
            f"inspect-features -p {pipeline.name} --model {found.version} --from {earliest}"
        )
    newest = _newest(pipeline, lake)
    end = min(newest, last) if newest and last else newest
    start = first or earliest
    if end is not None and first is None:
        start = max(start, end - timedelta(days=MOST_DAYS - 1))
    days = 0 if end is None else max(0, (end - start).days + 1)
    if end is None or days < FEWEST_DAYS:
        raise _too_few(pipeline, found, (start, last), days, (earliest, newest))
    champion = alias_version(lake.settings, pipeline.name, CHAMPION)
    return Subject(pipeline, lake, found, champion == found.version, Partitions(start, end))


def _newest(pipeline: Pipeline, lake: Lake) -> date | None:
    """The newest day that has features, and whose labels have all had their time to arrive."""
    label = pipeline.spec.label
    ends = [lake.ends("features"), lake.ends(f"validated_{label.table}")]
    if not all(ends):
        return None
    features, labels = (one.end for one in ends if one)
    return min(features, labels - timedelta(days=label.mature_after_days))


def earliest_of(record: TrainingRecord) -> date:
    """The first day that a model cannot have seen."""
    return record.end + timedelta(days=record.embargo_days + 1)


def _too_few(
    pipeline: Pipeline,
    model: RegisteredModel,
    asked: tuple[date, date | None],
    days: int,
    bounds: tuple[date, date | None],
) -> MissingInputError:
    """Say how many days were found.

    Args:
        pipeline: The pipeline.
        model: What was to be inspected.
        asked: First and last day; None: the newest.
        days: How many of them are labelled.
        bounds: The first day that the model has not seen, and the newest labelled one where there is any.
    """
    earliest, newest = bounds
    to = f" to {asked[1]}" if asked[1] else " on"
    said = (
        f"{pipeline.name}: from {asked[0]}{to} there are {days} labelled days that version {model.version} has not seen, and "
        f"an interval over days needs {FEWEST_DAYS}. Nothing was inspected."
    )
    # A newest day that was looked for in the range alone may have later ones.
    within = f" to {asked[1]}" if newest and asked[1] and newest <= asked[1] else ""
    start = newest and max(earliest, newest - timedelta(days=_PROPOSED - 1))
    other = newest and start and (start < asked[0] or bool(asked[1] and asked[1] < newest))
    if newest and start and other and (newest - start).days + 1 >= FEWEST_DAYS:
        return MissingInputError(
            f"{said} The newest labelled day{within} is {newest}. Ask for other days: contrail inspect-features "
            f"-p {pipeline.name} --model {model.version} --from {start}"
        )
    known = (
        f"The newest labelled day{within} is {newest}" if newest else "None of them has features and all of its labels"
    )
    return MissingInputError(
        f"{said} {known}, and version {model.version} can be inspected on days from {earliest} on. Inspect an older version "
        f"with --model, or wait until later days have features and labels (contrail status -p {pipeline.name})."
    )


def sample_of(subject: Subject, most: int) -> Sample:
    """Read labelled rows of the days, evenly spaced, a batch at a time.

    Raises:
        MissingInputError: when fewer than five days have labelled rows.
    """
    package, spec, record, asked = subject.package, subject.pipeline.spec, subject.record, subject.partitions
    matrices, labels, days = [], [], []
    with labelled_rows(subject.lake, spec, subject.partitions) as rows:
        count, first = len(rows), 0
        every = max(1, -(-count // most))
        for batch in rows.stream(BLOCK_ROWS // 4):
            own = spaced(batch, first, every)
            first += len(batch)
            matrices.append(package.matrix(own))
            labels.append(own.column("label").to_numpy())
            days.append(own.column(PARTITION).to_numpy().astype("datetime64[D]"))
    known, blocks = np.unique(np.concatenate(days), return_inverse=True) if days else (np.array([]), np.array([]))
    if len(known) < FEWEST_DAYS:
        bounds = earliest_of(record), known[-1].astype(object) if len(known) else None
        raise _too_few(subject.pipeline, subject.model, (asked.start, asked.end), len(known), bounds)
    found = np.concatenate(labels).astype(np.float64)
    judged = Judged(spec.task, found, blocks.astype(np.int64))
    matrix = np.asfortranarray(np.concatenate(matrices))
    return Sample(tuple(known.astype(object).tolist()), every, count, matrix, found, judged)


@dataclass(frozen=True)
class Trained:
    """The rows of the training set, or evenly spaced ones where it has millions. Trees grow on those of ``fit``."""

    rows: TrainingRows
    fit: Mask

    def missing_share(self) -> list[float]:
        """The share of rows without a value, of each feature."""
        parts = [np.isnan(matrix).sum(axis=0) for matrix, _ in self.rows.batches(EveryRow())]
        return [float(count / len(self.fit)) for count in np.sum(parts, axis=0)]


@contextmanager
def trained_rows(subject: Subject) -> Iterator[Trained]:
    """Fetch the training set, and encode its rows as the training did, for the length of a block.

    Raises:
        MissingInputError: when nobody has the training set any more.
        DataError: when it is damaged.
    """
    settings, record, card = subject.lake.settings, subject.record, subject.package.card
    every = subject.trained_every
    with spill_folder(settings) as folder:
        try:
            path = data_versions.fetch(settings, record.training_set_md5, folder / "rows.parquet")
        except MissingInputError as error:
            raise MissingInputError(
                f"{error}. The rows that version {subject.model.version} was trained on are gone, so no trees can be grown "
                f"without a feature. Train again: contrail train -p {subject.pipeline.name}"
            ) from error
        encoded = EncodedRows(
            card.features, card.categories, Room.of(settings.memory_bytes, settings.home_path / "tmp")
        )
        labels, days, first = [], [], 0
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BLOCK_ROWS, columns=[PARTITION, *card.features, "label"]):
                own = spaced(batch, first, every)
                first += len(batch)
                encoded.append(own)
                labels.append(own.column("label").to_numpy().astype(np.float32))
                days.append(own.column(PARTITION).to_numpy())
        path.unlink()
        yield Trained(TrainingRows(encoded, np.concatenate(labels)), _fit(record, np.concatenate(days)))


def _fit(record: TrainingRecord, days: npt.NDArray[np.datetime64]) -> Mask:
    """The rows that the model's own trees grew on: all, or without ``train.refit`` those before the validation."""
    if record.options.get("refit", True):
        return np.ones(len(days), bool)
    split = split_window(record.partitions, int(record.options["validation_days"]), record.embargo_days)
    return within(days, split.fit)


def missing_share(matrix: Matrix) -> list[float]:
    """The share of rows without a value, of each column."""
    return [float(np.isnan(matrix[:, at]).mean()) for at in range(matrix.shape[1])]
