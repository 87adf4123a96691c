"""The reasons of a score as columns: the features with the largest contributions, their values and contributions.

The functions are vectorised: a million reasons take some seconds. Computing contributions does not belong here.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# Digits that people can use. A value of 1,000 or more keeps its whole part.
_DIGITS = 4


def top_features(contributions: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
    """Find the ``count`` largest contributions by size, largest first; of equal ones, the first feature.

    Args:
        contributions: Shape (rows, features), without the mean.
        count: The number of contributions. There are at most as many as features.

    Returns:
        The positions of the features, shape (rows, count).
    """
    size = np.abs(contributions)
    rows = np.arange(len(size))
    chosen = np.empty((len(size), min(count, size.shape[1])), np.int64)
    # A few passes over the rows cost a seventh of a partial sort of each of them.
    for rank in range(chosen.shape[1]):
        chosen[:, rank] = size.argmax(axis=1)
        size[rows, chosen[:, rank]] = -1
    return chosen


def reason_columns(
    features: pa.Table, names: tuple[str, ...], contributions: npt.NDArray[np.float32], count: int
) -> dict[str, pa.Array]:
    """Make the columns ``reason_k``, ``reason_k_value`` and ``reason_k_contribution`` for k from 1 to ``count``.

    Args:
        features: The scored rows.
        names: The model's features, in the order of ``contributions``.
        contributions: Shape (rows, features + 1) as XGBoost gives them; the last is the mean.
        count: The number of reasons. Reasons beyond the number of features are null.
    """
    own = contributions[:, : len(names)]
    chosen = top_features(own, count)
    labels = pa.array(names, pa.string())
    columns: dict[str, pa.Array] = {}
    for rank in range(count):
        stem = f"reason_{rank + 1}"
        if rank >= chosen.shape[1]:
            columns |= {
                stem: pa.nulls(features.num_rows, pa.string()),
                f"{stem}_value": pa.nulls(features.num_rows, pa.string()),
                f"{stem}_contribution": pa.nulls(features.num_rows, pa.float64()),
            }
            continue
        which = chosen[:, rank]
        parts = np.take_along_axis(own, which[:, None], axis=1)[:, 0].astype(np.float64)
        columns |= {
            stem: labels.take(pa.array(which)),
            f"{stem}_value": _values(features, names, which),
            f"{stem}_contribution": pa.array(parts),
        }
    return columns


def _values(features: pa.Table, names: tuple[str, ...], which: npt.NDArray[np.int64]) -> pa.Array:
    """Return feature ``which[i]`` of each row i as text. It formats one feature at a time, then restores the order."""
    order = np.argsort(which, kind="stable")
    ends = np.searchsorted(which[order], np.arange(len(names) + 1))
    parts = [
        as_text(features.column(name).take(pa.array(order[ends[i] : ends[i + 1]])))
        for i, name in enumerate(names)
        if ends[i] < ends[i + 1]
    ]
    if not parts:
        return pa.nulls(0, pa.string())
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return pa.concat_arrays(parts).take(pa.array(back))


def as_text(column: pa.ChunkedArray) -> pa.Array:
    """Format values for people. Text stays as it is, numbers have at most four digits, and null stays null."""
    flat = column.combine_chunks()
    if not pa.types.is_floating(flat.type):
        return pc.cast(flat, pa.string())
    numbers = flat.to_numpy(zero_copy_only=False).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitude = np.nan_to_num(np.floor(np.log10(np.abs(numbers))), neginf=0.0)
        scale = 10.0 ** np.clip(_DIGITS - 1 - magnitude, 0, 15)
        rounded = np.round(numbers * scale) / scale + 0.0  # no -0
    return pc.cast(pa.array(rounded, pa.float64(), mask=np.isnan(numbers)), pa.string())
