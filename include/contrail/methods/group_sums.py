"""The metrics of each group of a feature, and all that a model's predictions of labelled rows are judged by, as sums.

The rows come in batches, sorted by prediction. Reading and sorting rows do not belong here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from contrail.methods.block_sums import BlockSums
from contrail.methods.metrics import METRICS, Task, resampled_calibration, resampled_mean
from contrail.methods.row_sums import RowSums
from contrail.methods.ties import Bins, Codes, Floats, Ties

MISSING = "(missing)"


class GroupCodes:
    """The number of each text that a column has had so far, whatever the batches. Null is ``(missing)``."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._rows: list[int] = []

    def add(self, column: pa.ChunkedArray) -> Codes:
        """Return the number of each row's text, shape (rows,)."""
        values = pa.chunked_array([*column.chunks, pa.array([None], column.type)]).dictionary_encode()
        known = values.unify_dictionaries().combine_chunks()
        texts = [*map(str, known.dictionary.to_pylist()), MISSING]
        numbers = np.array([self._numbers.setdefault(text, len(self._numbers)) for text in texts])
        codes = numbers[known.indices.fill_null(len(texts) - 1).to_numpy()[:-1]]
        counts = np.bincount(codes, minlength=len(self._numbers)).tolist()
        self._rows = [count + own for count, own in zip(counts, [*self._rows, *[0] * len(counts)], strict=False)]
        return codes

    @property
    def rows(self) -> dict[str, int]:
        """The rows of each text, in the order of their numbers."""
        return dict(zip(self._numbers, self._rows, strict=True))


class GroupSums(RowSums):
    """The sums over the rows of each group, from which every metric of each group follows.

    Args:
        task: Decides which metrics.
        rows: The rows of each group, by its name, in the order of the groups' numbers.
    """

    def __init__(self, task: Task, rows: Mapping[str, int]) -> None:
        super().__init__(task, [*rows.values()])
        self._groups = [*rows]
        self._bins = Bins(np.arange(len(rows)), np.array([*rows.values()], np.int64))

    def add(self, blocks: Codes, labels: Floats, predictions: Floats) -> None:
        """Add rows, sorted by prediction, and after all rows that were added before. ``blocks`` numbers their groups."""
        order = np.lexsort((labels, blocks, predictions))
        super().add(blocks[order], labels[order], predictions[order])

    def _count(self, ties: Ties) -> None:
        # The rows that were open come before those with the same prediction of the next batch.
        order = np.lexsort((ties.blocks, ties.predictions))
        self._bins.add(Ties(ties.predictions[order], ties.blocks[order], ties.rows[order], ties.labels[order]))

    def metrics(self, min_rows: int = 1) -> dict[str, dict[str, float]]:
        """Return the metrics of each group, the largest first, each with ``rows`` and ``label_mean`` too.

        Args:
            min_rows: Smaller groups are left out.
        """
        by_name = sorted(range(len(self._groups)), key=self._groups.__getitem__)
        largest = sorted(by_name, key=lambda number: -self.rows[number])
        return {self._groups[n]: self._of(n) for n in largest if self.rows[n] >= max(min_rows, 1)}

    def _of(self, number: int) -> dict[str, float]:
        own, once = np.array([number]), np.ones((1, 1))
        rows, positives = self.rows[own], self._sums["label"][own]
        found = {name: resampled_mean(name, self._sums[name][own], rows) for name in self._names}
        found["calibration_error"] = resampled_calibration(self._bins.errors[own], rows)
        values = {name: float(metric(once)[0]) for name, metric in found.items()}
        if self.task == "binary":
            values["auc"] = _area(float(positives[0]), float(rows[0]), float(self._bins.ranks[number]))
        known = {"rows": float(rows[0]), "label_mean": float(positives[0] / rows[0])}
        return {**known, **{name: values[name] for name in METRICS[self.task]}}


def _area(positives: float, rows: float, ranks: float) -> float:
    """The area under the ROC curve, from the ranks of the positives among all rows. See ``metrics.auc``."""
    pairs = positives * (rows - positives)
    return (ranks - positives * (positives + 1) / 2) / pairs if pairs else float("nan")


@dataclass(frozen=True)
class ModelSums:
    """The sums of one model's predictions of labelled rows: of days, and of the groups of some features, by their name."""

    days: BlockSums
    groups: Mapping[str, GroupSums]

    def add(self, days: Codes, labels: Floats, predictions: Floats, groups: Iterable[Codes]) -> None:
        """Add rows, sorted by prediction, then day, then label. ``groups`` has the numbers of each feature's groups."""
        self.days.add(days, labels, predictions)
        for sums, codes in zip(self.groups.values(), groups, strict=True):
            sums.add(codes, labels, predictions)

    def finish(self) -> "ModelSums":
        """Say that there are no more rows."""
        for sums in (self.days, *self.groups.values()):
            sums.finish()
        return self
