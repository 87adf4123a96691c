"""Which parameters to try next, and which of them mattered. Optuna decides; this turns a space and trials into its terms.

Nothing is trained here, and nothing is kept: whoever calls gives the finished trials each time. So a search that was killed
goes on as if it had never stopped.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contrail.config.tune_spec import OTHER_NAMES, Searched, Value
from contrail.methods.metrics import HIGHER_IS_BETTER

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

Values = Mapping[str, Value]
# XGBoost's own values of what a pipeline leaves open.
_OF_XGBOOST: Values = {
    "eta": 0.3, "max_depth": 6, "min_child_weight": 1.0, "lambda": 1.0, "alpha": 0.0, "gamma": 0.0, "subsample": 1.0,
    "colsample_bytree": 1.0, "colsample_bylevel": 1.0, "colsample_bynode": 1.0, "max_bin": 256, "max_leaves": 0,
    "max_delta_step": 0.0, "max_cat_to_onehot": 4, "grow_policy": "depthwise",
}  # fmt: skip
# With fewer trials, an importance would be chance.
_FEWEST_FOR_IMPORTANCE = 12


@dataclass(frozen=True)
class Tried:
    """A finished trial: its place in the space, and the value of the metric, estimated where it ended early."""

    params: Values
    value: float


@dataclass(frozen=True)
class Search:
    """A search.

    Args:
        space: The parameters, and the values of each.
        metric: What is made better.
        random_trials: How many trials are random, before the search learns.
        seed: Start of the random numbers.
    """

    space: Mapping[str, Searched]
    metric: str
    random_trials: int
    seed: int

    def ask(self, finished: Sequence[Tried], count: int) -> list[dict[str, Value]]:
        """The parameters of the next trials. They depend on the finished ones, their order and the seed, and on nothing else."""
        study = self._study(finished)
        asked = [study.ask(self._distributions()).params for _ in range(count)]
        return [{name: _short(value) for name, value in params.items()} for params in asked]

    def importance(self, finished: Sequence[Tried]) -> dict[str, float]:
        """Each parameter's share of what differed between trials (fANOVA), the largest first; empty for few trials."""
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

        if len(finished) < _FEWEST_FOR_IMPORTANCE or len({one.value for one in finished}) < 2:
            return {}
        found = get_param_importances(self._study(finished), evaluator=FanovaImportanceEvaluator(seed=self.seed))
        return {name: float(share) for name, share in found.items() if math.isfinite(share)}

    def place_of(self, params: Values) -> dict[str, Value]:
        """The nearest place in the space to parameters that somebody chose, such as today's."""
        own = self.values_of(params)
        return {name: _nearest(one, own[name]) for name, one in self.space.items()}

    def values_of(self, params: Values) -> dict[str, Value | None]:
        """The value of each searched parameter: the given one, else XGBoost's own. None: it has none that is known."""
        given = {OTHER_NAMES.get(name, name): value for name, value in params.items()}
        return {name: given.get(name, _OF_XGBOOST.get(name)) for name in self.space}

    def _study(self, finished: Sequence[Tried]) -> "Study":
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        # A seed of its own for each place in the sequence: the sampler of an earlier process has drawn other numbers.
        sampler = optuna.samplers.TPESampler(
            seed=self.seed + len(finished), n_startup_trials=self.random_trials, multivariate=True, constant_liar=True
        )
        best = (
            optuna.study.StudyDirection.MAXIMIZE
            if self.metric in HIGHER_IS_BETTER
            else optuna.study.StudyDirection.MINIMIZE
        )
        study = optuna.create_study(sampler=sampler, direction=best)
        study.add_trials([self._trial(one) for one in finished])
        return study

    def _trial(self, tried: Tried) -> "FrozenTrial":
        import optuna

        params = self.place_of(tried.params)
        return optuna.create_trial(params=params, distributions=self._distributions(), value=tried.value)

    def _distributions(self) -> "dict[str, BaseDistribution]":
        return {name: _distribution(one) for name, one in self.space.items()}


def with_params(own: Values, chosen: Values) -> dict[str, Value]:
    """A pipeline's parameters with a trial's in their place, also where the pipeline has one by its other name."""
    return {**{name: value for name, value in own.items() if OTHER_NAMES.get(name, name) not in chosen}, **chosen}


def _short(value: Value) -> Value:
    """Four digits: a person can read and type them, and no more make a difference."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _distribution(searched: Searched) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if searched.choices:
        return CategoricalDistribution(searched.choices)
    low, high = _ends(searched)
    if searched.whole:
        return IntDistribution(int(low), int(high), log=searched.log)
    return FloatDistribution(low, high, log=searched.log)


def _ends(searched: Searched) -> tuple[float, float]:
    assert searched.low is not None
    assert searched.high is not None
    return searched.low, searched.high


def _nearest(searched: Searched, value: Any) -> Value:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if searched.choices:
        numbers = [one for one in searched.choices if isinstance(one, int | float)]
        if value in searched.choices or not number or not numbers:
            return value if value in searched.choices else searched.choices[0]  # type: ignore[no-any-return]
        return min(numbers, key=lambda one: abs(one - value))
    low, high = _ends(searched)
    inside = min(max(value if number else low, low), high)
    return round(inside) if searched.whole else float(inside)
