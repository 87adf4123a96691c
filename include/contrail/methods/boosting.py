"""Boosting in parts: a training that was interrupted goes on at its last checkpoint and ends with the same trees.

XGBoost keeps no state of its random numbers in a model, so a training that is taken up again would draw others. Here
each part of ``checkpoint_rounds`` begins as if it had been taken up: from the trees so far, with a seed of its own. So
an uninterrupted training is the same sequence of parts.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from contrail.config.model_spec import TrainSpec

if TYPE_CHECKING:
    import xgboost
    from xgboost.callback import TrainingCallback

Params = dict[str, int | float | str | bool]
History = dict[str, dict[str, list[float]]]
# XGBoost's own list of metrics that are better when they are larger.
_LARGER_IS_BETTER = ("auc", "aucpr", "map", "ndcg", "pre")


class Checkpoint(NamedTuple):
    """The trees so far, and the metrics of each round so far."""

    model: bytes
    history: History


class Checkpoints(Protocol):
    """Where checkpoints are kept, by the name of the training that they belong to."""

    def load(self, name: str) -> Checkpoint | None:
        """The newest; None when there is none."""

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Keep one, in place of the one before."""


class NoCheckpoints:
    """Keeps none: an interrupted training begins anew."""

    def load(self, name: str) -> None:
        """None."""

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Nothing."""


class Grow(Protocol):
    """Adds rounds to a model by rows that it holds, and by others that it checks each round by, if there are any."""

    def __call__(
        self, params: Params, rounds: int, model: bytes | None, callbacks: "Sequence[TrainingCallback]"
    ) -> tuple["xgboost.Booster", History]:
        """``rounds`` more trees on ``model``, or the first ones.

        Returns:
            All trees, and each of these rounds' metrics of ``fit`` and ``validation``; empty without rows to check by.
        """


class Boosting(NamedTuple):
    """One training: the name of its checkpoints, and its most rounds.

    ``checked``: it stops once validation has not become better for ``early_stopping_rounds``.
    """

    name: str
    rounds: int
    checked: bool = False


def boost(
    boosting: Boosting, params: Params, grow: Grow, train: TrainSpec, checkpoints: Checkpoints
) -> tuple["xgboost.Booster", History]:
    """Fit trees, part by part, from the last checkpoint on.

    Args:
        boosting: Which training it is.
        params: All of XGBoost's; each part has a seed of its own, reckoned from ``seed``.
        grow: What adds rounds.
        train: Rounds a part, and those without improvement that stop a checked training.
        checkpoints: Where parts that are done are kept.

    Returns:
        The trees and each round's metrics, as ``grow`` gives them.
    """
    import xgboost

    name, rounds, checked = boosting
    part = train.checkpoint_rounds or rounds
    booster: xgboost.Booster | None = None
    model, history = checkpoints.load(name) or (None, {})
    if model is not None:
        booster = xgboost.Booster(params, model_file=bytearray(model))
    done = booster.num_boosted_rounds() if booster else 0
    while done < rounds and not _stopped(history, train):
        booster, seen = grow(
            {**params, "seed": int(params["seed"]) + done // part},
            min(part - done % part, rounds - done),
            model,
            [_stop_early(history, train)] if checked else [],
        )
        history = _joined(history, seen)
        done = booster.num_boosted_rounds()
        model = bytes(booster.save_raw("ubj"))
        if done < rounds and train.checkpoint_rounds:
            checkpoints.save(name, Checkpoint(model, history))
    assert booster is not None
    return booster, history


def best_round(history: History) -> int:
    """Index of the round with the best last metric of ``validation``, the first of equals."""
    metric, values = list(history["validation"].items())[-1]
    sign = -1 if metric.split("@")[0] in _LARGER_IS_BETTER else 1
    return min(range(len(values)), key=lambda i: sign * values[i])


def _stopped(history: History, train: TrainSpec) -> bool:
    if "validation" not in history:
        return False
    (values, *_) = history["validation"].values()
    return len(values) - 1 - best_round(history) >= train.early_stopping_rounds


def _joined(before: History, after: History) -> History:
    return {
        part: {metric: [*before.get(part, {}).get(metric, []), *values] for metric, values in metrics.items()}
        for part, metrics in after.items()
    }


def _stop_early(before: History, train: TrainSpec) -> "xgboost.callback.TrainingCallback":
    """XGBoost's own rule for stopping, over the rounds of earlier parts too."""
    import xgboost

    class StopEarly(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            return _stopped(_joined(before, evals_log), train)

    return StopEarly()
