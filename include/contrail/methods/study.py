"""The records of a study: what a search for parameters keeps of itself and of each finished trial.

Where they are kept belongs to the stage ``tune``.
"""

import base64
from datetime import date, datetime

import numpy as np

from contrail.config.tune_spec import Value
from contrail.frozen import Frozen
from contrail.methods.energy import TrainingCost
from contrail.methods.paired_days import Resamples, mean_of

TODAY = 0  # the number of the trial with today's parameters
Curve = tuple[tuple[int, float], ...]


class FoldRecord(Frozen):
    """A trial on a fold: the days that it predicted, and how well. ``resampled`` are float32 in base64.

    ``fit`` and ``validation`` are learning curves: a round, and the metric of the rounds up to it.
    """

    first: date
    last: date
    rows: int
    rounds: int
    value: float
    seconds: float
    fit: Curve
    validation: Curve
    resampled: str

    @property
    def resamples(self) -> Resamples:
        """The metric on all days, and on each resample of them."""
        found = np.frombuffer(base64.b64decode(self.resampled), np.float32).astype(np.float64)
        found[0] = self.value
        return found


def packed(resamples: Resamples) -> str:
    """The text of ``FoldRecord.resampled``. A float32 is a hundred times finer than any interval."""
    return base64.b64encode(resamples.astype(np.float32).tobytes()).decode()


class TrialRecord(Frozen):
    """A finished trial. ``params`` are what it changed: none in trial 0, which has today's parameters.

    ``worse_than`` is the trial against which it was given up before its last fold. ``failed`` says why it has no value: its
    trees diverged. Both are None for a whole one. ``folds`` are those before that.
    """

    number: int
    params: dict[str, Value]
    folds: tuple[FoldRecord, ...]
    worse_than: int | None
    failed: str | None = None
    began: datetime
    ended: datetime
    cost: TrainingCost
    threads: int
    device: str

    @property
    def whole(self) -> bool:
        """Whether it had every fold."""
        return self.worse_than is None and self.failed is None

    @property
    def values(self) -> list[Resamples]:
        """Its metric on each fold."""
        return [fold.resamples for fold in self.folds]

    @property
    def value(self) -> float:
        """Its metric, the mean over its folds."""
        return float(mean_of(self.values)[0])


class StudyRecord(Frozen):
    """A study. ``made_of`` is all that its trials depend on beside their own parameters.

    ``candidate`` is the version that was trained with the parameters of trial ``trained``.
    """

    name: str
    pipeline: str
    first: date
    last: date
    metric: str
    made_of: dict[str, str]
    begun_at: datetime
    person: str
    mlflow_run: str
    trained: int | None = None
    candidate: str | None = None
