from contextlib import contextmanager
from threading import Event

import numpy as np
import pytest
from tests.unit.methods.test_fit import TRAIN, made_rows

from contrail.methods.fit import Method, booster_params, fit_trees
from contrail.methods.held_bins import HeldBins, StoppedError
from contrail.methods.trainer import ThisProcess


class Counted(ThisProcess):
    """The trainer of this process; it counts how often bins are made and let go."""

    def __init__(self) -> None:
        self.made = self.gone = 0

    @contextmanager
    def holding(self, *given, **named):
        self.made += 1
        with super().holding(*given, **named) as grow:
            yield grow
        self.gone += 1


ROWS = made_rows()
FIRST = np.arange(2000) < 1500
PARTS = {"fit": FIRST, "validation": ~FIRST}


def model(trainer, **changed) -> bytes:
    train = TRAIN.model_copy(update={"params": {**TRAIN.params, **changed}})
    method = Method(train, booster_params("binary", train), trainer)
    return fit_trees(ROWS, **PARTS, method=method, window=FIRST).model


def test_trees_are_those_of_the_trainer_itself_and_rows_are_binned_once():
    counted = Counted()
    held = HeldBins(8, Event(), counted)
    for depth in (2, 3, 2):
        assert model(held, max_depth=depth) == model(ThisProcess(), max_depth=depth)
    assert counted.made == 2  # the rows to fit with those that stop, and the rows of the refit


def test_other_bins_are_made_for_another_number_of_bins():
    counted = Counted()
    held = HeldBins(8, Event(), counted)
    assert model(held, max_bin=16) == model(ThisProcess(), max_bin=16)
    assert model(held, max_bin=64) == model(ThisProcess(), max_bin=64)
    assert counted.made == 4


def test_what_was_used_longest_ago_goes_first_and_all_at_the_end():
    counted = Counted()
    held = HeldBins(2, Event(), counted)
    for bins in (16, 64, 16):
        model(held, max_bin=bins)
    assert (counted.made, counted.gone) == (6, 4)
    held.close()
    assert counted.gone == 6


def test_a_training_ends_at_the_next_round_when_somebody_wants_no_more():
    stop = Event()
    held = HeldBins(2, stop)
    model(held)
    stop.set()
    with pytest.raises(StoppedError):
        model(held)
