"""The quality of a newly trained model on its validation rows, compared with the baselines.

These are pure functions from predictions to metrics. The promotion gate decides on later rows whether the model becomes
champion.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from contrail.frozen import Frozen
from contrail.methods.intervals import day_intervals
from contrail.methods.metric_names import safe_part
from contrail.methods.metrics import HEADLINE, Floats, Task, by_group, evaluate, finite

Metrics = Mapping[str, float]

# Smaller segments are left out.
_SEGMENT_ROWS = 50


@dataclass(frozen=True)
class Validation:
    """The validation rows with the predictions of the model and the baselines. Arrays have shape (rows,).

    ``days`` has each row's partition. ``groups`` has each row's value of each segment feature.
    """

    task: Task
    days: npt.NDArray[np.datetime64]
    labels: Floats
    groups: Mapping[str, npt.NDArray[np.object_]]
    model: Floats
    rate_table: Floats
    constant: Floats


class TrainingMetrics(Frozen):
    """Metrics on the validation rows: the model's (``validation``), the baselines', by month and by segment.

    ``interval`` has the ends of the interval over days of each of the model's metrics, as ``auc_low`` and ``auc_high``.
    An undefined metric is NaN.
    """

    validation: Metrics
    interval: Metrics
    rate_table: Metrics
    constant: Metrics
    by_month: Mapping[str, Metrics]
    by_segment: Mapping[str, Mapping[str, Metrics]]

    def flat(self) -> dict[str, float]:
        """Return every defined metric under one name with slashes: ``by_segment/depot/A/auc``.

        A segment's value is escaped where a metric's name cannot hold it (``contrail.methods.metric_names``).
        """
        return finite(dict(_flat(self.model_dump())))

    def overall(self) -> dict[str, dict[str, float]]:
        """Return the defined metrics of the model and of each baseline, over all rows."""
        found = {"validation": self.validation, "rate_table": self.rate_table, "constant": self.constant}
        return {name: finite(values) for name, values in found.items()}

    def headline(self, task: Task) -> str:
        """Return the most important numbers, in one line."""
        name = HEADLINE[task]
        area = f", AUC {self.validation['auc']:.3f}" if task == "binary" else ""
        ends = [self.interval.get(f"{name}_{end}") for end in ("low", "high")]
        interval = f" [{ends[0]:.4f}, {ends[1]:.4f}]" if None not in ends else ""
        return (
            f"validation {name} {self.validation[name]:.4f}{interval}{area} "
            f"(rate table {self.rate_table[name]:.4f}, constant {self.constant[name]:.4f})"
        )


def evaluate_training(validation: Validation) -> TrainingMetrics:
    """Compute the metrics of a model on its validation rows."""
    task, labels, model = validation.task, validation.labels, validation.model
    months = np.datetime_as_string(validation.days, unit="M").astype(object)
    intervals = day_intervals(task, labels, model, validation.days)
    return TrainingMetrics(
        interval={f"{name}_{end}": getattr(i, end) for name, i in intervals.items() for end in ("low", "high")},
        validation=evaluate(task, labels, model),
        rate_table=evaluate(task, labels, validation.rate_table),
        constant=evaluate(task, labels, validation.constant),
        by_month=by_group(task, labels, model, months),
        by_segment={
            name: by_group(task, labels, model, groups, _SEGMENT_ROWS) for name, groups in validation.groups.items()
        },
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{safe_part(name)}/")
        else:
            yield prefix + name, value
