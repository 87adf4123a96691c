"""Counterfactuals: the smallest changes of one or two features that move a score to the other side of a threshold.

A feature only takes values that its model's training window had: the ends of its bins there, and its known categories. How
large a change is counts in shares of the window's rows, so that features in different units compare. Reading rows does not
belong here.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from contrail.methods.drift_reference import NumberReference
from contrail.methods.model_package import ModelPackage

Value = float | str
FEATURES, VALUES = 12, 16  # of which pairs are tried: those that move the score most alone, and so many values of each
_OUTSIDE = 3  # bins below the usual range; one less lies above


class Step(NamedTuple):
    """A feature with another value. ``size`` is the share of the training window's rows between the two, or 1."""

    feature: str
    value: Value
    code: float
    size: float


class Flip(NamedTuple):
    """Changes that together move the score to the other side."""

    steps: tuple[Step, ...]
    score: float

    @property
    def size(self) -> float:
        """The sizes of the changes, added up."""
        return sum(step.size for step in self.steps)


def steps_of(package: ModelPackage, name: str, value: Value | None) -> list[Step]:
    """List the values that a feature had in the training window, other than its own, the nearest first.

    Args:
        package: The model, with its reference.
        name: The feature, as it is called today.
        value: Its value in the row; None where it is unknown.
    """
    known, original = (
        package.reference.features.get(name),
        dict(zip(package.features, package.card.features, strict=True)),
    )
    if known is None:
        return []
    if not isinstance(known, NumberReference):
        codes = package.card.categories[original[name]]
        seen = (one for one, count in zip(known.values, known.histogram, strict=False) if count and one in codes)
        return [Step(name, one, float(codes.index(one)), 1.0) for one in seen if one != value]
    if not known.edges:
        return []
    ends = [end for end, count in zip(known.edges, known.histogram, strict=False) if count]
    low, high = _lowest(known.edges), known.edges[-_OUTSIDE]
    usual = sorted({low, *(end for end in ends if low <= end <= high)})
    ranks = np.cumsum(known.histogram[:-1]) / max(1, sum(known.histogram[:-1]))

    def rank(number: float) -> float:
        return float(ranks[min(int(np.searchsorted(known.edges, number, side="left")), len(ranks) - 1)])

    own = None if value is None else float(value)
    found = [Step(name, end, end, 1.0 if own is None else abs(rank(end) - rank(own))) for end in usual if end != own]
    return sorted(found, key=lambda step: (step.size, abs(step.code - (own or 0.0))))


def _lowest(edges: Sequence[float]) -> float:
    """The lowest usual value. No edge has it, since a bin has its right end alone: the edge below it is a little less.

    One width of the usual range lies between it and the edge before that, and above the range between the highest value and
    the next edge. Of a sum's 17 digits the last two are its rounding.
    """
    lowest = float(f"{edges[_OUTSIDE - 2] + (edges[1 - _OUTSIDE] - edges[-_OUTSIDE]):.15g}")
    return min(max(lowest, math.nextafter(edges[_OUTSIDE - 1], math.inf)), edges[_OUTSIDE])


def flips(
    package: ModelPackage, row: npt.NDArray[np.float32], steps: Sequence[Sequence[Step]], threshold: float, most: int
) -> tuple[list[Flip], list[Flip]]:
    """Find changes of one feature, and of two, that flip a decision: the smallest of each feature or pair, smallest first.

    A pair has no feature that flips the decision alone. Of pairs, only those of the ``FEATURES`` features that move the score
    furthest alone are tried, with ``VALUES`` values each.

    Args:
        package: The model.
        row: The row as the model reads it, shape (1, features).
        steps: What each feature may become.
        threshold: A score of at least this is flagged.
        most: How many flips of each kind to return.
    """
    flagged = bool(package.predict_matrix(row)[0] >= threshold)
    alone = [(own, _scores(package, row, [(step,) for step in own])) for own in steps if own]
    single, left = list[Flip](), list[tuple[float, Sequence[Step]]]()
    for own, scores in alone:
        if first := _first([(step,) for step in own], scores, threshold, flagged):
            single.append(first)
        else:
            left.append((float(scores.min() if flagged else -scores.max()), own))
    near = [_thinned(own) for _, own in sorted(left, key=lambda each: each[0])[:FEATURES]]
    double = []
    for one, other in combinations(near, 2):
        pairs = sorted(product(one, other), key=lambda pair: pair[0].size + pair[1].size)
        if first := _first(pairs, _scores(package, row, pairs), threshold, flagged):
            double.append(first)
    return _smallest(single, most), _smallest(double, most)


def _thinned(steps: Sequence[Step]) -> list[Step]:
    """At most ``VALUES`` of the steps, from the nearest to the furthest."""
    if len(steps) <= VALUES:
        return list(steps)
    return [steps[int(place)] for place in np.linspace(0, len(steps) - 1, VALUES)]


def _scores(
    package: ModelPackage, row: npt.NDArray[np.float32], changes: Sequence[tuple[Step, ...]]
) -> npt.NDArray[np.float64]:
    rows = np.asfortranarray(np.repeat(row, len(changes), axis=0))
    place = {name: position for position, name in enumerate(package.features)}
    for number, steps in enumerate(changes):
        for step in steps:
            rows[number, place[step.feature]] = step.code
    return package.predict_matrix(rows)


def _first(
    changes: Sequence[tuple[Step, ...]], scores: npt.NDArray[np.float64], threshold: float, flagged: bool
) -> Flip | None:
    """The first change that flips the decision; changes come in the order of their sizes."""
    flipped = np.flatnonzero((scores >= threshold) != flagged)
    return Flip(changes[flipped[0]], float(scores[flipped[0]])) if len(flipped) else None


def _smallest(found: Iterable[Flip], most: int) -> list[Flip]:
    return sorted(found, key=lambda flip: (flip.size, [step.feature for step in flip.steps]))[:most]
