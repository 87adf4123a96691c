"""The labelled rows of the training window: read in one state of the tables, checked, and versioned with DVC."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from contrail.adapters import data_versions
from contrail.adapters.landed_files import first_irregular
from contrail.config.spec import PipelineSpec
from contrail.errors import DataError, MissingInputError
from contrail.files import becomes
from contrail.lake.datasets import PARTITION
from contrail.lake.labels import LabelledRows, immature_days, labelled_rows
from contrail.methods.encoded_rows import EncodedRows, Room, spaced
from contrail.methods.encoding import category_table
from contrail.methods.fit import override
from contrail.methods.matrices import TrainingRows
from contrail.methods.splits import Split
from contrail.stages.base import StageRun
from contrail.stages.options import TrainOptions
from contrail.stages.training.base import DayLabels, TrainingWindow, WindowRows

TRAINING_SET = "training_set"
_READS = 5
# PyArrow's own. Other groups would give the training set other bytes, and its receipt another hash.
_ROW_GROUP = 1 << 20
# Rows of the window of which, evenly spaced, the model card's findings are. All of them, in most windows.
_SHOWN_ROWS = 2_000_000


def read_window(run: StageRun[TrainOptions]) -> TrainingWindow:
    """Read the rows in one state of the tables. Read them again if a table was published meanwhile.

    Raises:
        MissingInputError: when the range has no labelled rows.
    """
    spec = run.pipeline.spec
    as_of = run.partitions.end + timedelta(days=1)
    names = ("features", f"validated_{spec.entities}", f"validated_{spec.label.table}")
    before = {name: run.lake.snapshot_id(name) for name in names}
    for _ in range(_READS):
        with labelled_rows(run.lake, spec, run.partitions, as_of) as labelled:
            rows = _keep(run, labelled)
        after = {name: run.lake.snapshot_id(name) for name in names}
        if after == before:
            break
        before = after
    if rows is None:
        raise MissingInputError(
            f"{run.pipeline.name}: no row of {run.partitions} has both features and a label, of a day whose labels were all "
            f"known by {as_of}. Run validate and features for these partitions first (contrail status --pipeline "
            f"{run.pipeline.name})."
        )
    immature = immature_days(run.lake, spec, run.partitions, as_of)
    if immature:
        run.progress(f"left out {', '.join(immature)}: not all labels were known at the cut-off of {as_of}")
    return TrainingWindow(rows, after, as_of, immature)


def _keep(run: StageRun[TrainOptions], labelled: LabelledRows) -> WindowRows | None:
    """Encode the rows and write the training set, a row group at a time. None without rows."""
    if not len(labelled):
        return None
    spec, settings = run.pipeline.spec, run.settings
    categories = category_table(labelled.values(spec.features.categories), spec.features.categories)
    room = Room.of(settings.memory_bytes, settings.home_path / "tmp")
    encoded = EncodedRows(tuple(spec.features.columns), categories, room)
    train = override(spec.train, run.options.params)
    sensitive = [name for name in spec.sensitive if name in spec.features.columns]
    others = [name for name in spec.sensitive if name not in sensitive]
    every = max(1, -(-len(labelled) // _SHOWN_ROWS))
    path = _training_set(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    batches, labels, days = labelled.stream(), [], _Days()
    with becomes(path) as unfinished, pq.ParquetWriter(unfinished, batches.schema, compression="zstd") as file:
        for rows in _row_groups(batches):
            file.write_table(rows, _ROW_GROUP)
            encoded.append(rows)
            own = rows.column("label").to_numpy()
            days.add(rows.column(PARTITION).to_numpy(), own)
            labels.append(own.astype(np.float32))
            del rows, own  # else they would be there while the next group grows
    return WindowRows(
        data=TrainingRows(encoded, np.concatenate(labels)),
        labels=days.found(),
        groups=tuple(dict.fromkeys((*train.rate_table, *train.segments, *sensitive))),
        every=every,
        beside=_beside(labelled.of_entities(others), every) if others else None,
        file=path,
    )


class _Days:
    """The labels of each day, of rows that come in order."""

    def __init__(self) -> None:
        self._days: dict[np.datetime64, tuple[int, float, float]] = {}

    def add(self, days: npt.NDArray[np.datetime64], labels: npt.NDArray[np.float64]) -> None:
        """Add rows."""
        known, first, counts = np.unique(days, return_index=True, return_counts=True)
        smallest, largest = np.minimum.reduceat(labels, first), np.maximum.reduceat(labels, first)
        for day, *own in zip(known, counts.tolist(), smallest.tolist(), largest.tolist(), strict=True):
            rows, low, high = self._days.get(day, (0, np.inf, -np.inf))
            self._days[day] = (rows + own[0], min(low, own[1]), max(high, own[2]))

    def found(self) -> DayLabels:
        """Return the labels of all days."""
        rows, smallest, largest = zip(*self._days.values(), strict=True)
        return DayLabels(np.array([*self._days]), np.array(rows), np.array(smallest), np.array(largest))


def _row_groups(batches: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """Put batches together. Where a column's pieces begin decides on its pages, so each column is one piece.

    A group has up to a million rows, so no column is twice in memory at a time.
    """
    held, rows = [[pa.array([], field.type)] for field in batches.schema], 0
    for batch in batches:
        start = 0
        while start < len(batch):
            own = batch.slice(start, _ROW_GROUP - rows)
            for pieces, column in zip(held, own.columns, strict=True):
                pieces.append(pa.concat_arrays([pieces[0], column]))  # a copy, so that the batch can go
            start, rows = start + len(own), rows + len(own)
            if rows == _ROW_GROUP:
                yield _joined(held, batches.schema)
                rows = 0
    if rows:
        yield _joined(held, batches.schema)


def _joined(held: list[list[pa.Array]], schema: pa.Schema) -> pa.Table:
    """Join the pieces of each column after its first, which is empty, and forget them."""
    columns = []
    for pieces in held:
        columns.append(pa.concat_arrays(pieces))
        del pieces[1:]
    return pa.Table.from_arrays(columns, schema=schema)


def _beside(more: pa.RecordBatchReader, every: int) -> pa.Table:
    """Columns that no model reads, of every so-many-th row. Each text is in memory once."""
    kept, first = [more.schema.empty_table()], 0
    for batch in more:
        kept.append(spaced(batch, first, every))
        first += len(batch)
    found = pa.concat_tables(kept)
    short = {name: _short(found.column(name)) for name in found.column_names}
    return pa.table(short)


def _short(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Keep each text once. The rows have its number."""
    return column.dictionary_encode() if pa.types.is_string(column.type) else column


