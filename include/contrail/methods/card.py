"""Predictions and exact contributions from a GPU, where one pays.

Each row's contributions are added up. With XGBoost 3.2 the sums of some rows miss the prediction, when a model splits by
categories of many values (benchmarks/RESULTS.md). The processors explain those rows again. Reasons do not belong here.
"""

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from contrail.errors import SpecError
from contrail.methods.encoding import feature_types
from contrail.methods.model_package import ModelPackage
from contrail.methods.trainer import Device, WantedDevice, gpu_memory

# Below this number a GPU does not pay: its libraries take seconds to start.
_ROWS_FOR_CUDA = 100_000
# A sum may miss the margin by this share of it, or by this much where the margin is below 1. Rounding alone misses by 1e-6.
_MISS = 1e-4
# One batch at a time is on the card. Others are encoded, or become reasons, meanwhile.
_CARD = Lock()


def device(wanted: WantedDevice, rows: int) -> Device:
    """Choose where rows are scored. ``auto`` takes a GPU if there is one and the rows are enough for it to pay.

    Raises:
        SpecError: when ``wanted`` is ``cuda`` and there is no GPU.
    """
    if wanted == "cpu" or (wanted == "auto" and rows < _ROWS_FOR_CUDA):
        return "cpu"
    if gpu_memory():
        return "cuda"
    if wanted == "cuda":
        raise SpecError("score.device is cuda, but no CUDA device is visible here. Use auto or cpu.")
    return "cpu"


def explain(
    package: ModelPackage, matrix: npt.NDArray[np.float32], kind: str = "cuda"
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Predict rows that ``package.matrix`` has encoded, and explain them.

    Args:
        package: The model.
        matrix: Shape (rows, features).
        kind: XGBoost's device. Tests without a GPU say ``cpu``.

    Returns:
        The predictions as ``package.predict_matrix`` gives them, and the contributions as ``contributions_matrix`` does. They
        differ from those of processors by rounding, about 1e-6.
    """
    import xgboost

    if not len(matrix):
        return package.predict_matrix(matrix), package.contributions_matrix(matrix)
    own = package.card
    kinds = feature_types(own.features, own.categories)
    with _CARD:
        booster = package.booster_on(kind)
        starts = package.starts(matrix)
        data = xgboost.DMatrix(
            _to_card(kind)(matrix), base_margin=starts, feature_names=list(own.features), feature_types=kinds
        )
        predicted = package.calibrated(np.asarray(booster.predict(data), np.float64))
        margins = booster.predict(data, output_margin=True)
        contributions: npt.NDArray[np.float32] = booster.predict(data, pred_contribs=True)
    missed = np.abs(contributions.sum(axis=1, dtype=np.float64) - margins) > _MISS * np.maximum(1, np.abs(margins))
    contributions = package.attributed(contributions, starts)
    if missed.any():
        contributions[missed] = package.contributions_matrix(matrix[missed])
    return predicted, contributions


def _to_card(kind: str) -> Callable[[Any], Any]:
    """Return the function that copies rows to the card. Without CuPy, XGBoost copies them itself, and is slower."""
    if kind == "cuda":
        try:
            import cupy
        except ImportError:
            pass
        else:
            return cupy.asarray  # type: ignore[no-any-return]
    return np.asarray
