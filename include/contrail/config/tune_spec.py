"""The part of a pipeline's spec that says how ``contrail tune`` looks for better parameters of XGBoost."""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field

from contrail.config.model_spec import TrainSpec
from contrail.config.problems import Problem
from contrail.config.table_spec import LONGEST_DAYS
from contrail.frozen import Frozen

Value = int | float | str | bool
_Finite = Annotated[float, Field(allow_inf_nan=False)]
# XGBoost takes both names of each. Two of them in one training would contradict each other.
OTHER_NAMES: Mapping[str, str] = {
    "learning_rate": "eta",
    "reg_lambda": "lambda",
    "reg_alpha": "alpha",
    "min_split_loss": "gamma",
}
# With more of it the trees of a regression diverge.
_LARGEST_ETA = 1.0
_NOT_OF_TREES = ("objective", "eval_metric", "nthread", "device")


class Searched(Frozen):
    """The values of one parameter that are tried: from ``low`` to ``high``, or ``choices``. Whole ends give whole values."""

    low: int | _Finite | None = Field(default=None, description="Smallest value.")
    high: int | _Finite | None = Field(default=None, description="Largest value.")
    log: bool = Field(default=False, description="Whether small values are tried as often as large ones, by powers.")
    choices: tuple[Value, ...] = Field(default=(), description="The values, where they are no range.")

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[Value, ...]:
        """The values between which the others lie: each choice, or the ends of the range."""
        return self.choices or tuple(one for one in (self.low, self.high) if one is not None)

    def problems(self) -> Iterator[str]:
        """Say what is wrong with it."""
        if self.choices:
            if self.low is not None or self.high is not None or self.log:
                yield "choices need no low, high or log; keep one of both"
            elif len(set(map(repr, self.choices))) < 2:
                yield "there is nothing to choose from: give two choices at least, or put the value into train.params"
            elif any(isinstance(one, float) and not math.isfinite(one) for one in self.choices):
                yield "a choice is no number"
        elif self.low is None or self.high is None:
            yield "a range needs low and high, and choices need values"
        elif self.low >= self.high:
            yield f"the range is empty: low is {self.low:g} and high is {self.high:g}; low must be less than high"
        elif self.log and self.low <= 0:
            yield f"a range with log has no power for {self.low:g}; low must be more than 0"


# Each reaches well beyond XGBoost's own default and what tables of 10,000 to millions of rows usually end with.
DEFAULT_SEARCH: Mapping[str, Searched] = {
    "eta": Searched(low=0.01, high=0.3, log=True),
    "max_depth": Searched(low=2, high=8),
    "min_child_weight": Searched(low=1.0, high=300.0, log=True),
    "lambda": Searched(low=0.1, high=100.0, log=True),
    "alpha": Searched(low=0.001, high=10.0, log=True),
    "gamma": Searched(low=0.001, high=10.0, log=True),
    "subsample": Searched(low=0.5, high=1.0),
    "colsample_bytree": Searched(low=0.2, high=1.0),
    "max_bin": Searched(choices=(64, 128, 256)),
}


class TuneSpec(Frozen):
    """How `contrail tune` looks for better parameters. Each trial trains on the days before a fold, and is measured on it."""

    trials: int = Field(default=30, ge=2, le=10_000, description="Trials of a study, today's parameters included.")
    folds: int = Field(
        default=4, ge=2, le=50, description="Stretches of days at the end of the range that are predicted."
    )
    fold_days: int = Field(default=28, ge=1, le=LONGEST_DAYS, description="Days of each of them.")
    window: Literal["expanding", "rolling"] = Field(
        default="expanding",
        description="Whether later folds train on more days, or each on as many as the first.",
    )
    random_trials: int = Field(
        default=10, ge=1, le=10_000, description="Trials at random, before the search learns from what it has seen."
    )
    stop_confidence: float | None = Field(
        default=0.9,
        gt=0.5,
        lt=1,
        description="A trial ends after a fold when it is worse than the best, days compared in pairs, with this confidence. "
        "Empty: every trial has all folds.",
    )
    budget_seconds: float | None = Field(
        default=None,
        gt=0,
        le=31 * 86_400,
        description="No trial begins that would end later; trial 0 always runs. Empty: no limit.",
    )
    search: dict[str, Searched] = Field(
        default={},
        description="The parameters of XGBoost that are tried, by its own names. Empty: eta, max_depth, min_child_weight, "
        "lambda, alpha, gamma, subsample, colsample_bytree and max_bin in wide ranges.",
    )

    @property
    def space(self) -> Mapping[str, Searched]:
        """The parameters that are tried."""
        return self.search or DEFAULT_SEARCH


def tune_problems(tune: TuneSpec) -> Iterator[Problem]:
    """List what is wrong with the values that are tried."""
    for name, searched in tune.search.items():
        place = ("tune", "search", name)
        if name in TrainSpec.model_fields or name in _NOT_OF_TREES:
            yield Problem(
                place, "this is no parameter of the trees, so it is not searched; tune.search has those of XGBoost"
            )
        elif other := OTHER_NAMES.get(name):
            yield Problem(place, f"XGBoost calls this {other} too; name it {other}")
        elif name == "eta" and (
            beyond := [v for v in searched.ends if isinstance(v, int | float) and v > _LARGEST_ETA]
        ):
            yield Problem(place, f"with eta {beyond[0]:g} trees may diverge; it is {_LARGEST_ETA:g} at most")
        yield from (Problem(place, said) for said in searched.problems())
