"""Metrics of predictions against labels, for both tasks, and their sums by block for a bootstrap.

They need only NumPy and Arrow, because the daily performance stage should not import scikit-learn. Plots and tables do not belong
here.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.floating]
# From block weights (samples, blocks) to a metric of each resample (samples,).
Resampled = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
Task = Literal["binary", "regression"]

CALIBRATION_BINS = 10
HIGHER_IS_BETTER = frozenset({"auc"})
# The metric that compares a day's performance with its baseline.
HEADLINE: dict[Task, str] = {"binary": "log_loss", "regression": "rmse"}
_SMALLEST = 1e-15


def auc(labels: Floats, predictions: Floats) -> float:
    """Area under the ROC curve. Ties count half. It is NaN unless both classes occur."""
    positive = labels > 0.5
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return float("nan")
    _, groups, counts = np.unique(predictions, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = float(mean_ranks[groups[positive]].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def log_losses(labels: Floats, predictions: Floats) -> npt.NDArray[np.float64]:
    """Negative log-likelihood of each row, in nats. A certain but wrong prediction costs 34.5, not infinity."""
    p = np.clip(np.asarray(predictions, np.float64), _SMALLEST, 1 - _SMALLEST)
    losses: npt.NDArray[np.float64] = -(labels * np.log(p) + (1 - labels) * np.log1p(-p))
    return losses


def log_loss(labels: Floats, predictions: Floats) -> float:
    """Mean negative log-likelihood, in nats."""
    return float(log_losses(labels, predictions).mean())


def brier(labels: Floats, predictions: Floats) -> float:
    """Mean squared error of a probability."""
    return float(np.mean(_squared_errors(labels, predictions)))


def rmse(labels: Floats, predictions: Floats) -> float:
    """Root mean squared error, in label units."""
    return float(np.sqrt(np.mean(_squared_errors(labels, predictions))))


def mae(labels: Floats, predictions: Floats) -> float:
    """Mean absolute error, in label units."""
    return float(np.mean(_absolute_errors(labels, predictions)))


def bias(labels: Floats, predictions: Floats) -> float:
    """Mean of prediction minus label, in label units."""
    return float(np.mean(_errors(labels, predictions)))


def calibration_table(labels: Floats, predictions: Floats, bins: int = CALIBRATION_BINS) -> npt.NDArray[np.float64]:
    """Make bins of equal counts by prediction: an array (bins, 3) of mean prediction, mean label and rows.

    Rows with the same prediction count with their common mean label. Otherwise their order would matter where a boundary
    divides them.
    """
    _, value, counts = np.unique(predictions, return_inverse=True, return_counts=True)
    labels = (np.bincount(value, weights=labels) / counts)[value]
    order = np.argsort(predictions, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return np.array([[predictions[part].mean(), labels[part].mean(), len(part)] for part in parts], np.float64)


def calibration_error(labels: Floats, predictions: Floats, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error: the mean distance of mean label from mean prediction, over bins of equal counts.

    For a probability it lies between 0 and 1. For a regression it is in label units.
    """
    predicted, found, rows = calibration_table(np.asarray(labels, np.float64), predictions, bins).T
    return float(np.average(np.abs(predicted - found), weights=rows))


def _squared_errors(labels: Floats, predictions: Floats) -> npt.NDArray[np.float64]:
    return np.square(_errors(labels, predictions))


def _absolute_errors(labels: Floats, predictions: Floats) -> npt.NDArray[np.float64]:
    return np.abs(_errors(labels, predictions))


def _errors(labels: Floats, predictions: Floats) -> npt.NDArray[np.float64]:
    return np.asarray(predictions, np.float64) - labels


# Metrics that are means over rows. ``rmse`` is the root of one.
ROW_LOSSES = {
    "log_loss": log_losses,
    "brier": _squared_errors,
    "rmse": _squared_errors,
    "mae": _absolute_errors,
    "bias": _errors,
}
METRICS: dict[Task, dict[str, Callable[[Floats, Floats], float]]] = {
    "binary": {"auc": auc, "log_loss": log_loss, "brier": brier, "calibration_error": calibration_error},
    "regression": {"rmse": rmse, "mae": mae, "bias": bias, "calibration_error": calibration_error},
}


def evaluate(task: Task, labels: Floats, predictions: Floats) -> dict[str, float]:
    """Compute every metric of a task. An undefined metric is NaN (no rows, or AUC with one class)."""
    if len(labels) == 0:
        return dict.fromkeys(METRICS[task], float("nan"))
    return {name: metric(labels, predictions) for name, metric in METRICS[task].items()}


