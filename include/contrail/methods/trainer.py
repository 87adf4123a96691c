"""Where trees are grown: in this process, by one contract with the machines that grow them together.

What is grown, for how many rounds and from which checkpoint belongs to fit and boosting.
"""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Protocol

from contrail.errors import SpecError
from contrail.methods.boosting import Grow, History, Params
from contrail.methods.matrices import Rows, TrainingRows, binned

if TYPE_CHECKING:
    import xgboost
    from xgboost.callback import TrainingCallback

Device = Literal["cpu", "cuda"]
WantedDevice = Literal["auto", "cpu", "cuda"]

# Below this a GPU does not pay: a year of 337,000 rows trains in seconds on two cores.
_ROWS_FOR_CUDA = 1_000_000
# Gradients, once more as whole numbers, prediction, label, and the node that a row is in.
_BYTES_BESIDE_BINS = 64
# The rest is for histograms, for what is there twice for a moment, and for whoever else uses the GPU.
_SHARE_OF_GPU = 0.5


class Trainer(Protocol):
    """Machines that grow trees: the same rows and parameters give the same trees on the same number of CPUs."""

    @property
    def workers(self) -> int:
        """How many processes grow each tree together."""

    def device(self, wanted: WantedDevice, rows: int) -> Device:
        """What each of them grows trees on. ``auto`` is a GPU when there is one and the rows are enough for it to pay.

        Raises:
            SpecError: when a GPU is asked for and there is none.
        """

    def holding(
        self, rows: TrainingRows, chosen: Rows, params: Params, check: Rows | None = None
    ) -> AbstractContextManager[Grow]:
        """The chosen rows where trees are grown, as long as the context is open.

        Args:
            rows: The whole training window.
            chosen: Which rows are learned from.
            params: As the trees will be grown; what concerns the bins must stay.
            check: Which rows each round is checked by.
        """


class ThisProcess:
    """This process alone, on its processors or on a GPU of this machine."""

    workers = 1

    def device(self, wanted: WantedDevice, rows: int) -> Device:
        """As ``Trainer.device``."""
        if wanted == "cpu" or (wanted == "auto" and rows < _ROWS_FOR_CUDA):
            return "cpu"
        if _gpu_memory():
            return "cuda"
        if wanted == "cuda":
            raise SpecError("train.device is cuda, but no CUDA device is visible here. Use auto or cpu.")
        return "cpu"

    @contextmanager
    def holding(self, rows: TrainingRows, chosen: Rows, params: Params, check: Rows | None = None) -> Iterator[Grow]:
        """As ``Trainer.holding``; bins that a GPU's memory is too small for are kept outside it, unasked."""
        import xgboost

        if params.get("device") == "cuda" and _gpu_bytes(rows, params) > _SHARE_OF_GPU * _gpu_memory():
            rows = replace(rows, external_memory=True)
        data = binned(rows, chosen, params)
        evals = [] if check is None else [(data, "fit"), (binned(rows, check, params, data), "validation")]

        def grow(
            params: Params, rounds: int, model: bytes | None, callbacks: "Sequence[TrainingCallback]"
        ) -> tuple["xgboost.Booster", History]:
            seen: History = {}
            booster = xgboost.train(
                params,
                data,
                rounds,
                evals=evals,
                evals_result=seen,
                verbose_eval=False,
                xgb_model=bytearray(model) if model else None,
                callbacks=callbacks,
            )
            return booster, seen

        yield grow


def _gpu_bytes(rows: TrainingRows, params: Params) -> float:
    """Memory of a GPU that rows take while trees grow.

    XGBoost packs a value into as many bits as the number of a bin among all columns' bins has; fewer when no value is
    missing.
    """
    bits = (len(rows.names) * int(params.get("max_bin", 256))).bit_length()
    return len(rows.labels) * (len(rows.names) * bits / 8 + _BYTES_BESIDE_BINS)


def _gpu_memory() -> int:
    """Bytes of the first GPU that the driver shows; 0 without one. XGBoost has no call for it."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    gpu, found = ctypes.c_int(0), ctypes.c_size_t(0)
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(gpu), 0):
        return 0
    if driver.cuDeviceTotalMem_v2(ctypes.byref(found), gpu):
        return 0
    return found.value
