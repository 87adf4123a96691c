"""A trainer that keeps bins for the next training on the same rows, so that trials of a search bin each fold once.

What a training reads and how it grows belongs to ``trainer`` and ``fit``.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

from contrail.methods.boosting import Grow, History, Params
from contrail.methods.encoded_rows import Rows
from contrail.methods.matrices import TrainingRows
from contrail.methods.trainer import Device, ThisProcess, Trainer, WantedDevice

if TYPE_CHECKING:
    import xgboost
    from xgboost.callback import TrainingCallback

# What the bins depend on, beside the rows.
_OF_BINS = ("max_bin", "device", "nthread")


class StoppedError(Exception):
    """Somebody wants no more rounds."""


class _Held(NamedTuple):
    bins: ExitStack
    grow: Grow
    rows: tuple[object, object]  # a key is of their ids, which are theirs only as long as they live


class HeldBins:
    """The trainer of this process, with the bins of the last trainings. It is for one thread at a time.

    Args:
        most: How many sets of rows it holds. The one that was used longest ago goes first.
        stop: Ends a training at its next round, with ``StoppedError``.
        trainer: Who makes the bins and grows the trees.
    """

    workers = 1

    def __init__(self, most: int, stop: Event, trainer: Trainer | None = None) -> None:
        self._most, self._stop, self._trainer = most, stop, trainer or ThisProcess()
        self._held: dict[tuple[object, ...], _Held] = {}

    def device(self, wanted: WantedDevice, rows: int) -> Device:
        """Choose as ``Trainer.device`` does."""
        return self._trainer.device(wanted, rows)

    @contextmanager
    def holding(self, rows: TrainingRows, chosen: Rows, params: Params, check: Rows | None = None) -> Iterator[Grow]:
        """Hold rows as ``Trainer.holding`` does. The same objects ``chosen`` and ``check`` mean the same rows."""
        key = (id(chosen), id(check), *(params.get(name) for name in _OF_BINS))
        if key in self._held:
            held = self._held.pop(key)
        else:
            while len(self._held) >= self._most:
                self._held.pop(next(iter(self._held))).bins.close()
            bins = ExitStack()
            held = _Held(bins, bins.enter_context(self._trainer.holding(rows, chosen, params, check)), (chosen, check))
        self._held[key] = held

        def grow(
            params: Params, rounds: int, model: bytes | None, callbacks: "Sequence[TrainingCallback]"
        ) -> tuple["xgboost.Booster", History]:
            return held.grow(params, rounds, model, [*callbacks, _stop_at_once(self._stop)])

        yield grow

    def close(self) -> None:
        """Let all bins go."""
        while self._held:
            self._held.popitem()[1].bins.close()


def _stop_at_once(stop: Event) -> "TrainingCallback":
    import xgboost

    class StopAtOnce(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            if stop.is_set():
                raise StoppedError
            return False

    return StopAtOnce()
