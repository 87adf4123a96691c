"""Made-up days of features, all alike but for weekends, and what labels are usual beside them."""

from collections.abc import Callable, Container
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contrail.config.spec import PipelineSpec
from contrail.methods.drift import DayStatistics, day_histograms, day_statistics
from contrail.methods.drift_effects import Contributions
from contrail.methods.drift_reference import DriftReference, build_reference
from contrail.methods.label_drift import LabelReference

START = date(2024, 1, 1)
TRAINED = 210
COLUMNS = {
    "size": {"kind": "number", "doc": "Larger at the weekend."},
    "rain": {"kind": "number", "doc": "Mostly zero."},
    "rate": {"kind": "number", "doc": "Three values a day."},
    "constant": {"kind": "number", "doc": "Always one."},
    "gaps": {"kind": "number", "doc": "A tenth is missing."},
    "kind": {"kind": "category", "doc": "Four of them."},
}
LATER = START + timedelta(days=TRAINED)
LABEL = LabelReference(run_days=3, of_days=5, low=-0.1, high=0.1, centre=0.0, threshold=0.06, days=60)


def rows_of(day: date, seed: int) -> dict[str, np.ndarray]:
    """A day's rows; a weekday and a weekend have their own distributions, else all days are alike."""
    rng = np.random.default_rng([seed, day.toordinal()])
    rows = 200 - 60 * (day.weekday() >= 5)
    gaps = rng.gamma(2, size=rows)
    gaps[rng.random(rows) < 0.1] = np.nan
    return {
        "size": rng.normal(size=rows) + (day.weekday() >= 5),
        "rain": (rng.random(rows) < 0.02) * rng.exponential(size=rows),
        "rate": np.resize(rng.normal(size=3), rows),
        "constant": np.ones(rows),
        "gaps": gaps,
        "kind": rng.choice(list("wxyz"), rows, p=[0.4, 0.3, 0.2, 0.1]),
    }


def features(
    first: date, days: int, seed: int = 0, change: Callable[[dict[str, np.ndarray]], None] | None = None
) -> pa.Table:
    tables = []
    for day in (first + timedelta(days=i) for i in range(days)):
        rows = rows_of(day, seed)
        if change:
            change(rows)
        tables.append(pa.table({"partition_date": pa.array([day] * len(rows["size"]), pa.date32()), **rows}))
    return pa.concat_tables(tables)


def one_feature(spec: PipelineSpec, kind: str, days: list[list[object]]) -> tuple[PipelineSpec, pa.Table]:
    """A spec with the one feature ``only``, and its values of consecutive days."""
    columns = {"only": spec.features.columns["kind" if kind == "category" else "size"]}
    narrow = spec.model_copy(update={"features": spec.features.model_copy(update={"columns": columns})})
    dates = [START + timedelta(days=i) for i, values in enumerate(days) for _ in values]
    values = [value for of_day in days for value in of_day]
    return narrow, pa.table({"partition_date": pa.array(dates, pa.date32()), "only": values})


def contributions(rows: pa.Table, spec: PipelineSpec) -> Contributions:
    """What a model that adds up its features would give: the standard deviations of a number, and a category's code."""
    names, texts = tuple(spec.features.columns), {}
    matrix = np.full((len(rows), len(names)), np.nan, np.float32)
    for at, name in enumerate(names):
        column = rows[name].combine_chunks()
        if spec.features.columns[name].kind == "category":
            texts[name] = sorted(set(column.drop_null().cast(pa.string()).to_pylist()))
            column = pc.index_in(column.cast(pa.string()), value_set=pa.array(texts[name], pa.string()))
        matrix[:, at] = pc.cast(column, pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    known = np.nan_to_num(matrix.astype(np.float64))
    spread = known.std(axis=0)
    return Contributions(names, texts, matrix, (known - known.mean(axis=0)) / np.where(spread > 0, spread, 1))


def reference_of(rows: pa.Table, spec: PipelineSpec, label: LabelReference = LABEL) -> DriftReference:
    """The reference of a window, with a model that adds up its features."""
    return build_reference(rows, spec, label, contributions(rows, spec))


def measured(rows: pa.Table, reference: DriftReference, wanted: Container[date] | None = None) -> DayStatistics:
    """The statistics of days, from their rows in two batches that share a day."""
    half = len(rows) // 2
    histograms = day_histograms([rows.slice(0, half), rows.slice(half)], reference)
    return day_statistics(histograms, reference, histograms if wanted is None else wanted)