def by_group(
    task: Task, labels: Floats, predictions: Floats, groups: npt.NDArray[np.object_], min_rows: int = 1
) -> dict[str, dict[str, float]]:
    """Evaluate each distinct value of ``groups``, largest group first. Each has ``rows`` and ``label_mean`` too.

    Args:
        task: Decides which metrics.
        labels: Shape (n,).
        predictions: Shape (n,).
        groups: Shape (n,), text. None becomes ``(missing)``.
        min_rows: Smaller groups are left out.
    """
    values = pa.array(groups)
    known = (values.cast(pa.string()) if pa.types.is_null(values.type) else values).dictionary_encode()
    texts = [*(str(value) for value in known.dictionary.to_pylist()), "(missing)"]
    names, of_text = np.unique(np.array(texts, object), return_inverse=True)
    codes = of_text[known.indices.fill_null(len(texts) - 1).to_numpy()]
    counts = np.bincount(codes, minlength=len(names))
    found = {}
    for code in np.argsort(-counts, kind="stable"):
        if counts[code] >= max(min_rows, 1):
            rows = codes == code
            own = evaluate(task, labels[rows], predictions[rows])
            found[str(names[code])] = {"rows": float(counts[code]), "label_mean": float(labels[rows].mean()), **own}
    return found


# ---- metrics of resampled blocks ----


def block_metric(metric: str, labels: Floats, predictions: Floats, blocks: npt.NDArray[np.int64]) -> Resampled:
    """Make a function from block weights (samples, blocks) to the metric of each resample (samples,).

    Sums over rows are computed once for each block (for AUC: each pair of blocks). A resample is then a small matrix
    product, so a thousand resamples take milliseconds.

    Args:
        metric: A metric of either task.
        labels: Shape (n,).
        predictions: Shape (n,).
        blocks: Shape (n,), the block of each row, 0 to blocks - 1.
    """
    count = int(blocks.max()) + 1
    if metric == "auc":
        return _block_auc(labels, predictions, blocks, count)
    if metric == "calibration_error":
        return _block_calibration(labels, predictions, blocks, count)
    sums = np.asarray(np.bincount(blocks, ROW_LOSSES[metric](labels, predictions), count), np.float64)
    return resampled_mean(metric, sums, np.bincount(blocks, minlength=count).astype(np.float64))


def resampled_mean(metric: str, sums: npt.NDArray[np.float64], rows: npt.NDArray[np.float64]) -> Resampled:
    """Make the function of a metric that is a mean over rows, from its sum and the rows of each block."""

    def mean(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        values = (weights @ sums) / (weights @ rows)
        return np.sqrt(values) if metric == "rmse" else values

    return mean


def resampled_auc(
    positives: npt.NDArray[np.float64], negatives: npt.NDArray[np.float64], won: npt.NDArray[np.float64]
) -> Resampled:
    """Make the function of AUC: won pairs over pairs. Both are bilinear in the weights of the blocks.

    Args:
        positives: Of each block.
        negatives: Of each block.
        won: Pairs of a positive of a block and a negative of another, shape (blocks, blocks). Ties count half.
    """

    def area(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        pairs = (weights @ positives) * (weights @ negatives)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.einsum("sb,bc,sc->s", weights, won, weights, optimize=True) / pairs

    return area


def resampled_calibration(by_bin: npt.NDArray[np.float64], rows: npt.NDArray[np.float64]) -> Resampled:
    """Make the function of the calibration error, from each block's sum of prediction minus label in each bin."""

    def error(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = np.abs(weights @ by_bin).sum(axis=1) / (weights @ rows)
        return found

    return error


def _block_auc(labels: Floats, predictions: Floats, blocks: npt.NDArray[np.int64], count: int) -> Resampled:
    """Count the pairs that each pair of blocks won."""
    positive = labels > 0.5
    positives = np.bincount(blocks[positive], minlength=count).astype(np.float64)
    negatives = np.bincount(blocks[~positive], minlength=count).astype(np.float64)
    won = np.zeros((count, count))
    for block in range(count):
        lower = np.sort(predictions[~positive & (blocks == block)])
        wins = np.searchsorted(lower, predictions[positive], "left") + np.searchsorted(
            lower, predictions[positive], "right"
        )
        won[:, block] = np.bincount(blocks[positive], weights=wins / 2, minlength=count)
    return resampled_auc(positives, negatives, won)


def _block_calibration(labels: Floats, predictions: Floats, blocks: npt.NDArray[np.int64], count: int) -> Resampled:
    """Compute the calibration error in the bins of all rows. Rows with the same prediction share their bins alike."""
    _, value, repeats = np.unique(predictions, return_inverse=True, return_counts=True)
    order = np.argsort(predictions, kind="stable")
    errors, rows = _errors(labels, predictions), np.bincount(blocks, minlength=count).astype(np.float64)
    by_bin = np.empty((count, CALIBRATION_BINS))
    for number, part in enumerate(np.array_split(order, CALIBRATION_BINS)):
        share = np.bincount(value[part], minlength=len(repeats)) / repeats
        by_bin[:, number] = np.bincount(blocks, weights=errors * share[value], minlength=count)
    return resampled_calibration(by_bin, rows)


def worse_than(metric: str, value: float, floor: float) -> bool:
    """Say whether a metric lies on the wrong side of a floor."""
    return value < floor if metric in HIGHER_IS_BETTER else value > floor


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Return the entries that a metric store can keep: no NaN, no infinity."""
    return {name: float(value) for name, value in values.items() if np.isfinite(value)}
