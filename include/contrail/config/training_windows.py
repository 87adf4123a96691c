"""Which partitions a training run reads, and which ones its gate judges it on."""

from dataclasses import dataclass
from datetime import date, timedelta

from contrail.config.spec import PipelineSpec
from contrail.errors import SpecError
from contrail.partitions import Partitions


@dataclass(frozen=True)
class TrainingWindows:
    """``train`` is fitted and stopped on; ``gate`` lies after it, with the embargo between."""

    train: Partitions
    gate: Partitions


def training_windows(spec: PipelineSpec, as_of: date) -> TrainingWindows:
    """The windows of a run that may use what was known at the cut-off of ``as_of``.

    The gate has the last ``gate.window_days`` partitions before ``as_of``; training ends ``train.embargo_days`` before
    them and reaches back ``train.window_days``, at most to the pipeline's first partition.

    Raises:
        SpecError: if less than the validation window and its embargo would be left to fit on.
    """
    gate_end = as_of - timedelta(days=1)
    if spec.last_partition:
        gate_end = min(gate_end, spec.last_partition)
    gate = Partitions(gate_end - timedelta(days=spec.gate.window_days - 1), gate_end)
    end = gate.start - timedelta(days=1 + spec.train.embargo_days)
    start = max(end - timedelta(days=spec.train.window_days - 1), spec.first_partition)
    needed = spec.train.validation_days + spec.train.embargo_days + 1
    if (end - start).days + 1 <= needed:
        raise SpecError(
            f"{spec.name}: as of {as_of} there are too few days to train on: training would read {start} to {end}, and "
            f"validation with its embargo takes {needed - 1} of them. Choose a later day, or make the windows shorter."
        )
    return TrainingWindows(Partitions(start, end), gate)


def as_of_training(spec: PipelineSpec, end: date) -> date:
    """The day at whose cut-off a training that reads up to ``end`` leaves just enough days to judge it on."""
    return end + timedelta(days=1 + spec.train.embargo_days + spec.gate.window_days)
