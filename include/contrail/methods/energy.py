"""The time that a training took, and an estimate of its energy and carbon: seconds times watts times the grid's factor."""

from contrail.config.energy import EnergySettings
from contrail.frozen import Frozen

# The tag of a version with its ``TrainingCost`` as JSON.
COST = "training_cost"
_JOULES_PER_KWH = 3.6e6


class TrainingCost(Frozen):
    """What a training took. ``core_seconds`` are busy seconds of this process's cores, ``gpu_seconds`` those of its GPU.

    With more than one of ``workers``, executors grew the trees. Theirs are not counted.
    """

    seconds: float
    core_seconds: float
    gpu_seconds: float
    workers: int
    factors: EnergySettings

    @property
    def kwh(self) -> float:
        """The estimated energy."""
        watt_seconds = self.core_seconds * self.factors.core_watts + self.gpu_seconds * self.factors.gpu_watts
        return watt_seconds * self.factors.overhead / _JOULES_PER_KWH

    @property
    def grams(self) -> float:
        """The estimated CO2 of that energy, in grams."""
        return self.kwh * self.factors.grams_per_kwh
