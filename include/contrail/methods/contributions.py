"""Exact SHAP values of a whole table of rows, fast enough to explain every prediction that is published.

XGBoost's ``pred_contribs`` walks every tree for every row: 0.4 ms a row here, two minutes of CPU for a year of flights.
What it finds for a row depends only on which of a tree's tests the row passes. So a tree is cut into blocks of at most
seven tests, with the tests above them; a block's contributions are tabulated once for every pattern of passed tests,
and a row costs some look-ups. The result is that of path-dependent TreeSHAP (Lundberg et al. 2020), whose weights are
integrals of products over a path's features, here by Gauss-Legendre quadrature, which is exact for polynomials.

The first rows are compared with XGBoost's own values each time; on any difference, and for trees of a kind that this
does not know, XGBoost's are used. What is done with contributions does not belong here.
"""

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import xgboost

Floats = npt.NDArray[np.float32]
Bits = npt.NDArray[np.bool_]
Codes = Mapping[int, npt.NDArray[np.int64]]

_BLOCK_HEIGHT = 3
# Deeper paths would need tables of more than 2 ** (8 - 3 + 7) patterns.
_DEEPEST = 8
# Rows that are worked on at a time: their columns and contributions stay near the processor.
_CHUNK_ROWS = 16_384
_BATCH_BYTES = 64 * 2**20
_CHECKED_ROWS = 16
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class _Test:
    """A node's test, as one comparison whose outcome is true to the left, or to the right if ``inverted``.

    A missing value compares false, so the comparison is turned around where missing goes left. ``lefts`` has the
    outcome by the code of a category, after that of missing.
    """

    feature: int
    threshold: np.float32
    inverted: bool
    lefts: Bits | None

    def outcome(self, columns: Floats, codes: Codes) -> Bits:
        if self.lefts is not None:
            return self.lefts[np.minimum(codes[self.feature], len(self.lefts) - 1)]
        column = columns[self.feature]
        found: Bits = column >= self.threshold if self.inverted else column < self.threshold
        return found


@dataclass(frozen=True)
class _Step:
    """A test on the way to a leaf: the outcome that leads there, and the share of training rows that had it."""

    node: int
    outcome: bool
    share: float


Path = tuple[_Step, ...]


@dataclass(frozen=True)
class _Block:
    """Contributions of a block's leaves, ``table[k, pattern]`` to ``features[k]``; bit i is the test of ``nodes[i]``."""

    nodes: tuple[int, ...]
    features: tuple[int, ...]
    table: Floats


@dataclass(frozen=True)
class _Tree:
    """A tree as its tests and blocks."""

    tests: dict[int, _Test]
    blocks: tuple[_Block, ...]


def contributions(booster: "xgboost.Booster", matrix: Floats, kinds: list[str]) -> Floats:
    """SHAP values of each feature and, last, the mean score: shape (rows, features + 1). They sum to the raw score.

    Args:
        booster: Trees with one output.
        matrix: Shape (rows, features) with a row or more; categories as codes, missing as NaN.
        kinds: XGBoost's type of each column: ``c`` for a category.
    """
    expected = _by_xgboost(booster, matrix[:_CHECKED_ROWS], kinds)
    trees = _read(booster)
    if trees is not None:
        found = _by_tables(trees, matrix, kinds)
        found[:, -1] = expected[0, -1]
        if np.abs(found[: len(expected)] - expected).max() <= _TOLERANCE:
            return found
    return _by_xgboost(booster, matrix, kinds)


def _by_xgboost(booster: "xgboost.Booster", matrix: Floats, kinds: list[str]) -> Floats:
    import xgboost

    data = xgboost.DMatrix(matrix, feature_names=booster.feature_names, feature_types=kinds)
    found: Floats = booster.predict(data, pred_contribs=True)
    return found


def _by_tables(trees: list[dict[str, Any]], matrix: Floats, kinds: list[str]) -> Floats:
    found = np.zeros((len(matrix), matrix.shape[1] + 1), np.float32)
    categories = [position for position, kind in enumerate(kinds) if kind == "c"]
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    with ThreadPoolExecutor(threads) as pool:
        for batch in _batches(trees):
            chunks = [slice(start, start + _CHUNK_ROWS) for start in range(0, len(matrix), _CHUNK_ROWS)]
            work = [pool.submit(_add, batch, matrix[chunk], categories, found[chunk]) for chunk in chunks]
            for done in work:
                done.result()
    return found


def _add(batch: list[_Tree], matrix: Floats, categories: list[int], found: Floats) -> None:
    """Add the trees' contributions of some rows to ``found``, in place."""
    columns = np.ascontiguousarray(matrix.T)
    codes = {f: np.nan_to_num(columns[f], nan=-1).astype(np.int64) + 1 for f in categories}
    parts = np.zeros_like(columns)
    for tree in batch:
        outcomes = {node: test.outcome(columns, codes).astype(np.uint16) for node, test in tree.tests.items()}
        for block in tree.blocks:
            pattern = np.zeros(len(matrix), np.uint16)
            for bit, node in enumerate(block.nodes):
                pattern |= outcomes[node] << np.uint16(bit)
            for feature, values in zip(block.features, block.table, strict=True):
                parts[feature] += values[pattern]
    found[:, :-1] += parts.T


# ---- trees to tables ----


def _read(booster: "xgboost.Booster") -> list[dict[str, Any]] | None:
    """The trees as XGBoost saves them; None for a kind of model that is left to XGBoost."""
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    model = learner["gradient_booster"]
    if model["name"] != "gbtree" or int(learner["learner_model_param"]["num_target"]) > 1:
        return None
    trees: list[dict[str, Any]] = model["model"]["trees"]
    deepest = max(_height(tree, 0) for tree in trees)
    return trees if deepest <= _DEEPEST else None


