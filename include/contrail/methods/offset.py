"""The offset of a model: where each row's score starts, before the trees. It follows the level of one feature.

Trees cannot predict a level that their training window did not have. A model that starts from a feature which follows the
level, as the share late of the last days, can. The trees then learn what that level does not explain. The start is XGBoost's
``base_margin``: log-odds of a probability, or label units.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from contrail.config.model_spec import OffsetSpec
from contrail.frozen import Frozen

# A share of no row, or of every one, has no log-odds. The last days of few rows may have such a share.
_LEAST = 0.01


class Offset(Frozen):
    """``weight`` of the way from ``centre``, the mean label of the training window, to the feature's value.

    Both are taken in the trees' own scale. ``centre`` is in it already. A row without the feature's value starts there.
    """

    feature: str
    weight: float
    task: Literal["binary", "regression"]
    centre: float

    @classmethod
    def of(cls, spec: OffsetSpec, task: Literal["binary", "regression"], label_mean: float) -> "Offset":
        """Make the offset of a training whose labels have this mean."""
        return cls(
            feature=spec.feature, weight=spec.weight, task=task, centre=float(_scaled(np.array([label_mean]), task)[0])
        )

    def starts(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return where rows with these values of the feature start, shape (rows,), in the trees' own scale."""
        moved = self.weight * (_scaled(values.astype(np.float64), self.task) - self.centre)
        return (self.centre + np.where(np.isnan(moved), 0.0, moved)).astype(np.float32)


def _scaled(values: npt.NDArray[np.float64], task: str) -> npt.NDArray[np.float64]:
    if task == "regression":
        return values
    inside = np.clip(values, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(inside) - np.log1p(-inside))
