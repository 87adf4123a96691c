"""What a spec demands of how a score is made around its trees: where it starts, and what follows them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from contrail.config.problems import Problem

if TYPE_CHECKING:
    from contrail.config.spec import PipelineSpec


def score_problems(spec: "PipelineSpec") -> Iterator[Problem]:
    """List what is wrong with the offset, the calibration step and the interval."""
    if (offset := spec.train.offset) and offset.feature in spec.features.categories:
        yield Problem(("train", "offset", "feature"), f"'{offset.feature}' is a category; a score starts from a number")
    # The trees of these add up to logarithms of the label.
    if offset and (own := spec.train.params.get("objective")) in ("count:poisson", "reg:gamma", "reg:tweedie"):
        said = f"the trees of {own} add up in another scale than the label's; leave out train.offset"
        yield Problem(("train", "offset", "feature"), said)
    if spec.score.interval is not None and spec.task != "regression":
        yield Problem(("score", "interval"), "a probability has no interval; it is for a regression")
    if spec.train.calibration != "none" and spec.task != "binary":
        yield Problem(("train", "calibration"), "only probabilities are calibrated; it is for a binary task")
