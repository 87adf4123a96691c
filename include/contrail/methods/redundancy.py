"""Which features say nearly the same: rank correlations of numbers, and Cramér's V of categories, in clusters.

A number is compared with numbers, a category with categories. Features that determine each other in another way, such as
a category and its code as a number, are not found.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from contrail.methods.encoded_rows import Matrix

Floats = npt.NDArray[np.float64]
ALIKE = 0.9
_FEWEST = 30  # rows in which both have a value


def likeness(matrix: Matrix, categories: Sequence[bool]) -> Floats:
    """Compute how alike columns are, from 0 to 1: shape (columns, columns), with ones on the diagonal.

    Args:
        matrix: Encoded rows, shape (rows, columns), with NaN for missing values. Rows in which one of two has none do not
            count for them.
        categories: Says of each column whether it is a category.
    """
    count = matrix.shape[1]
    numbers = [at for at in range(count) if not categories[at]]
    found = np.eye(count)
    if numbers:
        found[np.ix_(numbers, numbers)] = _rank_correlations(matrix[:, numbers])
    for one, other in combinations([at for at in range(count) if categories[at]], 2):
        found[one, other] = found[other, one] = _cramers_v(matrix[:, one], matrix[:, other])
    return found


def clusters(alike: Floats, least: float = ALIKE) -> list[tuple[int, ...]]:
    """Put columns together that are all alike, pair by pair (complete linkage), the most alike first.

    Returns:
        Clusters of two or more, each in order.
    """
    groups = [{at} for at in range(len(alike))]
    pairs = [(-alike[a, b], a, b) for a, b in combinations(range(len(alike)), 2) if alike[a, b] >= least]
    for _, one, other in sorted(pairs):
        first, second = (next(group for group in groups if at in group) for at in (one, other))
        if first is not second and all(alike[a, b] >= least for a in first for b in second):
            first |= second
            groups.remove(second)
    return sorted(tuple(sorted(group)) for group in groups if len(group) > 1)


def _rank_correlations(values: Matrix) -> Floats:
    """Absolute Spearman correlations. Ranks are of all known values of a column, and pairs count where both are known."""
    known = np.isfinite(values)
    ranks = np.column_stack([_ranks(values[:, at], known[:, at]) for at in range(values.shape[1])])
    mask = known.astype(np.float64)
    rows = mask.T @ mask
    with np.errstate(divide="ignore", invalid="ignore"):
        means = ranks.T @ mask / rows  # of a column where another is known
        products = ranks.T @ ranks / rows - means * means.T
        squares = np.square(ranks).T @ mask / rows - np.square(means)
        found = np.abs(products) / np.sqrt(squares * squares.T)
    usable = (rows >= _FEWEST) & (squares > 1e-12) & (squares.T > 1e-12)
    found = np.where(usable, np.minimum(found, 1.0), 0.0)
    np.fill_diagonal(found, 1.0)
    return found


def _ranks(values: Matrix, known: npt.NDArray[np.bool_]) -> Floats:
    """Ranks from 0 to 1, ties with their mean; 0 where there is no value."""
    found = np.zeros(len(values))
    if known.any():
        _, group, counts = np.unique(values[known], return_inverse=True, return_counts=True)
        found[known] = (np.cumsum(counts) - (counts - 1) / 2)[group] / known.sum()
    return found


def _cramers_v(one: Matrix, other: Matrix) -> float:
    known = np.isfinite(one) & np.isfinite(other)
    if known.sum() < _FEWEST:
        return 0.0
    (_, rows), (_, columns) = (np.unique(part[known], return_inverse=True) for part in (one, other))
    shape = int(rows.max()) + 1, int(columns.max()) + 1
    if min(shape) < 2:
        return 0.0
    table = np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return float(min(1.0, np.sqrt(((table - expected) ** 2 / expected).sum() / table.sum() / (min(shape) - 1))))
