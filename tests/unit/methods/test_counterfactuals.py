"""Which values a feature may take in a counterfactual."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from contrail.methods.counterfactuals import steps_of
from contrail.methods.drift_reference import NumberReference, Scale
from contrail.methods.histograms import NumberBins, bins_of

_SCALE = Scale(median=1.0, spread=1.0)


def package(values: list[float], most: int = 10) -> Any:
    """What ``steps_of`` reads of a model that was trained on rows with these values, all of them on each of two days."""
    rows, days = pa.chunked_array([[*values, *values]], pa.float64()), np.repeat([0, 1], len(values))
    bins = bins_of(rows, "number", most, days)
    assert isinstance(bins, NumberBins)
    counts = bins.histograms(rows, np.zeros(len(rows), int), 1)[0]
    known = NumberReference(
        edges=bins.edges, gaps=bins.gaps, histogram=tuple(int(one) for one in counts), effects=(), same_weekday=False,
        distance=_SCALE, effect=_SCALE, from_window=_SCALE,
    )  # fmt: skip
    return SimpleNamespace(
        reference=SimpleNamespace(features={"x": known}), features=["x"], card=SimpleNamespace(features=["x"])
    )


@pytest.mark.parametrize(
    "values",
    [
        [179.0, 275.0, 298.0, 376.0],
        [0.0, 20.0, 160.0, 360.0],
        [-30.0, -7.5, 0.0, 12.25],
        [0.1, 0.2, 0.7],
        [1 / 3, 0.5, 2 / 3],
        [float(one) for one in range(5, 300)],
        [7.0, 7.0, 7.0, 8.0],
    ],
)
def test_a_feature_takes_values_that_rows_of_the_training_had(values: list[float]) -> None:
    found = [float(step.value) for step in steps_of(package(values), "x", values[-1])]
    assert {np.float32(one) for one in found} <= {np.float32(one) for one in values}
    assert found == pytest.approx(sorted(found, reverse=True), abs=0), "the nearest first"
    assert float(f"{min(values):.15g}") in found, "the lowest usual one, too, and as a person would write it"
