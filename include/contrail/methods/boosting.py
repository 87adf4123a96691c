"""Boosting in parts: an interrupted training continues from its last checkpoint and ends with the same trees.

XGBoost keeps no random state in a model, so a resumed training would draw other numbers. Here every part of
``checkpoint_rounds`` starts like a resumed training: from the trees so far, with its own seed. So an uninterrupted
training is the same sequence of parts.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from contrail.config.model_spec import TrainSpec

if TYPE_CHECKING:
    import xgboost
    from xgboost.callback import TrainingCallback

Params = dict[str, int | float | str | bool]
History = dict[str, dict[str, list[float]]]
# XGBoost's own list of metrics for which larger is better.
_LARGER_IS_BETTER = ("auc", "aucpr", "map", "ndcg", "pre")


class Checkpoint(NamedTuple):
    """The trees so far, and the metrics of each round so far."""

    model: bytes
    history: History


class Checkpoints(Protocol):
    """A store of checkpoints, by the name of their training."""

    def load(self, name: str) -> Checkpoint | None:
        """Return the newest checkpoint, or None."""

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in place of the last one."""


class NoCheckpoints:
    """A store that keeps nothing. An interrupted training starts again."""

    def load(self, name: str) -> None:
        """Return None."""

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Do nothing."""


class Grow(Protocol):
    """A function that adds rounds to a model. It holds the training rows and, if any, the validation rows."""

    def __call__(
        self, params: Params, rounds: int, model: bytes | None, callbacks: "Sequence[TrainingCallback]"
    ) -> tuple["xgboost.Booster", History]:
        """Grow ``rounds`` more trees on ``model``, or the first ones.

        Returns:
            All trees, and the metrics of these rounds for ``fit`` and ``validation``. Without validation rows there are
            no metrics.
        """


class Boosting(NamedTuple):
    """One training: the name of its checkpoints, and the most rounds that it may have.

    A ``checked`` training stops when validation has not improved for ``early_stopping_rounds``.
    """

    name: str
    rounds: int
    checked: bool = False


def boost(
    boosting: Boosting, params: Params, grow: Grow, train: TrainSpec, checkpoints: Checkpoints
) -> tuple["xgboost.Booster", History]:
    """Fit trees part by part, starting from the last checkpoint.

    Args:
        boosting: The training.
        params: All of XGBoost's parameters. Each part has its own seed, derived from ``seed``.
        grow: The function that adds rounds.
        train: Has the rounds per part, and the rounds without improvement that stop a checked training.
        checkpoints: The store of finished parts.

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
    """Return the index of the best round by the last metric of ``validation``. Of equals, the first wins."""
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
    """Apply XGBoost's own stopping rule to the rounds of earlier parts too."""
    import xgboost

    class StopEarly(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            return _stopped(_joined(before, evals_log), train)

    return StopEarly()
