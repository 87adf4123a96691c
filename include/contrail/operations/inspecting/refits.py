"""Trees that grow again without features, with the same parameters and rounds, and the loss of what they predict.

Each is kept as soon as it is done, so that a second call or one after a kill reads it.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from contrail.errors import SpecError
from contrail.frozen import Frozen
from contrail.methods.boosting import Params
from contrail.methods.encoded_rows import ChosenColumns
from contrail.methods.feature_worth import Floats, noise_between
from contrail.methods.fit import fit_unseen
from contrail.methods.intervals import Interval
from contrail.methods.matrices import TrainingRows
from contrail.methods.trainer import ThisProcess
from contrail.operations.inspecting.subject import Sample, Subject, Trained

_POSITIONAL, _LISTED = "monotone_constraints", "interaction_constraints"
_STEP = 7919  # between seeds; any number would do


class Refit(Frozen):
    """The loss by day of trees without some features, of one seed. ``seconds`` are of processors."""

    without: tuple[str, ...]
    seed: int
    sums: tuple[float, ...]
    seconds: float


class Refits:
    """Refits of a subject, each made once.

    Args:
        subject: The model.
        sample: The rows that judge.
        trained: The rows that trees grow on; called when the first tree must grow.
        kept: What earlier calls have done.
        keep: Takes all that is done, after each refit.
    """

    def __init__(
        self,
        subject: Subject,
        sample: Sample,
        trained: Callable[[], Trained],
        kept: Iterable[Refit],
        keep: Callable[[Sequence[Refit]], None],
    ) -> None:
        self._subject, self._sample, self._trained = subject, sample, trained
        self._done = {(one.without, one.seed): one for one in kept}
        self._keep = keep
        self.made = 0

    def usual(self, seeds: int) -> Floats:
        """The loss by day of trees with all features, the mean of seeds."""
        return self._mean((), seeds)

    def added(self, without: Iterable[str], usual_seeds: int, seeds: int) -> Interval:
        """Compute the loss that trees without features add, with an interval over days and seeds."""
        judged = self._sample.judged
        usual = [self.one((), seed) for seed in range(usual_seeds)]
        noise = noise_between([judged.loss(np.array(one.sums)) for one in usual], seeds)
        return judged.added(self.usual(usual_seeds), self._mean(without, seeds), noise)

    def seed_noise(self, seeds: int) -> float:
        """The standard deviation of the loss between seeds, with all features."""
        losses = [self._sample.judged.loss(np.array(self.one((), seed).sums)) for seed in range(seeds)]
        return float(np.std(losses, ddof=1)) if len(losses) > 1 else 0.0

    def one(self, without: Iterable[str], seed: int) -> Refit:
        """Grow trees without features, or read what was done."""
        names = tuple(sorted(without))
        found = self._done.get((names, seed))
        if found is None:
            found = self._grown(names, seed)
            self._done[names, seed] = found
            self.made += 1
            self._keep([*self._done.values()])
        return found

    @property
    def seconds(self) -> float:
        """Processor seconds of all of them."""
        return sum(one.seconds for one in self._done.values())

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._done)

    def _mean(self, without: Iterable[str], seeds: int) -> Floats:
        names = tuple(without)
        return np.mean([self.one(names, seed).sums for seed in range(seeds)], axis=0)

    def _grown(self, names: tuple[str, ...], seed: int) -> Refit:
        trained, package, started = self._trained(), self._subject.package, time.process_time()
        card = package.card
        today = dict(zip(package.features, card.features, strict=True))
        gone = {today[name] for name in names}
        kept = tuple(name for name in card.features if name not in gone)
        rows = TrainingRows(ChosenColumns(trained.rows.encoded, kept), trained.rows.labels)
        record, device = card.training, ThisProcess().device("auto", len(trained.rows.labels))
        params = params_without({**record.params, "device": device}, card.features, gone)
        params["seed"] = int(params["seed"]) + seed * _STEP
        booster = fit_unseen(rows, trained.fit, params, record.rounds)
        booster.set_param({"device": "cpu"})
        matrix = self._sample.matrix[:, [card.features.index(name) for name in kept]]
        predictions = np.asarray(booster.inplace_predict(matrix), np.float64)
        sums = tuple(map(float, self._sample.judged.sums(predictions)))
        return Refit(without=names, seed=seed, sums=sums, seconds=round(time.process_time() - started, 3))


def params_without(params: Mapping[str, int | float | str | bool], names: Sequence[str], gone: set[str]) -> Params:
    """The parameters for fewer features: constraints by position lose those of the features that are gone.

    Raises:
        SpecError: when the parameters constrain interactions, which name features in lists.
    """
    found = dict(params)
    if gone and found.get(_LISTED):
        raise SpecError(
            f"the model was trained with {_LISTED}, so trees without a feature would be of another kind. "
            "Inspect a version without them: --model N"
        )
    signs = str(found.get(_POSITIONAL, ""))
    if signs.startswith(("(", "[")):
        each = [one.strip() for one in signs[1:-1].split(",") if one.strip()]
        left = [one for name, one in zip(names, each, strict=False) if name not in gone]
        found[_POSITIONAL] = f"({','.join(left)})"
    return found
