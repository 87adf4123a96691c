"""How much one column alone tells of the outcome, on days after those from which it was learned.

A leak tells nearly all. Reading rows and naming findings do not belong here.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contrail.methods.metrics import Task, auc

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]

_BINS = 256
# A group counts as if it had this many more rows at the mean, so that a group of three proves nothing.
_PRIOR_ROWS = 20.0
# A missing value must decide the outcome in so many rows, on so many days, and by chance less often than this.
_LEAST_ROWS, _LEAST_DAYS, _CHANCE = 30, 5, 1e-9


def strength(task: Task, labels: Floats, predictions: Floats) -> float:
    """Say how well predictions order rows: AUC of a binary task, else the rank correlation. NaN where nothing differs."""
    if task == "binary":
        return auc(labels, predictions)
    ours, theirs = _ranks(labels), _ranks(predictions)
    return float(np.corrcoef(ours, theirs)[0, 1]) if ours.std() and theirs.std() else float("nan")


def alone(task: Task, column: pa.ChunkedArray, labels: Floats, fit: Rows, check: Rows) -> float:
    """Say how well one column orders later rows by what earlier rows tell of it.

    It predicts the mean label of the value's group: a category, or one of 256 bins of a number. It also tries the number
    as it is. The better of both counts.

    Args:
        task: Decides the measure, see ``strength``.
        column: A number or a category, of shape (rows,).
        labels: Shape (rows,).
        fit: The earlier rows.
        check: The later rows.
    """
    values = _numbers(column)
    codes = _codes(column) if values is None else _binned(values, fit)
    mean = float(labels[fit].mean())
    count = int(codes.max()) + 1
    rows = np.bincount(codes[fit], minlength=count)
    sums = np.bincount(codes[fit], weights=labels[fit], minlength=count)
    found = [strength(task, labels[check], ((sums + _PRIOR_ROWS * mean) / (rows + _PRIOR_ROWS))[codes[check]])]
    if values is not None:
        there = np.isfinite(values)
        filled = np.where(there, values, values[fit & there].mean() if (fit & there).any() else 0.0)
        same = strength(task, labels[fit], filled[fit])
        upwards = same >= (0.5 if task == "binary" else 0.0)
        found.append(strength(task, labels[check], filled[check] if upwards else -filled[check]))
    return max((one for one in found if np.isfinite(one)), default=float("nan"))


def decided(missing: Rows, outcome: Rows, days: npt.NDArray[np.datetime64]) -> tuple[bool, bool, int] | None:
    """Find out whether a value's being missing, or being there, decides a yes or a no.

    All rows of one side have the same outcome, on at least five days (or on all, if there are fewer). If the outcome did
    not depend on it, this would happen less than once in a thousand million times.

    Args:
        missing: Whether the value is missing, of shape (rows,).
        outcome: Yes or no, of shape (rows,).
        days: Shape (rows,).

    Returns:
        Whether the missing ones are decided, their outcome, and how many rows they are; None where nothing is decided.
    """
    for side, own in ((True, missing), (False, ~missing)):
        rows, others = int(own.sum()), outcome[~own]
        if rows < _LEAST_ROWS or not len(others) or outcome[own].any() != outcome[own].all():
            continue
        yes = bool(outcome[own][0])
        share = float((others == yes).mean())
        enough = len(np.unique(days[own])) >= min(_LEAST_DAYS, len(np.unique(days)))
        if enough and rows * np.log(max(share, 1e-300)) < np.log(_CHANCE):
            return side, yes, rows
    return None


def _ranks(values: Floats) -> Floats:
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: Floats = (np.cumsum(counts) - (counts - 1) / 2)[group]
    return found


def _numbers(column: pa.ChunkedArray) -> Floats | None:
    """The values of a column of numbers, NaN where there is none; None for a category."""
    if pa.types.is_string(column.type):
        return None
    found: Floats = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
    return found


def _codes(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    known = column.combine_chunks().dictionary_encode()
    found: npt.NDArray[np.int64] = known.indices.fill_null(len(known.dictionary)).to_numpy().astype(np.int64)
    return found


def _binned(values: Floats, fit: Rows) -> npt.NDArray[np.int64]:
    """The bin of each number, by quantiles of the earlier rows. Missing ones have a bin of their own."""
    there = np.isfinite(values)
    known = values[fit & there]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1))) if len(known) else np.zeros(0)
    found: npt.NDArray[np.int64] = np.where(there, np.searchsorted(edges, values), len(edges) + 1)
    return found
