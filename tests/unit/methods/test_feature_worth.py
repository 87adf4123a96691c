import numpy as np
import pytest

from contrail.methods.feature_worth import Judged, permuted_sums, pooled_spread
from contrail.methods.metrics import log_loss, rmse

DAYS, EACH = 12, 40
ROWS = DAYS * EACH
BLOCKS = np.repeat(np.arange(DAYS), EACH)
DRAW = np.random.default_rng(0)
MATRIX = np.asfortranarray(DRAW.normal(size=(ROWS, 3)), np.float32)
LABELS = (MATRIX[:, 0] + DRAW.normal(size=ROWS) > 0).astype(float)


def chance(matrix):
    """It uses the first column alone."""
    return 1 / (1 + np.exp(-1.7 * matrix[:, 0].astype(float)))


@pytest.fixture
def judged():
    return Judged("binary", LABELS, BLOCKS)


def test_the_loss_is_that_of_all_rows(judged):
    assert judged.metric == "log_loss"
    assert judged.loss(judged.sums(chance(MATRIX))) == pytest.approx(log_loss(LABELS, chance(MATRIX)))
    lengths = Judged("regression", MATRIX[:, 1].astype(float), BLOCKS)
    assert lengths.metric == "rmse"
    assert lengths.loss(lengths.sums(np.zeros(ROWS))) == pytest.approx(rmse(MATRIX[:, 1], np.zeros(ROWS)))


def test_a_feature_that_the_model_needs_costs_when_it_is_shuffled_and_another_costs_nothing(judged):
    usual = judged.sums(chance(MATRIX))
    needed = judged.added(usual, permuted_sums(judged, chance, MATRIX, [0], 3, 0))
    other = judged.added(usual, permuted_sums(judged, chance, MATRIX, [1], 3, 0))
    assert needed.low > 0.1
    assert (other.estimate, other.low, other.high) == (0, 0, 0)


def test_columns_are_shuffled_together_and_the_rows_are_as_they_were(judged):
    both = np.asfortranarray(np.column_stack([MATRIX[:, 0], MATRIX[:, 0]]))
    before = both.copy()
    difference = lambda matrix: 1 / (1 + np.exp(-(matrix[:, 0] - matrix[:, 1]).astype(float)))  # noqa: E731
    usual = judged.sums(difference(both))
    assert np.allclose(permuted_sums(judged, difference, both, [0, 1], 2, 0), usual)
    assert not np.allclose(permuted_sums(judged, difference, both, [0], 2, 0), usual)
    assert np.array_equal(both, before)


def test_rows_are_as_they_were_although_the_model_fails(judged):
    before = MATRIX.copy()

    def broken(matrix):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        permuted_sums(judged, broken, MATRIX, [0], 2, 0)
    assert np.array_equal(MATRIX, before)


def test_an_interval_is_paired_by_day(judged):
    """Days differ much, but the loss of each rises alike: so the interval is narrow."""
    usual = np.linspace(1, 20, DAYS) * EACH
    found = judged.added(usual, usual + 0.1 * EACH)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))


def test_noise_of_seeds_widens_an_interval_around_the_same_estimate(judged):
    usual = np.ones(DAYS) * EACH
    found = judged.added(usual, usual + 0.1 * EACH, noise=0.05)
    assert found.estimate == pytest.approx(0.1)
    assert found.low == pytest.approx(0.1 - 1.96 * 0.05, abs=0.01)
    assert found.high == pytest.approx(0.1 + 1.96 * 0.05, abs=0.01)


def test_the_spread_of_seeds_is_pooled_over_groups_with_means_of_their_own():
    assert pooled_spread([[0.1, 0.3], [5.0, 5.2]]) == pytest.approx(np.std([0.1, 0.3], ddof=1))
    assert pooled_spread([[0.0, 0.0, 0.0], [1.0, 3.0]]) == pytest.approx(np.sqrt(2 / 3))
    assert pooled_spread([[1.0], [2.0]]) == pooled_spread([]) == 0
