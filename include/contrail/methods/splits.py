"""Splits by time. A random split would let a model see the day that it is tested on."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from contrail.errors import SpecError
from contrail.partitions import Partitions


@dataclass(frozen=True)
class Split:
    """A training window: ``fit``, then an unused gap, then ``validation``."""

    fit: Partitions
    validation: Partitions

    def masks(self, days: npt.NDArray[np.datetime64]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return which rows belong to ``fit`` and which to ``validation``, by their partition."""
        return within(days, self.fit), within(days, self.validation)


def within(days: npt.NDArray[np.datetime64], partitions: Partitions) -> npt.NDArray[np.bool_]:
    """Return which days lie in a range."""
    return (days >= np.datetime64(partitions.start)) & (days <= np.datetime64(partitions.end))


def split_window(window: Partitions, validation_days: int, embargo_days: int) -> Split:
    """Cut a training window into fit, embargo and validation, in the order of time.

    The embargo keeps rows whose labels became known within the validation window out of the fit.

    Raises:
        SpecError: when nothing would be left to fit.
    """
    validation = Partitions(window.end - timedelta(days=validation_days - 1), window.end)
    last = validation.start - timedelta(days=embargo_days + 1)
    if last < window.start:
        raise SpecError(
            f"training window {window} has {len(window)} partitions; {validation_days} for validation and "
            f"{embargo_days} of embargo leave none to fit. Choose a longer window, or lower train.validation_days."
        )
    return Split(Partitions(window.start, last), validation)


def out_of_time_window(training_end: date, embargo_days: int, days: int) -> Partitions:
    """Return the ``days`` partitions after a training window and its embargo."""
    start = training_end + timedelta(days=embargo_days + 1)
    return Partitions(start, start + timedelta(days=days - 1))
