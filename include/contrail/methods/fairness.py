"""Whether a model treats groups alike: rates, errors and calibration of each group, and how far they are from all others.

Every number has an interval over days. A difference compares a group with the rest on the same resampled days. What is
fair enough is a person's decision, and no bound is known here.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from contrail.methods.intervals import CONFIDENCE, FEWEST_DAYS, SAMPLES, Days, day_weights, interval_of
from contrail.methods.metrics import Floats, Task, block_metric
from contrail.methods.segments import Chosen, Group, Grouped, Measured, Texts, grouped

# What each measure means, for people. Those of a binary task are at the threshold of its decisions.
MEANINGS: Mapping[str, str] = {
    "label_mean": "mean label",
    "prediction_mean": "mean prediction",
    "flagged": "share flagged",
    "false_positives": "flagged, of those without the label",
    "false_negatives": "not flagged, of those with the label",
    "precision": "with the label, of those flagged",
    "bias": "prediction minus label",
    "mae": "mean absolute error",
    "calibration_error": "calibration error",
}


class _Ratio(NamedTuple):
    """A rate over rows: the sum of ``part`` over the sum of ``whole``, each of shape (rows,)."""

    part: npt.NDArray[np.float64]
    whole: npt.NDArray[np.float64]


def fairness_by_group(
    task: Task, labels: Floats, predictions: Floats, days: Days, threshold: float, column: str, names: Texts
) -> Grouped:
    """Measure the groups of a sensitive column, and their differences from the rest.

    Args:
        task: Decides which rates.
        labels: Shape (n,).
        predictions: Shape (n,).
        days: Shape (n,), the partition of each row.
        threshold: The prediction from which on a row is flagged (binary tasks).
        column: Name of the column.
        names: Shape (n,), the group of each row. None is a group of its own.
    """
    known, blocks = np.unique(days, return_inverse=True)
    weights = day_weights(len(known), SAMPLES if len(known) >= FEWEST_DAYS else 0)
    ratios = _ratios(task, np.asarray(labels, np.float64), np.asarray(predictions, np.float64), threshold)

    def values(ratio: _Ratio, rows: Chosen) -> npt.NDArray[np.float64]:
        part, whole = (np.bincount(blocks[rows], side[rows], len(known)) for side in ratio)
        with np.errstate(divide="ignore", invalid="ignore"):
            found: npt.NDArray[np.float64] = (weights @ part) / (weights @ whole)
        return found

    def measure(name: str, rows: Chosen) -> Group:
        own = {measure: values(ratio, rows) for measure, ratio in ratios.items()}
        rest = {measure: own[measure] - values(ratio, ~rows) for measure, ratio in ratios.items()}
        _, own_blocks = np.unique(days[rows], return_inverse=True)
        error = block_metric("calibration_error", labels[rows], predictions[rows], own_blocks)
        number = int(own_blocks.max()) + 1
        own["calibration_error"] = error(day_weights(number, SAMPLES if number >= FEWEST_DAYS else 0))
        return Group(name=name, rows=int(rows.sum()), measures=_defined(own), differences=_defined(rest))

    return grouped(column, names, measure)


def _ratios(
    task: Task, labels: npt.NDArray[np.float64], predictions: npt.NDArray[np.float64], threshold: float
) -> dict[str, _Ratio]:
    one = np.ones(len(labels))
    means = {"label_mean": _Ratio(labels, one), "prediction_mean": _Ratio(predictions, one)}
    errors = predictions - labels
    if task == "regression":
        return {**means, "bias": _Ratio(errors, one), "mae": _Ratio(np.abs(errors), one)}
    flagged = (predictions >= threshold).astype(np.float64)
    return {
        **means,
        "bias": _Ratio(errors, one),
        "flagged": _Ratio(flagged, one),
        "false_positives": _Ratio(flagged * (1 - labels), 1 - labels),
        "false_negatives": _Ratio((1 - flagged) * labels, labels),
        "precision": _Ratio(flagged * labels, flagged),
    }


def _defined(found: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, Measured]:
    """The measures that are defined on all rows. A resample in which one is not, as of no flagged row, does not count."""
    return {
        name: Measured.of(float(values[0]), interval_of(values, CONFIDENCE) if len(values) > 1 else None)
        for name, values in found.items()
        if np.isfinite(values[0])
    }
