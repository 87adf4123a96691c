from datetime import date

import numpy as np
import pytest

from contrail.errors import SpecError
from contrail.methods.splits import out_of_time_window, split_window
from contrail.partitions import Partitions


def test_the_embargo_lies_between_fit_and_validation():
    split = split_window(Partitions.parse("2024-01-01", "2024-01-10"), validation_days=3, embargo_days=2)
    assert str(split.fit) == "2024-01-01..2024-01-05"
    assert str(split.validation) == "2024-01-08..2024-01-10"


def test_rows_of_the_embargo_are_in_neither_part():
    split = split_window(Partitions.parse("2024-01-01", "2024-01-10"), validation_days=3, embargo_days=2)
    days = np.arange("2024-01-01", "2024-01-11", dtype="datetime64[D]")
    fit, validation = split.masks(days)
    assert fit.tolist() == [True] * 5 + [False] * 5
    assert validation.tolist() == [False] * 7 + [True] * 3


def test_a_window_too_short_to_split_is_refused_with_its_numbers():
    with pytest.raises(SpecError, match=r"has 5 partitions; 3 for validation and 2 of embargo"):
        split_window(Partitions.parse("2024-01-01", "2024-01-05"), validation_days=3, embargo_days=2)
    assert len(split_window(Partitions.parse("2024-01-01", "2024-01-06"), 3, 2).fit) == 1


def test_the_gate_window_begins_after_training_and_embargo():
    assert str(out_of_time_window(date(2024, 1, 31), embargo_days=2, days=7)) == "2024-02-03..2024-02-09"