def _height(tree: Mapping[str, Any], node: int) -> int:
    left = tree["left_children"][node]
    return 0 if left < 0 else 1 + max(_height(tree, left), _height(tree, tree["right_children"][node]))


def _batches(trees: list[dict[str, Any]]) -> Iterator[list[_Tree]]:
    """Trees with their tables, as many at a time as memory is spared for."""
    batch: list[_Tree] = []
    size = 0
    for tree in trees:
        batch.append(_tabulate(tree))
        size += sum(block.table.nbytes for block in batch[-1].blocks)
        if size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _tabulate(tree: Mapping[str, Any]) -> _Tree:
    tests = {node: _test(tree, node) for node, left in enumerate(tree["left_children"]) if left >= 0}
    if not tests:  # a tree of one leaf is all mean
        return _Tree({}, ())
    leaves = dict(_leaves(tree, tests, 0, ()))
    tables = {leaf: _leaf_table(tree["split_conditions"][leaf], path, tests) for leaf, path in leaves.items()}
    blocks = [_block({leaf: leaves[leaf] for leaf in group}, tables, tests) for group in _groups(tree, 0)]
    return _Tree(tests, tuple(blocks))


def _test(tree: Mapping[str, Any], node: int) -> _Test:
    feature, missing_left = tree["split_indices"][node], bool(tree["default_left"][node])
    threshold = np.float32(tree["split_conditions"][node])
    if not tree["split_type"][node]:
        return _Test(feature, threshold, missing_left, None)
    position = tree["categories_nodes"].index(node)
    start, size = tree["categories_segments"][position], tree["categories_sizes"][position]
    right = tree["categories"][start : start + size]
    # After missing, one entry a code, and one more for all codes above, which go left as those not listed do.
    lefts = np.ones(max(right) + 3, bool)
    lefts[0] = missing_left
    lefts[np.array(right) + 1] = False
    return _Test(feature, threshold, False, lefts)


def _leaves(tree: Mapping[str, Any], tests: Mapping[int, _Test], node: int, path: Path) -> Iterator[tuple[int, Path]]:
    """Each leaf below a node with the way to it."""
    if node not in tests:
        yield node, path
        return
    cover = tree["sum_hessian"]
    for child, left in ((tree["left_children"][node], True), (tree["right_children"][node], False)):
        share = cover[child] / cover[node] if cover[node] else 0.5
        step = _Step(node, left != tests[node].inverted, share)
        yield from _leaves(tree, tests, child, (*path, step))


def _groups(tree: Mapping[str, Any], node: int) -> Iterator[list[int]]:
    """The leaves of each highest subtree that is low enough to be a block."""
    if _height(tree, node) <= _BLOCK_HEIGHT:
        yield list(_below(tree, node))
        return
    for child in (tree["left_children"][node], tree["right_children"][node]):
        yield from _groups(tree, child)


def _below(tree: Mapping[str, Any], node: int) -> Iterator[int]:
    if tree["left_children"][node] < 0:
        yield node
        return
    yield from _below(tree, tree["left_children"][node])
    yield from _below(tree, tree["right_children"][node])


def _path_features(path: Path, tests: Mapping[int, _Test]) -> list[int]:
    return list(dict.fromkeys(tests[step.node].feature for step in path))


def _leaf_table(value: float, path: Path, tests: Mapping[int, _Test]) -> npt.NDArray[np.float64]:
    """A leaf's contribution to each feature of its path, for each set of features whose tests are passed.

    Shape (features, 2 ** features). With z the share of training rows that pass a feature's tests and o whether the
    row does, feature j gets value * (o_j - z_j) * integral over t from 0 to 1 of the product of z_k + (o_k - z_k) t
    over the others.
    """
    features = _path_features(path, tests)
    count = len(features)
    share = np.ones(count)
    for step in path:
        share[features.index(tests[step.node].feature)] *= step.share
    passes = (np.arange(2**count) >> np.arange(count)[:, None]) & 1
    difference = passes - share[:, None]
    points, weights = _quadrature(count)
    factors = share[:, None, None] + difference[:, :, None] * points
    others = np.stack([np.delete(factors, j, axis=0).prod(axis=0) for j in range(count)])
    table: npt.NDArray[np.float64] = value * difference * (others @ weights)
    return table


@cache
def _quadrature(count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Points and weights on 0 to 1 that integrate polynomials of degree ``count`` - 1 exactly."""
    points, weights = np.polynomial.legendre.leggauss((count + 1) // 2)
    return (points + 1) / 2, weights / 2


def _block(
    leaves: Mapping[int, Path], tables: Mapping[int, npt.NDArray[np.float64]], tests: Mapping[int, _Test]
) -> _Block:
    """Join the leaves' tables under the patterns of all their tests."""
    nodes = list(dict.fromkeys(step.node for path in leaves.values() for step in path))
    features = list(dict.fromkeys(tests[node].feature for node in nodes))
    passed = (np.arange(2 ** len(nodes)) >> np.arange(len(nodes))[:, None] & 1).astype(bool)
    table = np.zeros((len(features), passed.shape[1]))
    for leaf, path in leaves.items():
        own = _path_features(path, tests)
        agrees = np.ones((len(own), passed.shape[1]), bool)
        for step in path:
            agrees[own.index(tests[step.node].feature)] &= passed[nodes.index(step.node)] == step.outcome
        which = (agrees << np.arange(len(own))[:, None]).sum(axis=0)
        table[[features.index(feature) for feature in own]] += tables[leaf][:, which]
    return _Block(tuple(nodes), tuple(features), table.astype(np.float32))
