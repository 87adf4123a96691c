"""Where the bytes of two models part: the first tree and node that differ, or the first byte."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from contrail.methods.xgboost_loading import load_xgboost


def first_difference(one: bytes, other: bytes) -> str:
    """Say in a sentence where a model's file first differs from another one. Empty for the same bytes."""
    if one == other:
        return ""
    place = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    try:
        trees, others = _trees(one), _trees(other)
    except ValueError as error:  # the class of XGBoost's errors; a file of a later version, perhaps
        return f"byte {place:,} is the first that differs; the trees cannot be read here: {str(error).splitlines()[0]}"
    for number, (tree, made) in enumerate(zip(trees, others, strict=False)):
        if tree != made:
            return f"tree {number} of {len(trees)} is the first that differs: {_of_nodes(tree, made)}"
    if len(trees) != len(others):
        same = min(len(trees), len(others))
        return f"the first {same} trees are the same, but there were {len(trees)} and now there are {len(others)}"
    return f"all {len(trees)} trees are the same; the files differ beside them, first at byte {place:,}"


def _trees(model: bytes) -> list[Any]:
    load_xgboost()
    import xgboost

    booster = xgboost.Booster(model_file=bytearray(model))
    return [json.loads(text) for text in booster.get_dump(dump_format="json", with_stats=True)]


def _of_nodes(tree: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    for node, made in zip(_nodes(tree), _nodes(other), strict=False):
        if _own(node) != _own(made):
            return f"node {node['nodeid']} {_told(node)}; it {_told(made)} now"
    return "it has another number of nodes"


def _nodes(tree: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield tree
    for child in tree.get("children", ()):
        yield from _nodes(child)


def _own(node: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in node.items() if name != "children"}


def _told(node: Mapping[str, Any]) -> str:
    if "leaf" in node:
        return f"is a leaf of {node['leaf']}"
    return f"splits {node['split']} at {node['split_condition']}, gain {node.get('gain')}"
