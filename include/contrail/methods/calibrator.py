"""A calibration step: from what the trees say to a probability that means what it says. Fitted apart from the trees.

A fit sees predictions by trees that had not seen the rows. It needs scikit-learn; applying it needs NumPy alone. How well a
model is calibrated is measured in ``calibration``.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from contrail.frozen import Frozen
from contrail.methods.ties import Floats

Kind = Literal["isotonic", "beta"]

# A float32 cannot tell probabilities nearer to 0 or 1 than that apart.
_LEAST = 2.0**-24


class Isotonic(Frozen):
    """A rising line through ``found`` at ``predicted``; beyond its ends it is flat."""

    kind: Literal["isotonic"] = "isotonic"
    rows: int
    predicted: tuple[float, ...]
    found: tuple[float, ...]

    def apply(self, predictions: Floats) -> Floats:
        """Return calibrated probabilities, shape (rows,)."""
        return np.interp(predictions, self.predicted, self.found)


class Beta(Frozen):
    """Log-odds ``a`` times log of p, minus ``b`` times log of 1 - p, plus ``c`` (Kull et al., 2017). Neither is negative."""

    kind: Literal["beta"] = "beta"
    rows: int
    a: float = Field(ge=0)
    b: float = Field(ge=0)
    c: float

    def apply(self, predictions: Floats) -> Floats:
        """Return calibrated probabilities, shape (rows,)."""
        likely, unlikely = _logs(predictions)
        return 1 / (1 + np.exp(-(self.a * likely - self.b * unlikely + self.c)))


Calibrator = Annotated[Isotonic | Beta, Field(discriminator="kind")]


def fit_calibrator(kind: Kind, labels: Floats, predictions: Floats) -> Isotonic | Beta:
    """Fit a calibration step.

    Args:
        kind: ``isotonic`` takes any rising shape, and needs thousands of rows. ``beta`` has three numbers.
        labels: Shape (n,), of both classes.
        predictions: Shape (n,), by trees that had not seen the rows.
    """
    return _isotonic(labels, predictions) if kind == "isotonic" else _beta(labels, predictions)


def _isotonic(labels: Floats, predictions: Floats) -> Isotonic:
    from sklearn.isotonic import IsotonicRegression

    # An end of 0 or 1 would be certain of what so many rows cannot prove.
    end = 1 / (len(labels) + 2)
    fitted = IsotonicRegression(y_min=end, y_max=1 - end).fit(predictions, labels)
    return Isotonic(
        rows=len(labels),
        predicted=tuple(map(float, fitted.X_thresholds_)),
        found=tuple(map(float, fitted.y_thresholds_)),
    )


def _beta(labels: Floats, predictions: Floats) -> Beta:
    from sklearn.linear_model import LogisticRegression

    likely, unlikely = _logs(predictions)
    # A negative slope would turn the order of predictions around. Its part is left out then.
    for own in ((likely, -unlikely), (likely,), (-unlikely,)):
        fitted = LogisticRegression(C=np.inf).fit(np.column_stack(own), labels > 0.5)
        slopes = fitted.coef_[0]
        if (slopes >= 0).all():
            break
    else:
        slopes = np.zeros(1)
        fitted.intercept_[0] = np.log(labels.mean() / (1 - labels.mean()))
    a, b = {2: slopes, 1: (slopes[0], 0.0) if own[0] is likely else (0.0, slopes[0])}[len(own)]
    return Beta(rows=len(labels), a=float(a), b=float(b), c=float(fitted.intercept_[0]))


def _logs(predictions: Floats) -> tuple[Floats, Floats]:
    inside = np.clip(predictions, _LEAST, 1 - _LEAST)
    return np.log(inside), np.log1p(-inside)
