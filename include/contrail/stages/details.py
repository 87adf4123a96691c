"""The base of what a stage says of itself in its result, and what a search for parameters says.

The other stages' details, and the results around them, are in ``results``.
"""

from collections.abc import Mapping

from contrail.config.tune_spec import Value
from contrail.frozen import Frozen


class StageDetails(Frozen):
    """The part of a result that is the stage's own. Partitions are texts: a day, or ``first..last``."""


class TuneDetails(StageDetails):
    """What a search found. ``best`` is the number of the best trial, 0 where today's parameters are; ``params`` are its own.

    ``stopped`` trials were given up early, and ``failed`` have no value.
    ``gain`` says how much better it is than today's on the same days: estimate, and the ends of the 95 % interval.
    ``model_version`` is the candidate that was trained with them; None where none was.
    """

    model_name: str
    study: str
    trials: int
    wanted: int
    stopped: int
    failed: int = 0
    best: int
    params: Mapping[str, Value]
    metric: str
    value: float
    today: float
    gain: tuple[float, float, float]
    mlflow_run: str
    model_version: str | None = None