def _training_set(run: StageRun[TrainOptions]) -> Path:
    folder: Path = run.settings.home_path / "training_sets" / run.pipeline.name
    return folder / f"{run.partitions.start}_{run.partitions.end}" / "rows.parquet"


def check_labels(spec: PipelineSpec, window: TrainingWindow, split: Split) -> None:
    """Refuse a part of the window from which no model can learn.

    Raises:
        MissingInputError: when it has no labelled rows.
        DataError: when a binary task's labels are all the same.
    """
    known = window.rows.labels
    parts = zip(("fit", "validation"), split.masks(known.days), (split.fit, split.validation), strict=True)
    for name, chosen, days in parts:
        if not chosen.any():
            raise MissingInputError(f"{spec.name}: no labelled rows in {days}, which is the {name} part of the window")
        smallest, largest = known.smallest[chosen].min(), known.largest[chosen].max()
        if spec.task == "binary" and smallest == largest:
            raise DataError(
                f"{spec.name}: all {known.rows[chosen].sum():,} labels of the {name} part {days} are {smallest:g}; "
                f"no model can learn from them. Check label.expression ({spec.label.expression})."
            )


def version_window(run: StageRun[TrainOptions], window: TrainingWindow) -> dict[str, str]:
    """Version the training set and the landed files with DVC, and keep the window's snapshots from expiring.

    Returns:
        The MD5 of ``training_set``, and of ``landed_files`` where they are on this machine.
    """
    path = window.rows.file
    landed = run.settings.home_path / "landing" / run.pipeline.name
    paths = {TRAINING_SET: path}
    if run.settings.landing_uri == str(landed.parent) and landed.exists():
        # DVC follows every link, and waits for every pipe.
        if odd := first_irregular(UPath(landed)):
            run.progress(f"the landed files are not versioned: {odd} is no regular file of the landing zone")
        else:
            paths["landed_files"] = landed
    hashes = data_versions.add_and_push(run.settings, list(paths.values()))
    run.progress(f"training set is {hashes[path]} in DVC")
    for name, snapshot in window.snapshots.items():
        if snapshot is not None and run.options.registered:
            run.lake.tag(name, snapshot, f"training-{snapshot}")
    return {name: hashes[own] for name, own in paths.items()}
