"""How good a freshly trained model is on its validation rows, beside the baselines.

Pure: predictions in, metrics out. Whether the model may become champion is decided elsewhere, on later rows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from contrail.frozen import Frozen
from contrail.methods.metrics import HEADLINE, Floats, Task, by_group, evaluate, finite

Metrics = Mapping[str, float]

# Smaller segments are left out.
_SEGMENT_ROWS = 50


@dataclass(frozen=True)
class Validation:
    """The validation rows with what the model and the baselines say of them; arrays have shape (rows,).

    ``days`` is each row's partition. ``groups`` has a value for each row, by segment feature.
    """

    task: Task
    days: npt.NDArray[np.datetime64]
    labels: Floats
    groups: Mapping[str, npt.NDArray[np.object_]]
    model: Floats
    rate_table: Floats
    constant: Floats


class TrainingMetrics(Frozen):
    """Metrics of the validation rows: of the model (``validation``), of the baselines, by month and by segment.

    A metric that is not defined is NaN.
    """

    validation: Metrics
    rate_table: Metrics
    constant: Metrics
    by_month: Mapping[str, Metrics]
    by_segment: Mapping[str, Mapping[str, Metrics]]

    def flat(self) -> dict[str, float]:
        """Every defined metric by one name with slashes: ``by_segment/depot/A/auc``."""
        return finite(dict(_flat(self.model_dump())))

    def overall(self) -> dict[str, dict[str, float]]:
        """The defined metrics of all rows together: of the model and of each baseline."""
        found = {"validation": self.validation, "rate_table": self.rate_table, "constant": self.constant}
        return {name: finite(values) for name, values in found.items()}

    def headline(self, task: Task) -> str:
        """The numbers that a person wants to read first, in a line."""
        name = HEADLINE[task]
        area = f", AUC {self.validation['auc']:.3f}" if task == "binary" else ""
        return (
            f"validation {name} {self.validation[name]:.4f}{area} "
            f"(rate table {self.rate_table[name]:.4f}, constant {self.constant[name]:.4f})"
        )


def evaluate_training(validation: Validation) -> TrainingMetrics:
    """The metrics of a model on its validation rows."""
    task, labels, model = validation.task, validation.labels, validation.model
    months = np.datetime_as_string(validation.days, unit="M").astype(object)
    return TrainingMetrics(
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
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value
