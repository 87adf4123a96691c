"""What a spec demands of how a score is made around its trees: where it starts, and what follows them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from contrail.config.problems import Problem

if TYPE_CHECKING:
    from contrail.config.spec import PipelineSpec


# Objectives whose trees add up in the scale that an offset is computed in: log-odds, or label units. Those of others, as
# count:poisson, add up to logarithms of the label.
_STARTED = {
    "binary": ("binary:logistic",),
    "regression": (
        "reg:squarederror",
        "reg:squaredlogerror",
        "reg:pseudohubererror",
        "reg:absoluteerror",
        "reg:quantileerror",
    ),
}


def score_problems(spec: "PipelineSpec") -> Iterator[Problem]:
    """List what is wrong with the offset, the calibration step and the interval."""
    if (offset := spec.train.offset) and offset.feature in spec.features.categories:
        yield Problem(("train", "offset", "feature"), f"'{offset.feature}' is a category; a score starts from a number")
    yield from _scale_problems(spec)
    if spec.score.interval is not None and spec.task != "regression":
        yield Problem(("score", "interval"), "a probability has no interval; it is for a regression")
    if spec.train.calibration != "none" and spec.task != "binary":
        yield Problem(("train", "calibration"), "only probabilities are calibrated; it is for a binary task")


def _scale_problems(spec: "PipelineSpec") -> Iterator[Problem]:
    """Refuse an offset whose scale is not that of the trees: at both places, since a request may change either."""
    own, known = spec.train.params.get("objective"), _STARTED[spec.task]
    if spec.train.offset and own is not None and own not in known:
        said = (
            f"with train.offset the objective of a {spec.task} task is {' or '.join(known)}: the trees of {own} add up in "
            "another scale than the offset; leave out one of them"
        )
        yield Problem(("train", "offset", "feature"), said)
        yield Problem(("train", "params", "objective"), said)
