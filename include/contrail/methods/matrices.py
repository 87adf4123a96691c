"""Training rows as XGBoost's binned matrices, filled in batches.

On a CPU the bins, and so the trees, are the same bytes for any number of batches and any place of the bins. We measured
this with XGBoost 3.2 on up to 1.3 million rows; a test asserts it for fewer. For a GPU, the batches go to its memory, and
XGBoost makes the bins there. Growing trees does not belong here.
"""

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contrail.config.model_spec import TrainSpec
from contrail.config.spec import PipelineSpec
from contrail.errors import SpecError
from contrail.interrupts import held_back
from contrail.methods.encoded_rows import EncodedRows, EveryRow, Matrix, Rows
from contrail.methods.encoding import category_table, feature_types
from contrail.methods.offset import Offset

if TYPE_CHECKING:
    import xgboost

Floats = npt.NDArray[np.float64]
Batch = tuple[Matrix, npt.NDArray[np.float32]]
Move = Callable[[Any], Any]
_ROUNDING = 1e-6  # of a share in float32


@dataclass(frozen=True)
class TrainingRows:
    """Labelled rows, encoded.

    With ``external_memory`` the bins are kept elsewhere: on disk for a CPU, in the host's memory for a GPU. With
    ``on_card`` the encoded rows stay in a GPU's memory too, so they go there once. ``offset`` says where scores start.
    """

    encoded: EncodedRows
    labels: npt.NDArray[np.float32]
    external_memory: bool = False
    on_card: bool = False
    offset: Offset | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The features, in the model's order."""
        return self.encoded.names

    @property
    def categories(self) -> Mapping[str, list[str]]:
        """The values of each category, in the order of their codes."""
        return self.encoded.categories

    def batches(self, chosen: Rows, move: Move | None = None) -> Iterator[Batch]:
        """Yield the chosen rows in order, in batches: encoded rows of shape (rows, names), and their labels.

        Rows without a gap between them are not copied. ``move`` brings rows to a GPU.
        """
        for number, own in self.encoded.chosen(chosen):
            labels = self.labels[self.encoded.blocks[number].start + own]
            near = slice(own[0], own[-1] + 1) if own[-1] - own[0] + 1 == len(own) else own
            if move and self.on_card:
                where = move(near) if isinstance(near, np.ndarray) else near
                yield self.encoded.moved(number, move)[where], labels
            else:
                rows = self.encoded.read(number)[near]
                yield move(rows) if move else rows, labels

    def blinded(self, matrix: Any) -> Any:
        """Return encoded rows as trees learn from them, wherever these are: without the value that scores start from.

        Trees that saw it would tell the days of the window apart by it, and take back what the start gives.
        """
        if self.offset is None:
            return matrix
        blind = matrix.copy()
        blind[:, self.names.index(self.offset.feature)] = np.nan
        return blind

    def starts(self, matrix: Any) -> npt.NDArray[np.float32] | None:
        """Return where the scores of encoded rows start, wherever these are. None: the trees have one start for all."""
        if self.offset is None:
            return None
        values = matrix[:, self.names.index(self.offset.feature)]
        return self.offset.starts(values.get() if hasattr(values, "get") else values)


def encode_window(
    rows: pa.Table,
    spec: PipelineSpec,
    external_memory_rows: int = 0,
    categories: Mapping[str, list[str]] | None = None,
) -> TrainingRows:
    """Prepare training rows in memory for XGBoost. Scores start where the spec says, unless ``categories`` are given.

    Args:
        rows: The features and ``label``.
        spec: Says which columns are features, and which of them are categories.
        external_memory_rows: With more rows than this, the bins are kept outside memory; 0 means never.
        categories: The values of each category. By default those that the rows have.

    Raises:
        DataError: as ``encode``.
    """
    if own := categories is None:
        categories = category_table(rows, spec.features.categories)
    encoded = EncodedRows(tuple(spec.features.columns), categories)
    encoded.append(rows)
    labels = rows.column("label").to_numpy().astype(np.float32)
    found = TrainingRows(encoded, labels, 0 < external_memory_rows < rows.num_rows)
    return with_offset(found, spec.train, spec.task) if own else found


def with_offset(
    rows: TrainingRows, train: TrainSpec, task: Literal["binary", "regression"], window: Rows | None = None
) -> TrainingRows:
    """Let the scores of a training window's rows start where the settings say. Without ``window`` all rows are the window.

    Raises:
        SpecError: for a binary task whose offset is no share: the feature has values below 0 or above 1.
    """
    if train.offset is None:
        return replace(rows, offset=None)
    if task == "binary":
        _check_share(rows, train.offset.feature)
    labels = rows.labels if window is None else rows.labels[window[slice(0, len(rows.labels))]]
    return replace(rows, offset=Offset.of(train.offset, task, float(labels.mean(dtype=np.float64))))


def _check_share(rows: TrainingRows, name: str) -> None:
    """A value outside would count as the nearest share, so every minute above 1 would be the same."""
    at = rows.names.index(name)
    values = np.concatenate([np.empty(0), *(matrix[:, at] for matrix, _ in rows.batches(EveryRow()))])
    low, high = (float(find(values, initial=0.0, where=~np.isnan(values))) for find in (np.min, np.max))
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise SpecError(
            f"train.offset: '{name}' has values from {low:g} to {high:g} in the training window, and a binary task starts from "
            "a share between 0 and 1. Name a feature that is a share of the label (divide a percentage by 100 in "
            "features.py), or leave out train.offset."
        )


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
    with held_back() as check:
        if not rows.external_memory:
            return xgboost.QuantileDMatrix(_iterator(rows, chosen, check, move=move), **options)
        room = rows.encoded.room
        # A disk, where the room has one: a machine's own folder for temporary files may lie in its memory.
        place = Path(tempfile.mkdtemp(prefix="contrail-bins-", dir=room.folder if room else None))
        bins = _iterator(rows, chosen, check, str(place / "bins"), move)
        matrix = xgboost.ExtMemQuantileDMatrix(bins, **options)
        weakref.finalize(matrix, shutil.rmtree, place, ignore_errors=True)
        return matrix


def predict(booster: "xgboost.Booster", rows: TrainingRows, chosen: Rows) -> Floats:
    """Predict the chosen rows, in order, as ``predicted`` does."""
    return np.concatenate([np.empty(0), *predicted(booster, rows, chosen)])


def predicted(booster: "xgboost.Booster", rows: TrainingRows, chosen: Rows) -> Iterator[Floats]:
    """Predict the chosen rows in their batches. This machine's processors always do it, even after training on a GPU."""
    booster.set_param({"device": "cpu"})
    for matrix, _ in rows.batches(chosen):
        yield booster.inplace_predict(matrix, base_margin=rows.starts(matrix)).astype(np.float64)


def _iterator(
    rows: TrainingRows,
    chosen: Rows,
    check: Callable[[], None],
    cache_prefix: str | None = None,
    move: Move | None = None,
) -> "xgboost.DataIter":
    import xgboost

    class Batches(xgboost.DataIter):
        def next(self, input_data: Callable[..., None]) -> bool:
            check()
            for matrix, labels in self.left:
                input_data(
                    data=rows.blinded(matrix),
                    label=labels,
                    base_margin=rows.starts(matrix),
                    feature_names=list(rows.names),
                    feature_types=feature_types(rows.names, rows.categories),
                )
                return True
            return False

        def reset(self) -> None:
            self.left = rows.batches(chosen, move)

    batches = Batches(cache_prefix)
    batches.reset()
    return batches


def _to_gpu(needed: bool) -> Move | None:
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
