"""The simple models that every model must beat: the training mean, and a table of group means."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contrail.frozen import Frozen
from contrail.methods.ties import Floats, added

# A group counts as if it had this many more rows at the overall mean, so that a group of three proves nothing.
_PRIOR_ROWS = 20.0
_NULL, _SEPARATOR = "\x00", "\x1f"


class RateTable(Frozen):
    """The mean label of each group of ``features``, drawn towards the overall mean. Unknown groups get that mean."""

    features: tuple[str, ...]
    overall: float
    groups: dict[str, float]

    def predict(self, rows: pa.Table) -> npt.NDArray[np.float64]:
        """Predict each row by the mean of its group."""
        if not self.features:
            return np.full(rows.num_rows, self.overall)
        names = pa.array(list(self.groups), pa.string())
        means = np.array([*self.groups.values(), self.overall])
        positions = pc.fill_null(pc.index_in(_keys(rows, self.features), value_set=names), len(names))
        found: npt.NDArray[np.float64] = means[positions.to_numpy()]
        return found


def fit_rate_table(batches: Iterable[tuple[pa.Table, Floats]], features: Sequence[str]) -> RateTable:
    """Learn the table from rows and their labels, in batches. Without ``features`` it has only the overall mean."""
    rows, total = 0, 0.0
    numbers: dict[str, int] = {}
    sums = counts = np.zeros(0)
    for table, labels in batches:
        rows, total = rows + len(labels), total + float(np.sum(labels, dtype=np.float64))
        if features:
            keys = _keys(table, features).combine_chunks().dictionary_encode()
            new = np.array([numbers.setdefault(key, len(numbers)) for key in keys.dictionary.to_pylist()], np.int64)
            own, more = new[keys.indices.to_numpy()], np.zeros(len(numbers) - len(sums))
            sums, counts = (
                added(np.append(sums, more), own, labels),
                added(np.append(counts, more), own, 1.0 + 0 * labels),
            )
    overall = total / rows
    means = (sums + _PRIOR_ROWS * overall) / (counts + _PRIOR_ROWS)
    return RateTable(
        features=tuple(features), overall=overall, groups={key: float(means[numbers[key]]) for key in sorted(numbers)}
    )


def _keys(rows: pa.Table, features: Sequence[str]) -> pa.ChunkedArray:
    texts = [pc.fill_null(pc.cast(rows.column(name), pa.string()), _NULL) for name in features]
    return pc.binary_join_element_wise(*texts, _SEPARATOR)
