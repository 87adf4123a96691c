"""Encode Arrow columns as the float matrix that XGBoost reads.

A category becomes the position of its value in a table. Training fixes the table, and the model stores it. A value that the
table lacks becomes missing, never another category.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contrail.errors import DataError, MissingInputError

Categories = Mapping[str, Sequence[str]]


def category_table(rows: pa.Table | Mapping[str, pa.Array], names: Sequence[str]) -> dict[str, list[str]]:
    """Return the distinct values of each category. They are sorted, so the same rows give the same codes."""
    return {name: sorted(pc.unique(_text(rows[name])).drop_null().to_pylist()) for name in names}


def encode(rows: pa.Table, names: Sequence[str], categories: Categories) -> npt.NDArray[np.float32]:
    """Encode rows as float32, shape (rows, names), with NaN for missing values.

    Args:
        rows: Must have every column of ``names``.
        names: Columns in the model's order.
        categories: The values of each category, in the order of their codes.

    Raises:
        MissingInputError: when columns are missing.
        DataError: when a number is infinite. That is a mistake in a feature, which trees would hide.
    """
    if missing := [name for name in names if name not in rows.column_names]:
        raise MissingInputError(f"the model needs feature columns {missing}; the rows have {rows.column_names}")
    # Column after column in memory: writing them between each other would take several times as long.
    matrix = np.empty((rows.num_rows, len(names)), np.float32, order="F")

    def fill(position: int, name: str) -> bool:
        column, own = rows.column(name), matrix[:, position]
        values = _codes(column, categories[name]) if name in categories else column
        own[:] = pc.cast(values, pa.float64(), safe=False).to_numpy()
        return bool(np.isinf(own).any())

    with ThreadPoolExecutor() as threads:
        found = list(threads.map(fill, range(len(names)), names))
    if any(found):
        infinite = [name for name, wrong in zip(names, found, strict=True) if wrong]
        raise DataError(f"features {infinite} have infinite values; mend them in features.py (null means unknown)")
    return matrix


def feature_types(names: Sequence[str], categories: Categories) -> list[str]:
    """Return XGBoost's type of each column: ``c`` for a category, ``q`` for a number."""
    return ["c" if name in categories else "q" for name in names]


def shared_values(column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    """Return the values as objects, where rows with the same value have the same object."""
    known = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    codes = known.unify_dictionaries().combine_chunks()
    values = np.array([*codes.dictionary.to_pylist(), None], object)
    return values[codes.indices.fill_null(len(values) - 1).to_numpy()]


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column if pa.types.is_string(column.type) else pc.cast(column, pa.string())


def _codes(column: pa.ChunkedArray, values: Sequence[str]) -> pa.ChunkedArray:
    return pc.index_in(_text(column), value_set=pa.array(values, pa.string()), skip_nulls=True)
