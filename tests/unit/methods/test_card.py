"""Rows that a GPU explains, on processors: the same calls of XGBoost. benchmarks/gpu.py has the rest, with a GPU."""

from dataclasses import replace

import numpy as np
import pytest
import xgboost
from tests.unit.methods.test_model_package import made_features, package  # noqa: F401 - a fixture

from contrail.errors import SpecError
from contrail.methods import card
from contrail.methods.offset import Offset


def test_without_a_gpu_auto_takes_processors_and_cuda_is_refused(monkeypatch):
    monkeypatch.setattr(card, "gpu_memory", lambda: 0)
    assert card.device("auto", 10**9) == card.device("cpu", 1) == "cpu"
    with pytest.raises(SpecError, match=r"score\.device is cuda, but no CUDA device"):
        card.device("cuda", 10**9)


def test_with_a_gpu_auto_takes_it_when_the_rows_are_enough(monkeypatch):
    monkeypatch.setattr(card, "gpu_memory", lambda: 2**30)
    assert [card.device("auto", rows) for rows in (99_999, 100_000)] == ["cpu", "cuda"]
    assert (card.device("cuda", 1), card.device("cpu", 10**9)) == ("cuda", "cpu")


def test_predictions_and_contributions_are_those_of_the_package(package):  # noqa: F811
    matrix = package.matrix(made_features())
    predicted, contributions = card.explain(package, matrix, "cpu")
    np.testing.assert_array_equal(predicted, package.predict_matrix(matrix))
    np.testing.assert_array_equal(contributions, package.contributions_matrix(matrix))


def test_no_rows_need_no_card(package):  # noqa: F811
    predicted, contributions = card.explain(package, package.matrix(made_features().slice(0, 0)))
    assert (predicted.shape, contributions.shape) == ((0,), (0, 5))


def test_rows_whose_contributions_do_not_add_up_are_explained_by_processors(package, monkeypatch):  # noqa: F811
    matrix = package.matrix(made_features())
    expected = package.contributions_matrix(matrix)
    right, asked = xgboost.Booster.predict, []

    def wrong_somewhere(booster, data, **options):
        found = right(booster, data, **options)
        if options.get("pred_contribs"):
            asked.append(data.num_row())
            if len(asked) == 1:
                found[[3, 77], 1] += 0.01
        return found

    monkeypatch.setattr(xgboost.Booster, "predict", wrong_somewhere)
    _, contributions = card.explain(package, matrix, "cpu")
    np.testing.assert_array_equal(contributions, expected)
    assert asked == [400, 2]


def test_an_offset_counts_on_a_card_too(package):  # noqa: F811
    offset = Offset(feature="late_rate_7d", weight=0.5, task="binary", centre=-1.0)
    own = replace(package, card=package.card.model_copy(update={"offset": offset}))
    matrix = own.matrix(made_features())
    predicted, contributions = card.explain(own, matrix, "cpu")
    np.testing.assert_array_equal(predicted, own.predict_matrix(matrix))
    np.testing.assert_array_equal(contributions, own.contributions_matrix(matrix))
