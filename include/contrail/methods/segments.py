"""The quality of a model in groups of rows: each metric of each group, with its interval over days.

A number makes groups by its quarters. What is fair among groups belongs to ``contrail.methods.fairness``.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contrail.frozen import Frozen
from contrail.methods.encoding import shared_values
from contrail.methods.intervals import Days, Interval, day_intervals
from contrail.methods.metrics import Floats, Task, evaluate, finite

Texts = npt.NDArray[np.object_]
Chosen = npt.NDArray[np.bool_]
# Fewer rows tell little, and may tell about single persons.
FEWEST_ROWS = 50
_MOST_GROUPS = 30
_MOST_VALUES = 10  # a number of more values is cut into quarters
MISSING = "(missing)"


class Measured(Frozen):
    """A number, and the ends of its 95 % interval over days. Few days have none."""

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float, interval: Interval | None) -> "Measured":
        """Join a number and its interval."""
        return cls(value=value) if interval is None else cls(value=value, low=interval.low, high=interval.high)

    @property
    def sure(self) -> bool:
        """Whether the interval leaves out zero, as that of a difference which other days would show too."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


class Group(Frozen):
    """A group's rows and what was measured of it. ``differences`` are those from all rows of other groups."""

    name: str
    rows: int
    measures: Mapping[str, Measured]
    differences: Mapping[str, Measured] = {}


class Grouped(Frozen):
    """The groups of a column, the largest first. ``left_out`` counts those that are too small, or beyond thirty."""

    column: str
    groups: tuple[Group, ...]
    left_out: int
    left_out_rows: int


def group_names(column: pa.ChunkedArray) -> Texts:
    """Name the group of each row: its text, or the quarter of a number that has many values."""
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        return shared_values(column)
    numbers = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
    known = numbers[np.isfinite(numbers)]
    values = np.unique(known)
    if len(values) <= _MOST_VALUES:
        names, codes = [f"{value:g}" for value in values], np.searchsorted(values, numbers)
    else:
        edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75]))
        ends = [f"{edge:.4g}" for edge in edges]
        inner = [f"over {low} to {high}" for low, high in pairwise(ends)]
        names, codes = [f"up to {ends[0]}", *inner, f"over {ends[-1]}"], np.searchsorted(edges, numbers)
    every = np.array([*names, None], object)
    found: Texts = every[np.where(np.isfinite(numbers), codes, len(names))]
    return found


def grouped(column: str, names: Texts, measure: Callable[[str, Chosen], Group]) -> Grouped:
    """Measure the groups of a column. ``measure`` takes a group's name and its rows, shape (rows,)."""
    texts = np.array([MISSING if name is None else str(name) for name in names], object)
    known, codes, counts = np.unique(texts, return_inverse=True, return_counts=True)
    order = [code for code in np.argsort(-counts, kind="stable") if counts[code] >= FEWEST_ROWS][:_MOST_GROUPS]
    groups = tuple(measure(str(known[code]), codes == code) for code in order)
    shown = sum(group.rows for group in groups)
    return Grouped(column=column, groups=groups, left_out=len(known) - len(groups), left_out_rows=len(texts) - shown)


def measured(task: Task, labels: Floats, predictions: Floats, days: Days) -> dict[str, Measured]:
    """Compute every defined metric of rows, with its interval."""
    intervals = day_intervals(task, labels, predictions, days)
    values = finite(evaluate(task, labels, predictions))
    return {name: Measured.of(value, intervals.get(name)) for name, value in values.items()}


def quality_by_group(task: Task, labels: Floats, predictions: Floats, days: Days, column: str, names: Texts) -> Grouped:
    """Measure the groups of a column: the mean label, and every metric of the task."""

    def measure(name: str, rows: Chosen) -> Group:
        own = (labels[rows], predictions[rows], days[rows])
        mean = Measured(value=float(own[0].mean()))
        return Group(name=name, rows=int(rows.sum()), measures={"label_mean": mean, **measured(task, *own)})

    return grouped(column, names, measure)
