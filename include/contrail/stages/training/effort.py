"""What a training takes of a machine: time, and busy seconds of processors and GPU. No library measures here."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from contrail.methods.energy import TrainingCost
from contrail.stages.training.base import Trained


class Effort:
    """The effort since it was made, in this process."""

    def __init__(self) -> None:
        self._started, self._busy = time.monotonic(), time.process_time()
        self._fitting = 0.0

    @contextmanager
    def fitting(self) -> Iterator[None]:
        """Trees grow meanwhile. Where they grow on a GPU, it counts as busy."""
        started = time.monotonic()
        yield
        self._fitting += time.monotonic() - started

    def cost(self, trained: Trained) -> TrainingCost:
        """The effort until now, with the factors of the environment."""
        return TrainingCost(
            seconds=round(time.monotonic() - self._started, 3),
            core_seconds=round(time.process_time() - self._busy, 3),
            gpu_seconds=round(self._fitting, 3) if trained.fitted.device == "cuda" else 0.0,
            workers=trained.fitted.workers,
            factors=trained.training.run.settings.energy,
        )
