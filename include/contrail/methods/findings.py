"""What a training found out about its model, for people to read: the part of the model card that later runs do not change.

It is a file of the model's package, and the package's card vouches for it. Equal trainings give equal bytes, so what
differs from run to run, as time and energy, is not in it. Pages are made of it in ``contrail.reports``.
"""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from pydantic import Field

from contrail.config.readme import ReadmeSections
from contrail.config.validation_errors import parse_json
from contrail.errors import DataError
from contrail.frozen import Frozen
from contrail.methods.calibration import Period
from contrail.methods.explanations import Explanations
from contrail.methods.model_package import FINDINGS, ModelPackage
from contrail.methods.segments import Grouped, Measured

# Significant digits. More would be noise, and make the file twice as large.
_DIGITS = 6


class TableRead(Frozen):
    """A table of the pipeline: what a row of it is."""

    name: str
    doc: str


class FeatureRead(Frozen):
    """A feature of the model. ``gain`` is its share of what all splits gained."""

    name: str
    kind: Literal["number", "category"]
    doc: str
    gain: float


class CalibrationBin(Frozen):
    """A tenth of the validation rows by prediction: mean prediction, and mean label with its interval over days."""

    predicted: float
    found: Measured
    rows: int


class Checked(Frozen):
    """The quality on the validation rows. Trees that had not seen them predicted them, with the model's calibration step.

    ``baselines`` has the same metrics of the rate table and of the training mean. ``every`` is more than 1 where the rows of a
    very large window are every so-many-th.
    """

    start: date
    end: date
    days: int
    rows: int
    every: int = Field(default=1, exclude_if=lambda every: every == 1)
    label_mean: float
    metrics: Mapping[str, Measured]
    baselines: Mapping[str, Mapping[str, float]]
    months: tuple[Period, ...]
    calibration: tuple[CalibrationBin, ...]


class Findings(Frozen):
    """What a training found out, and what its pipeline said of itself at the time.

    ``immature`` names the days without rows, because not all of their labels were known. ``threshold`` is None for a
    regression; its reason, where the spec has none. ``fairness`` has the columns that the pipeline calls sensitive.
    """

    format: Literal[1] = 1
    title: str
    description: str
    owner: str
    readme: ReadmeSections
    tables: tuple[TableRead, ...]
    features: tuple[FeatureRead, ...]
    immature: tuple[str, ...]
    threshold: float | None
    threshold_reason: str | None = Field(default=None, exclude_if=lambda reason: reason is None)
    checked: Checked
    segments: tuple[Grouped, ...]
    explanations: Explanations
    fairness: tuple[Grouped, ...]

    def to_json(self) -> bytes:
        """The file's bytes."""
        return (json.dumps(_rounded(self.as_dict()), indent=None, ensure_ascii=False, allow_nan=False) + "\n").encode()


def findings_of(package: ModelPackage) -> Findings | None:
    """Read the findings of a package. None: its training wrote none, as those before Contrail had model cards.

    Raises:
        DataError: when the file is missing though the card vouches for it, or is of a later version of Contrail.
    """
    if package.findings_bytes is not None:
        return parse_json(Findings, package.findings_bytes, FINDINGS)
    if FINDINGS in package.card.sha256:
        raise DataError(f"the model package of {package.card.pipeline} has no {FINDINGS}, but its card names it")
    return None


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value
