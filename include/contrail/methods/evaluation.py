"""The quality of a newly trained model on its validation rows, compared with the baselines.

These are pure functions from predictions to metrics. The promotion gate decides on later rows whether the model becomes
champion.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from contrail.frozen import Frozen
from contrail.methods.group_sums import ModelSums
from contrail.methods.metric_names import safe_part
from contrail.methods.metrics import HEADLINE, Floats, Task, finite

Metrics = Mapping[str, float]

# The name of the months among groups. No feature can have it.
MONTH = "by month"
# Smaller segments are left out.
_SEGMENT_ROWS = 50


@dataclass(frozen=True)
class Sample:
    """Some validation rows, evenly spaced, for plots: labels and predictions. Arrays have shape (rows,)."""

    labels: Floats
    model: Floats
    rate_table: Floats


@dataclass(frozen=True)
class Validation:
    """The validation rows with the predictions of the model and the baselines, as sums.

    The groups of ``model`` are those of each segment feature, and of ``MONTH``.
    """

    task: Task
    model: ModelSums
    rate_table: ModelSums
    constant: ModelSums
    sample: Sample

    @property
    def rows(self) -> int:
        """The number of validation rows."""
        return int(self.model.days.rows.sum())


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
    groups = dict(validation.model.groups)
    months = groups.pop(MONTH)
    values, intervals = validation.model.days.pooled()
    return TrainingMetrics(
        interval={f"{name}_{end}": getattr(i, end) for name, i in intervals.items() for end in ("low", "high")},
        validation=values,
        rate_table=validation.rate_table.days.pooled()[0],
        constant=validation.constant.days.pooled()[0],
        by_month=months.metrics(),
        by_segment={name: sums.metrics(_SEGMENT_ROWS) for name, sums in groups.items()},
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{safe_part(name)}/")
        else:
            yield prefix + name, value
