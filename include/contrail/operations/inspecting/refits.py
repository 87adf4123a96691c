"""Trees that grow again without features, with the same parameters and rounds, and the loss of what they predict.

The features stay as columns without a value. So a seed draws the same rows and columns for every tree, with the features and
without, and two trees differ by the features alone: on flights, the noise of seeds is a third of what it is when columns
are taken out.

Each tree is kept as soon as it is done, so that a second call or one after a kill reads it.
"""

import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from contrail.frozen import Frozen
from contrail.methods.encoded_rows import BlankedColumns
from contrail.methods.feature_verdicts import Drop
from contrail.methods.feature_worth import pooled_spread
from contrail.methods.fit import fit_unseen
from contrail.methods.intervals import Interval
from contrail.methods.matrices import TrainingRows
from contrail.methods.trainer import ThisProcess
from contrail.operations.inspecting.subject import Sample, Subject, Trained

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
        self._used = dict[tuple[Drop, int], Refit]()
        self.grown = 0

    def differences(self, without: Iterable[str], seeds: int) -> list[float]:
        """The loss that trees without features add, of each seed."""
        loss = self._sample.judged.loss
        pairs = [(self.one(without, seed), self.one((), seed)) for seed in range(seeds)]
        return [loss(np.array(one.sums)) - loss(np.array(usual.sums)) for one, usual in pairs]

    def added(self, without: Iterable[str], seeds: int, spread: float) -> Interval:
        """Compute the loss that trees without features add, with an interval over days and seeds.

        Args:
            without: The features.
            seeds: How many; the loss is their mean.
            spread: Standard deviation of the difference between seeds. The own one counts where it is larger.
        """
        names, own = tuple(without), pooled_spread([self.differences(without, seeds)])
        usual, other = (np.mean([self.one(which, seed).sums for seed in range(seeds)], axis=0) for which in ((), names))
        return self._sample.judged.added(usual, other, max(spread, own if seeds > 2 else 0.0) / np.sqrt(seeds))

    def one(self, without: Iterable[str], seed: int) -> Refit:
        """Grow trees without features, or read what was done."""
        names = tuple(sorted(without))
        found = self._done.get((names, seed))
        if found is None:
            found = self._grown(names, seed)
            self._done[names, seed] = found
            self.grown += 1
            self._keep([*self._done.values()])
        self._used[names, seed] = found
        return found

    @property
    def seconds(self) -> float:
        """Processor seconds of those that were asked for."""
        return sum(one.seconds for one in self._used.values())

    @property
    def count(self) -> int:
        """How many were asked for."""
        return len(self._used)

    def _grown(self, names: Drop, seed: int) -> Refit:
        trained, package, started = self._trained(), self._subject.package, time.process_time()
        card, record = package.card, package.card.training
        of_training = dict(zip(package.features, card.features, strict=True))
        blank = [of_training[name] for name in names]
        # Without the feature that scores start from, the trees have one start for all, as a training without it would.
        offset = None if card.offset and card.offset.feature in blank else card.offset
        rows = TrainingRows(BlankedColumns(trained.rows.encoded, blank), trained.rows.labels, offset=offset)
        device = ThisProcess().device("auto", len(rows.labels))
        params = {**record.params, "device": device, "seed": int(record.params["seed"]) + seed * _STEP}
        booster = fit_unseen(rows, trained.fit, params, record.rounds)
        booster.set_param({"device": "cpu"})
        matrix = self._sample.matrix
        starts = rows.starts(matrix)
        predictions = np.asarray(booster.inplace_predict(matrix, base_margin=starts), np.float64)
        sums = tuple(map(float, self._sample.judged.sums(predictions)))
        return Refit(without=names, seed=seed, sums=sums, seconds=round(time.process_time() - started, 3))
