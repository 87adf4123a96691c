"""The simple models that every model must beat: the training mean, and a table of group means."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contrail.frozen import Frozen

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


def fit_rate_table(rows: pa.Table, labels: npt.NDArray[np.floating[Any]], features: Sequence[str]) -> RateTable:
    """Learn the table. Without ``features`` it has only the overall mean."""
    overall = float(np.mean(labels, dtype=np.float64))
    if not features:
        return RateTable(features=(), overall=overall, groups={})
    table = pa.table({"key": _keys(rows, features), "label": np.asarray(labels, np.float64)})
    sums = (
        table.group_by("key", use_threads=False)
        .aggregate([("label", "sum"), ("label", "count")])
        .sort_by("key")
        .to_pydict()
    )
    means = {
        key: (total + _PRIOR_ROWS * overall) / (count + _PRIOR_ROWS)
        for key, total, count in zip(sums["key"], sums["label_sum"], sums["label_count"], strict=True)
    }
    return RateTable(features=tuple(features), overall=overall, groups=means)


def _keys(rows: pa.Table, features: Sequence[str]) -> pa.ChunkedArray:
    texts = [pc.fill_null(pc.cast(rows.column(name), pa.string()), _NULL) for name in features]
    return pc.binary_join_element_wise(*texts, _SEPARATOR)
