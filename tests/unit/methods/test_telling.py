"""What a column alone tells: all that a leak tells, and nothing where there is nothing."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrail.methods.telling import alone, decided, strength

ROWS = 2_000
RNG = np.random.default_rng(3)
days = np.repeat(np.arange("2024-01-01", "2024-01-21", dtype="datetime64[D]"), 100)
fit, check = days < np.datetime64("2024-01-14"), days >= np.datetime64("2024-01-15")
DELAY = RNG.normal(0, 30, ROWS)
LATE = (DELAY > 15).astype(float)


def of(values: object, labels: np.ndarray = LATE, task: str = "binary") -> float:
    return alone(task, pa.chunked_array([pa.array(values)]), labels, fit, check)  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [LATE, DELAY, -DELAY, [str(late) for late in LATE], np.where(DELAY > 15, np.nan, 1)])
def test_a_column_that_is_the_label_tells_all(values: object) -> None:
    assert of(values) > 0.999


def test_noise_tells_nothing_even_if_each_value_occurs_once() -> None:
    assert of(RNG.normal(size=ROWS)) == pytest.approx(0.5, abs=0.08)
    assert of([f"row {number}" for number in range(ROWS)]) == 0.5
    assert of(np.full(ROWS, np.nan)) == 0.5


def test_a_number_whose_extremes_tell_is_no_noise() -> None:
    far = (np.abs(DELAY) > 30).astype(float)
    assert of(DELAY, far) > 0.97


def test_a_number_is_told_by_its_rank() -> None:
    assert of(np.exp(DELAY / 30), DELAY, "regression") > 0.999
    assert abs(of(RNG.normal(size=ROWS), DELAY, "regression")) < 0.1


def test_what_does_not_differ_has_no_strength() -> None:
    assert np.isnan(strength("binary", np.ones(3), np.arange(3.0)))
    assert np.isnan(strength("regression", np.arange(3.0), np.ones(3)))


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.3, 0.6]))
def test_nulls_by_chance_decide_nothing(seed: int, share: float) -> None:
    missing = np.random.default_rng(seed).random(ROWS) < share
    assert decided(missing, LATE > 0.5, days) is None


@given(st.integers(60, 400), st.booleans(), st.booleans())
def test_nulls_that_only_one_outcome_has_are_found(rows: int, yes: bool, side: bool) -> None:
    outcome = RNG.random(ROWS) < 0.4
    own = np.flatnonzero(outcome == yes)
    missing = np.zeros(ROWS, bool)
    # Not all of them: else the values that are there would decide the other outcome as well.
    missing[own[:: max(2, len(own) // rows)]] = True
    assert decided(missing == side, outcome, days) == (side, yes, int(missing.sum()))


def test_a_few_rows_and_a_single_day_prove_nothing() -> None:
    late = LATE > 0.5
    few = np.zeros(ROWS, bool)
    first = days == days[0]
    few[np.flatnonzero(late)[:29]] = True
    assert decided(few, late, days) is None
    assert decided(first, np.where(first, False, late), days) is None
