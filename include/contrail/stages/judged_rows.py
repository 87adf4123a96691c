"""Labelled rows with what models predict of them, in a file, and the sums by which each model is judged.

Rows are written as they come and sorted out of core. Nothing grows in memory with their number, except what days and groups
need. What is concluded from the sums belongs to the stages ``train`` and ``promote``.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from contrail.config.names import listed, literal
from contrail.config.settings import Settings
from contrail.lake.sessions import session, spare_threads, spill_folder
from contrail.methods.block_sums import BlockSums
from contrail.methods.calibration import stretches
from contrail.methods.decisions import Deciding
from contrail.methods.group_sums import GroupCodes, GroupSums, ModelSums
from contrail.methods.metrics import Task
from contrail.methods.ties import Floats

_ROWS = 65_536  # in a batch
_DAY, _LABEL = "day", "label"


class JudgedRows:
    """Rows in a folder, with their day, their label, the predictions of models, and their groups of some features.

    Args:
        settings: Limit the memory of sorting.
        folder: Where the rows are kept.
        task: Decides which metrics.
        features: The features that have groups.
    """

    def __init__(self, settings: Settings, folder: Path, task: Task, features: Sequence[str] = ()) -> None:
        self.task, self.rows = task, 0
        self._settings, self._path = settings, folder / "judged.parquet"
        self._days: dict[date, int] = {}
        self._groups = {name: GroupCodes() for name in features}
        self._writer: pq.ParquetWriter | None = None

    def append(
        self,
        days: npt.NDArray[np.datetime64],
        labels: Floats,
        predictions: Mapping[str, Floats],
        groups: Mapping[str, pa.ChunkedArray],
    ) -> None:
        """Keep rows, the days in order.

        Args:
            days: Shape (n,).
            labels: Shape (n,).
            predictions: By the name of the model, shape (n,). Every batch has the same models.
            groups: Each row's value of each feature that has groups.
        """
        known, counts = np.unique(days.astype("datetime64[D]"), return_counts=True)
        for day, count in zip(known.astype(object).tolist(), counts.tolist(), strict=True):
            self._days[day] = self._days.get(day, 0) + count
        self.rows += len(labels)
        codes = {_group(name): codes.add(groups[name]) for name, codes in self._groups.items()}
        columns = {_model(name): np.asarray(own, np.float64) for name, own in predictions.items()}
        rows = pa.table(
            {_DAY: days.astype("datetime64[D]"), _LABEL: np.asarray(labels, np.float64), **columns, **codes}
        )
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, rows.schema, use_dictionary=False)
        self._writer.write_table(rows)

    def sums(
        self,
        model: str,
        grouped: bool = False,
        period_days: int | None = None,
        deciding: Deciding | None = None,
    ) -> ModelSums:
        """Add up all rows in one pass, sorted by the predictions of a model. Afterwards no rows can be added.

        Args:
            model: The name of the model.
            grouped: Add up the groups of the features too.
            period_days: About so many days are a period. By default a calendar month is one.
            deciding: How the model flags rows, and what that costs. None: no cost is measured.
        """
        self.close()
        groups = self._groups if grouped else {}
        days, counts = [*self._days], [*self._days.values()]
        periods = None if period_days is None else stretches(len(days), period_days)
        found = ModelSums(
            BlockSums(self.task, days, counts, periods=periods, deciding=deciding),
            {name: GroupSums(self.task, codes.rows) for name, codes in groups.items()},
        )
        positions = np.array(days, "datetime64[D]")
        for batch in self._sorted([_model(model), _DAY, _LABEL, *map(_group, groups)]):
            predictions, of_day, labels, *codes = (column.to_numpy(zero_copy_only=False) for column in batch.columns)
            found.add(np.searchsorted(positions, of_day.astype("datetime64[D]")), labels, predictions, codes)
        return found.finish()

    def in_order(self, model: str) -> Iterator[tuple[npt.NDArray[np.datetime64], Floats, Floats]]:
        """Return day, label and prediction of the rows, in batches, as they came. Then no rows can be added."""
        self.close()
        for batch in pq.ParquetFile(self._path).iter_batches(_ROWS, columns=[_DAY, _LABEL, _model(model)]):
            of_day, labels, predictions = (
                batch.column(n).to_numpy(zero_copy_only=False) for n in (_DAY, _LABEL, _model(model))
            )
            yield of_day.astype("datetime64[D]"), labels, predictions

    def by_prediction(self, model: str) -> Iterator[tuple[npt.NDArray[np.datetime64], Floats, Floats]]:
        """Return day, label and prediction of the rows, in batches, sorted by prediction. Then no rows can be added."""
        self.close()
        for batch in self._sorted([_model(model), _DAY, _LABEL]):
            predictions, of_day, labels = (column.to_numpy(zero_copy_only=False) for column in batch.columns)
            yield of_day.astype("datetime64[D]"), labels, predictions

    def sample(self, most: int, models: Sequence[str]) -> list[Floats]:
        """Return labels and predictions of at most so many rows, evenly spaced: the labels, and then each model's."""
        self.close()
        every, first = max(1, -(-self.rows // most)), 0
        names, found = [_LABEL, *map(_model, models)], []
        for batch in pq.ParquetFile(self._path).iter_batches(_ROWS, columns=names):
            found.append([batch.column(name).to_numpy()[-first % every :: every] for name in names])
            first += len(batch)
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]

    def _sorted(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        if not self.rows:
            return
        with session(self._settings) as connection:
            spare_threads(connection, 8 * len(names), self._settings.memory_bytes // 2)
            rows = connection.sql(f"SELECT {listed(names)} FROM read_parquet({literal(str(self._path))})")
            yield from rows.order(listed(names)).to_arrow_reader(_ROWS)

    def close(self) -> None:
        """Say that there are no more rows."""
        if self._writer is not None and self._writer.is_open:
            self._writer.close()


@contextmanager
def judged_rows(settings: Settings, task: Task, features: Sequence[str]) -> Iterator[JudgedRows]:
    """Keep rows in a folder of the home, which goes afterwards. See ``JudgedRows``."""
    with spill_folder(settings) as folder, closing(JudgedRows(settings, folder, task, features)) as rows:
        yield rows


def _model(name: str) -> str:
    return f"of {name}"


def _group(name: str) -> str:
    return f"group {name}"
