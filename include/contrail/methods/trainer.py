"""The trainers: one interface for all machines that grow trees, and the trainer of this process.

``fit`` and ``boosting`` decide on rows, rounds and checkpoints.
"""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Protocol

from contrail.errors import SpecError
from contrail.methods.boosting import Grow, History, Params
from contrail.methods.encoded_rows import Rows
from contrail.methods.matrices import TrainingRows, binned

if TYPE_CHECKING:
    import xgboost
    from xgboost.callback import TrainingCallback

Device = Literal["cpu", "cuda"]
WantedDevice = Literal["auto", "cpu", "cuda"]

# Below this number a GPU does not pay. A year of 337,000 rows trains in seconds on two cores.
_ROWS_FOR_CUDA = 1_000_000
# XGBoost 3.2 keeps 5.3 where some values are missing, 2.7 where none is, and needs 2 more while it makes the bins.
_CPU_BYTES_PER_VALUE = 7
# Bytes per row: gradients, gradients as whole numbers, prediction, label, and the row's node.
_BYTES_BESIDE_BINS = 64
# The rest is for histograms, temporary copies and other users of the GPU.
_SHARE_OF_GPU = 0.5


class Trainer(Protocol):
    """Machines that grow trees. On the same number of CPUs, the same rows and parameters give the same trees."""

    @property
    def workers(self) -> int:
        """The number of processes that grow each tree together."""

    def device(self, wanted: WantedDevice, rows: int) -> Device:
        """Choose the device of each process. ``auto`` takes a GPU if there is one and the rows are enough for it to pay.

        Raises:
            SpecError: when ``wanted`` is ``cuda`` and there is no GPU.
        """

    def holding(
        self, rows: TrainingRows, chosen: Rows, params: Params, check: Rows | None = None
    ) -> AbstractContextManager[Grow]:
        """Hold the chosen rows on the machines while the context is open.

        Args:
            rows: The whole training window.
            chosen: The rows to learn from.
            params: The parameters of the trees. Those of the bins must not change later.
            check: The rows for validation after each round.
        """


class ThisProcess:
    """The trainer of this process alone, on its processors or on a GPU of this machine."""

    workers = 1

    def device(self, wanted: WantedDevice, rows: int) -> Device:
        """Choose as ``Trainer.device`` does."""
        if wanted == "cpu" or (wanted == "auto" and rows < _ROWS_FOR_CUDA):
            return "cpu"
        if gpu_memory():
            return "cuda"
        if wanted == "cuda":
            raise SpecError("train.device is cuda, but no CUDA device is visible here. Use auto or cpu.")
        return "cpu"

    @contextmanager
    def holding(self, rows: TrainingRows, chosen: Rows, params: Params, check: Rows | None = None) -> Iterator[Grow]:
        """Hold rows as ``Trainer.holding`` does. Bins that do not fit into the memory that they may take stay outside."""
        import xgboost

        rows = _placed(rows, params)
        held = [binned(rows, chosen, params)]
        if check is not None:
            held.append(binned(rows, check, params, held[0]))

        def grow(
            params: Params, rounds: int, model: bytes | None, callbacks: "Sequence[TrainingCallback]"
        ) -> tuple["xgboost.Booster", History]:
            seen: History = {}
            booster = xgboost.train(
                params,
                held[0],
                rounds,
                evals=[] if check is None else [*zip(held, ("fit", "validation"), strict=True)],
                evals_result=seen,
                verbose_eval=False,
                xgb_model=bytearray(model) if model else None,
                callbacks=callbacks,
            )
            return booster, seen

        try:
            yield grow
        finally:
            held.clear()  # the caller may keep ``grow`` while the next bins are made


def _placed(rows: TrainingRows, params: Params) -> TrainingRows:
    """Decide where bins and, on a GPU, encoded rows are kept."""
    if params.get("device") != "cuda":
        room = rows.encoded.room
        outside = room is not None and _cpu_bytes(rows) > room.bins
        return replace(rows, external_memory=rows.external_memory or outside)
    bins, whole = _gpu_bytes(rows, params), _SHARE_OF_GPU * gpu_memory()
    outside = rows.external_memory or bins > whole
    return replace(rows, external_memory=outside, on_card=not outside and bins + rows.encoded.nbytes <= whole)


def _cpu_bytes(rows: TrainingRows) -> int:
    """Estimate the memory, in bytes, of bins on a CPU."""
    return len(rows.labels) * len(rows.names) * _CPU_BYTES_PER_VALUE


def _gpu_bytes(rows: TrainingRows, params: Params) -> float:
    """Estimate the GPU memory, in bytes, that rows take while trees grow.

    XGBoost numbers the bins of all columns together. It packs a value into as many bits as the largest number has, and into
    fewer when no value is missing.
    """
    bits = (len(rows.names) * int(params.get("max_bin", 256))).bit_length()
    return len(rows.labels) * (len(rows.names) * bits / 8 + _BYTES_BESIDE_BINS)


def gpu_memory() -> int:
    """Return the memory of the first visible GPU in bytes, or 0 without one. XGBoost has no call for it."""
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
