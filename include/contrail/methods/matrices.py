"""Training rows as XGBoost's binned matrices. They are filled from Arrow in batches, so memory never holds all floats.

On a CPU the bins, and so the trees, are the same bytes for any number of batches and any place of the bins. We measured
this with XGBoost 3.2 on up to 1.3 million rows; a test asserts it for fewer. For a GPU, the batches go to its memory, and
XGBoost makes the bins there. Growing trees does not belong here.
"""

import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contrail.config.spec import PipelineSpec
from contrail.errors import SpecError
from contrail.methods.encoding import category_table, encode, feature_types

if TYPE_CHECKING:
    import xgboost

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]
Batch = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

# Rows in a batch. With 60 features a batch takes 240 MB.
_BATCH_ROWS = 1_000_000


@dataclass(frozen=True)
class TrainingRows:
    """Labelled rows, with the names and categories of their features.

    With ``external_memory`` the bins are kept elsewhere: on disk for a CPU, in the host's memory for a GPU.
    """

    features: pa.Table
    labels: npt.NDArray[np.float32]
    names: tuple[str, ...]
    categories: Mapping[str, list[str]]
    external_memory: bool = False

    def batches(self, chosen: Rows) -> Iterator[Batch]:
        """Yield the chosen rows in order, in batches: encoded rows of shape (rows, names), and their labels.

        Raises:
            DataError: as ``encode``.
        """
        positions = np.flatnonzero(chosen)
        for start in range(0, len(positions), _BATCH_ROWS):
            own = positions[start : start + _BATCH_ROWS]
            # Without a gap between them rows are not copied. Taking rows from a table of many chunks is slow.
            batch = self.features.slice(own[0], own[-1] - own[0] + 1)
            if len(batch) > len(own):
                batch = batch.take(pa.array(own - own[0]))
            yield encode(batch, self.names, self.categories), self.labels[own]


def encode_window(rows: pa.Table, spec: PipelineSpec, external_memory_rows: int = 0) -> TrainingRows:
    """Prepare training rows for XGBoost, with the category tables that these rows define.

    Args:
        rows: The features and ``label``.
        spec: Says which columns are features, and which of them are categories.
        external_memory_rows: With more rows than this, the bins are kept outside memory; 0 means never.
    """
    names = tuple(spec.features.columns)
    categories = category_table(rows, spec.features.categories)
    labels = rows.column("label").to_numpy().astype(np.float32)
    external = 0 < external_memory_rows < rows.num_rows
    return TrainingRows(rows.select(names), labels, names, categories, external)


def binned(
    rows: TrainingRows, chosen: Rows, params: Mapping[str, Any], reference: "xgboost.DMatrix | None" = None
) -> "xgboost.QuantileDMatrix | xgboost.ExtMemQuantileDMatrix":
    """Bin the chosen rows as ``params`` say, or with the bins of ``reference``.

    Raises:
        SpecError: when the bins must stay outside a GPU, and the package for this is not installed.
    """
    import xgboost

    options = {
        "nthread": params["nthread"],
        "max_bin": params.get("max_bin", 256),
        "enable_categorical": True,
        "ref": reference,
    }
    move = _to_gpu(needed=rows.external_memory) if params.get("device") == "cuda" else None
    if not rows.external_memory:
        return xgboost.QuantileDMatrix(_iterator(rows, chosen, move=move), **options)
    place = tempfile.TemporaryDirectory(prefix="contrail-bins-")
    matrix = xgboost.ExtMemQuantileDMatrix(_iterator(rows, chosen, str(Path(place.name) / "bins"), move), **options)
    weakref.finalize(matrix, place.cleanup)
    return matrix


def predict(booster: "xgboost.Booster", rows: TrainingRows, chosen: Rows) -> Floats:
    """Predict the chosen rows, in order. This machine's processors always do it, even after training on a GPU."""
    booster.set_param({"device": "cpu"})
    parts = [booster.inplace_predict(matrix) for matrix, _ in rows.batches(chosen)]
    return np.concatenate(parts or [np.empty(0)]).astype(np.float64)


def _iterator(
    rows: TrainingRows, chosen: Rows, cache_prefix: str | None = None, move: Callable[[Any], Any] | None = None
) -> "xgboost.DataIter":
    import xgboost

    # XGBoost goes through the batches four times. A single batch is kept.
    kept = list(rows.batches(chosen)) if np.count_nonzero(chosen) <= _BATCH_ROWS else None

    class Batches(xgboost.DataIter):
        def next(self, input_data: Callable[..., None]) -> bool:
            for matrix, labels in self.left:
                input_data(
                    data=move(matrix) if move else matrix,
                    label=labels,
                    feature_names=list(rows.names),
                    feature_types=feature_types(rows.names, rows.categories),
                )
                return True
            return False

        def reset(self) -> None:
            self.left = iter(kept) if kept is not None else rows.batches(chosen)

    batches = Batches(cache_prefix)
    batches.reset()
    return batches


def _to_gpu(needed: bool) -> Callable[[Any], Any] | None:
    """Return the function that copies rows to the GPU, so that the bins are made there.

    Without CuPy there is none, and XGBoost makes the bins on the CPU. For bins outside a GPU it reads only CuPy's arrays.
    """
    try:
        import cupy
    except ImportError as error:
        if not needed:
            return None
        raise SpecError(
            "The bins must stay outside the GPU's memory: it is too small for them, or there are more rows than "
            "train.external_memory_rows. That needs the package cupy, which is not installed here. The job image has it. On "
            "your own machine install requirements-gpu.txt, or train on a CPU (train.device: cpu)."
        ) from error
    return cupy.asarray  # type: ignore[no-any-return]
