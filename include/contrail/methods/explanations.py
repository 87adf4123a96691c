"""What a model does with its features, on a sample of rows: SHAP values, partial dependence, and single rows (ICE).

The sample is drawn with a fixed seed and is bounded, so the same model and rows give the same numbers in the same short
time. Contributions are XGBoost's own, and exact. Nothing is drawn here.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from contrail.frozen import Frozen
from contrail.methods.encoded_rows import Matrix
from contrail.methods.matrices import TrainingRows
from contrail.methods.model_package import ModelPackage

SUMMARY_ROWS, DEPENDENCE_ROWS, LINES = 2000, 500, 40
_SHOWN, _DEPENDENCES, _BINS, _POINTS, _MOST_VALUES = 12, 6, 41, 21, 12
_SEED = 0
_EDGES = (0.02, 0.98)  # quantiles: beyond them a few rows would take most of the picture
Floats = npt.NDArray[np.float64]


class Effect(Frozen):
    """The SHAP values of a feature. ``counts`` has the rows of each bin of the summary's range.

    ``levels`` has the mean rank of the feature's values in each bin, from 0 (lowest) to 1. A bin without a known value has
    none; nor has a category. ``size`` is the mean of the absolute values, in log-odds or label units.
    """

    feature: str
    kind: Literal["number", "category"]
    size: float
    counts: tuple[int, ...]
    levels: tuple[float | None, ...]


class Dependence(Frozen):
    """How the mean prediction moves when a feature alone is changed, with every other one as it was.

    ``points`` are values of the feature; ``mean`` is the prediction at each. ``low`` and ``high`` are the tenth and the
    ninetieth of a hundred rows. ``lines`` are single rows, forty over all the sample. ``missing`` is the prediction
    without a value, where rows have none.
    """

    feature: str
    points: tuple[float, ...] | tuple[str, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    lines: tuple[tuple[float, ...], ...]
    missing: float | None = None


class Explanations(Frozen):
    """The summary of SHAP values from ``low`` to ``high``, the largest feature first, and the dependence of the top ones.

    ``others`` counts the features with smaller SHAP values, which have no place in the summary.
    """

    rows: int
    low: float
    high: float
    effects: tuple[Effect, ...]
    others: int
    dependences: tuple[Dependence, ...]
    dependence_rows: int


class Explained(NamedTuple):
    """Rows of a training window with their contributions, both of shape (rows, features); and ``few`` of these rows."""

    matrix: Matrix
    parts: Floats
    few: Matrix


def explain_model(package: ModelPackage, sample: Explained, hidden: frozenset[str] = frozenset()) -> Explanations:
    """Explain a model on a sample of its training rows.

    Args:
        package: The model.
        sample: What ``explained_sample`` drew for it.
        hidden: Features whose values people may not see. They have no dependence.
    """
    names, (matrix, parts, few) = package.card.features, sample
    sizes = np.abs(parts).mean(axis=0)
    order = [int(at) for at in np.argsort(-sizes, kind="stable")]
    shown = [at for at in order if sizes[at] > 0][:_SHOWN]
    low, high = _range(parts[:, shown])
    top = [at for at in shown if names[at] not in hidden and np.isfinite(few[:, at]).any()][:_DEPENDENCES]
    return Explanations(
        rows=len(matrix),
        low=low,
        high=high,
        effects=tuple(_effect(package, at, matrix[:, at], parts[:, at], (low, high)) for at in shown),
        others=len(names) - len(shown),
        dependences=tuple(_dependence(package, few, at) for at in top),
        dependence_rows=len(few),
    )


def explained_sample(package: ModelPackage, rows: TrainingRows) -> Explained:
    """Draw rows of a training window, and compute their contributions."""
    draw = np.random.default_rng(_SEED)
    chosen = np.zeros(len(rows.labels), np.bool_)
    chosen[draw.choice(len(chosen), min(SUMMARY_ROWS, len(chosen)), replace=False)] = True
    matrix = np.concatenate([np.array(batch) for batch, _ in rows.batches(chosen)])
    parts = package.contributions_matrix(matrix)[:, : len(package.card.features)].astype(np.float64)
    few = matrix[np.sort(draw.choice(len(matrix), min(DEPENDENCE_ROWS, len(matrix)), replace=False))]
    return Explained(matrix, parts, few)


def _range(parts: Floats) -> tuple[float, float]:
    """The range of the summary: nearly all values, and zero. The others count in its outermost bins."""
    if not parts.size:
        return -1.0, 1.0
    low, high = np.quantile(parts, [0.001, 0.999])
    return min(float(low), 0.0), max(float(high), 0.0) or 1.0


def _effect(package: ModelPackage, at: int, values: Matrix, parts: Floats, ends: tuple[float, float]) -> Effect:
    name, (low, high) = package.card.features[at], ends
    bins = np.clip(((parts - low) / (high - low) * _BINS).astype(np.int64), 0, _BINS - 1)
    category = name in package.card.categories
    known = np.isfinite(values) & (not category)
    ranks = np.searchsorted(np.sort(values[known]), values[known], "right") / max(1, int(known.sum()))
    counted, summed = np.bincount(bins[known], minlength=_BINS), np.bincount(bins[known], ranks, _BINS)
    return Effect(
        feature=name,
        kind="category" if category else "number",
        size=float(np.abs(parts).mean()),
        counts=tuple(np.bincount(bins, minlength=_BINS).tolist()),
        levels=tuple(float(total / rows) if rows else None for total, rows in zip(summed, counted, strict=True)),
    )


def _dependence(package: ModelPackage, rows: Matrix, at: int) -> Dependence:
    name = package.card.features[at]
    known = rows[np.isfinite(rows[:, at]), at]
    texts: Sequence[str] | None = package.card.categories.get(name)
    grid = _frequent(known) if texts is not None else _spread(known)
    lines = np.column_stack([_predicted(package, rows, at, value) for value in grid])
    return Dependence(
        feature=name,
        points=tuple(texts[int(code)] for code in grid) if texts is not None else tuple(map(float, grid)),
        mean=tuple(lines.mean(axis=0).tolist()),
        low=tuple(np.quantile(lines, 0.1, axis=0).tolist()),
        high=tuple(np.quantile(lines, 0.9, axis=0).tolist()),
        lines=tuple(map(tuple, lines[:: max(1, len(lines) // LINES)][:LINES].tolist())),
        missing=float(_predicted(package, rows, at, np.nan).mean()) if len(known) < len(rows) else None,
    )


def _frequent(codes: Matrix) -> Matrix:
    """The most frequent categories, the most frequent first."""
    values, counts = np.unique(codes, return_counts=True)
    return np.asarray(values[np.argsort(-counts, kind="stable")][:_MOST_VALUES], np.float32)


def _spread(values: Matrix) -> Matrix:
    """The values of a number if they are few, else as many quantiles of them."""
    known = np.unique(values)
    if len(known) <= _POINTS:
        return np.asarray(known, np.float32)
    return np.unique(np.quantile(values, np.linspace(*_EDGES, _POINTS), method="nearest")).astype(np.float32)


def _predicted(package: ModelPackage, rows: Matrix, at: int, value: float) -> Floats:
    changed = rows.copy()
    changed[:, at] = value
    return package.predict_matrix(changed)
