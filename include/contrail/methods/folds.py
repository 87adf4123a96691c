"""Rolling folds in the order of time: train on days, leave a gap, predict the days after it. Never a random split.

Each fold is a small copy of what happens to a model: ``train`` cuts its days into fit, embargo and validation, and the gate
judges it on days that come after another embargo.
"""

from dataclasses import dataclass
from datetime import timedelta

from contrail.config.model_spec import TrainSpec
from contrail.config.tune_spec import TuneSpec
from contrail.errors import SpecError
from contrail.methods.splits import Split, split_window
from contrail.partitions import Partitions


@dataclass(frozen=True)
class Fold:
    """A training and the days that it predicts: ``split`` ends ``embargo_days`` before ``test`` begins."""

    split: Split
    test: Partitions

    @property
    def train(self) -> Partitions:
        """All days of its training."""
        return Partitions(self.split.fit.start, self.split.validation.end)


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def rolling_folds(window: Partitions, train: TrainSpec, tune: TuneSpec) -> tuple[Fold, ...]:
    """Cut a range into folds, the oldest first. Their test days are the last days of the range, without a gap.

    Args:
        window: All days that the search may read.
        train: Has the days of validation and of the embargo.
        tune: Has the number of folds and their days, and how the trainings grow.

    Raises:
        SpecError: when the first fold would have nothing to fit.
    """
    tested = tune.folds * tune.fold_days
    needed = tested + 2 * train.embargo_days + train.validation_days + 1
    if len(window) < needed:
        raise SpecError(
            f"{window} has {_days(len(window))}, but the search needs {needed}: {tune.folds} folds of {tune.fold_days} days, "
            f"{train.validation_days} days of validation, an embargo of {train.embargo_days} days before both, and a day to "
            "fit. Choose a longer range, or lower tune.folds or tune.fold_days."
        )
    first = window.end - timedelta(days=tested - 1)
    days = (first - window.start).days - train.embargo_days
    found = []
    for number in range(tune.folds):
        start = first + timedelta(days=number * tune.fold_days)
        end = start - timedelta(days=train.embargo_days + 1)
        begin = window.start if tune.window == "expanding" else end - timedelta(days=days - 1)
        split = split_window(Partitions(begin, end), train.validation_days, train.embargo_days)
        found.append(Fold(split, Partitions(start, start + timedelta(days=tune.fold_days - 1))))
    return tuple(found)
