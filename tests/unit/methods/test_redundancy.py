import numpy as np
import pytest

from contrail.methods.redundancy import clusters, likeness

ROWS = 400


@pytest.fixture
def columns():
    draw = np.random.default_rng(0)
    first = draw.normal(size=ROWS)
    category = draw.integers(0, 4, ROWS)
    return {
        "first": first,
        "rising": np.exp(first),  # the same ranks
        "falling": -first,
        "apart": draw.normal(size=ROWS),
        "constant": np.ones(ROWS),
        "holes": np.where(draw.random(ROWS) < 0.5, np.nan, first),
        "empty": np.full(ROWS, np.nan),
        "category": category.astype(float),
        "renamed": np.array([7.0, 3.0, 1.0, 0.0])[category],
        "other": draw.integers(0, 4, ROWS).astype(float),
    }


CATEGORIES = {"category", "renamed", "other"}


@pytest.fixture
def alike(columns):
    matrix = np.column_stack(list(columns.values())).astype(np.float32)
    found = likeness(matrix, [name in CATEGORIES for name in columns])
    names = list(columns)
    return lambda one, other: found[names.index(one), names.index(other)]


def test_numbers_in_the_same_or_the_opposite_order_are_alike(alike):
    assert alike("first", "rising") == pytest.approx(1.0, abs=1e-6)
    assert alike("first", "falling") == pytest.approx(1.0, abs=1e-6)
    assert alike("first", "apart") < 0.15


def test_rows_without_a_value_do_not_count(alike):
    assert alike("first", "holes") > 0.99
    assert alike("first", "empty") == 0
    assert alike("empty", "empty") == 1, "a column is like itself"


def test_a_constant_is_like_nothing(alike):
    assert alike("first", "constant") == 0
    assert alike("constant", "holes") == 0


def test_rank_correlations_are_those_of_scipy(columns, alike):
    from scipy.stats import spearmanr

    expected = abs(spearmanr(columns["first"], columns["apart"]).statistic)
    assert alike("first", "apart") == pytest.approx(expected, abs=1e-6)


def test_a_category_is_compared_with_categories_alone(alike):
    assert alike("category", "renamed") == pytest.approx(1.0)
    assert alike("category", "other") < 0.2
    assert alike("category", "first") == 0


def test_a_cluster_has_only_columns_that_are_all_alike():
    """Complete linkage: a chain of neighbours is not one cluster."""
    chain = np.eye(4)
    for one, other, value in ((0, 1, 0.95), (1, 2, 0.93), (0, 2, 0.5)):
        chain[one, other] = chain[other, one] = value
    assert clusters(chain) == [(0, 1)]
    chain[0, 2] = chain[2, 0] = 0.91
    assert clusters(chain) == [(0, 1, 2)]
    assert clusters(np.eye(3)) == []
