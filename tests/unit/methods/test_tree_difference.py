"""Where two models part."""

import re

import numpy as np
import pytest
import xgboost

from contrail.methods.tree_difference import first_difference


def model(rounds: int = 4, depth: int = 2, base: float = 0.5) -> bytes:
    rows = np.arange(400, dtype=np.float32).reshape(200, 2) % 37
    data = xgboost.DMatrix(
        rows, label=((rows[:, 0] > 12) ^ (rows[:, 1] > 20)).astype(float), feature_names=["near", "far"]
    )
    params = {"max_depth": depth, "base_score": base, "nthread": 1, "objective": "binary:logistic"}
    return bytes(xgboost.train(params, data, rounds).save_raw("ubj"))


@pytest.fixture(scope="module")
def four() -> bytes:
    return model()


def test_the_same_bytes_have_no_difference(four: bytes) -> None:
    assert first_difference(four, model()) == ""


def test_the_first_tree_and_node_that_differ_are_named(four: bytes) -> None:
    assert re.fullmatch(
        r"tree 0 of 4 is the first that differs: node 0 splits far at \d+, gain [\d.]+; it splits far at \d+, gain [\d.]+ now",
        first_difference(four, model(base=0.4)),
    )
    deeper = first_difference(four, model(depth=1))
    assert re.search(r"differs: node 1 splits near at \d+, gain [\d.]+; it is a leaf of -?[\d.]+ now", deeper), deeper


def test_more_trees_are_told_by_their_number(four: bytes) -> None:
    assert first_difference(four, model(5)) == "the first 4 trees are the same, but there were 4 and now there are 5"


def test_bytes_beside_the_trees_are_told_by_their_place(four: bytes) -> None:
    patched = four[:-2] + bytes([four[-2] + 1]) + four[-1:]  # the last number of XGBoost's version
    assert first_difference(four, patched) == (
        f"all 4 trees are the same; the files differ beside them, first at byte {len(four) - 2:,}"
    )


def test_a_file_that_is_no_model_has_its_first_other_byte(four: bytes) -> None:
    assert first_difference(four, four[:300]).startswith(
        "byte 300 is the first that differs; the trees cannot be read here: "
    )
