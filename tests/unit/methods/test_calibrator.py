"""A calibration step keeps the order of predictions, and makes them mean what they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from contrail.methods.calibrator import Beta, Calibrator, fit_calibrator
from contrail.methods.metrics import calibration_error

KINDS = ("isotonic", "beta")
ROWS = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=2, max_size=60)


def overconfident(rows: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that are too near to 0 and 1."""
    rng = np.random.default_rng(0)
    odds = rng.normal(-1, 1, rows)
    labels = (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(float)
    return labels, 1 / (1 + np.exp(-2 * odds))


@pytest.mark.parametrize("kind", KINDS)
def test_it_makes_probabilities_of_other_rows_mean_what_they_say(kind):
    labels, predictions = overconfident()
    half = np.arange(len(labels)) % 2 == 0
    step = fit_calibrator(kind, labels[half], predictions[half])
    assert calibration_error(labels[~half], predictions[~half]) > 0.08
    assert calibration_error(labels[~half], step.apply(predictions[~half])) < 0.02
    assert step.rows == 10_000


@pytest.mark.parametrize("kind", KINDS)
@given(rows=ROWS, asked=st.lists(st.floats(0, 1, width=32), min_size=2, max_size=20))
def test_a_higher_prediction_is_never_lower_after_it(kind, rows, asked):
    predictions, labels = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], float)
    labels[:2] = 0, 1  # both classes
    found = fit_calibrator(kind, labels, predictions).apply(np.sort(np.array(asked)))
    assert (np.diff(found) >= 0).all()
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_one_row_gets_the_same_bits_as_many_also_after_json(kind):
    labels, predictions = overconfident(2_000)
    step = fit_calibrator(kind, labels, predictions)
    again = TypeAdapter(Calibrator).validate_json(step.model_dump_json())
    assert again == step
    alone = np.concatenate([again.apply(one) for one in np.split(predictions, len(predictions))])
    assert alone.tobytes() == step.apply(predictions).tobytes()


def test_isotonic_is_never_certain_and_beta_never_turns_the_order():
    labels, predictions = np.repeat([0.0, 1.0], 50), np.repeat([0.1, 0.9], 50)
    assert fit_calibrator("isotonic", labels, predictions).apply(np.array([0.0, 1.0])).tolist() == [1 / 102, 101 / 102]
    turned = fit_calibrator("beta", 1 - labels, predictions)
    assert isinstance(turned, Beta)
    assert (turned.a, turned.b) == (0, 0)
    assert turned.apply(np.array([0.1, 0.9])) == pytest.approx([0.5, 0.5])
