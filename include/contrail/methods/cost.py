"""The cost of remote jobs: prices times usage, and the expected cost of a future job.

These are pure functions. Receipts and budgets are in ``contrail.dispatch``.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Annotated, Literal

from pydantic import Field

from contrail.config.prices import MONTH_HOURS, PriceTable, Tier
from contrail.config.targets import DataprocTarget, VertexTarget
from contrail.errors import NoPriceError, SpecError
from contrail.frozen import Frozen

HOUR = 3600.0
# Sizes of a batch, unless its properties say otherwise. Source: Google Cloud, "Spark properties" of Dataproc Serverless.
# A vCPU is 0.6 DCU and a GB of memory 0.1, so a core with its 4 GB is one DCU.
_CORES, _EXECUTORS, _MAX_EXECUTORS, _DISK_GB_A_CORE, _DCU_A_CORE = 4, 2, 1000, 100, 1.0
# With the most memory that a core may have: 7,424 MB. In the premium tier: 24,576 MB, at 0.2 DCU per GB above 8.
_MOST_DCU_A_CORE: dict[Tier, float] = {"standard": 1.325, "premium": 4.6}
_GB = {"k": 1e-6, "m": 1e-3, "g": 1.0, "t": 1e3}


class BatchUsage(Frozen):
    """The usage of a Dataproc batch, in units times seconds."""

    kind: Literal["dataproc"] = "dataproc"
    tier: Tier = "standard"
    dcu_seconds: float = Field(ge=0)
    shuffle_gb_seconds: float = Field(ge=0)
    accelerator_seconds: float = Field(default=0, ge=0)
    accelerator_type: str = ""


class MachineUsage(Frozen):
    """The usage of a Vertex AI custom job: seconds of one machine and its accelerators, on spot or not."""

    kind: Literal["vertex"] = "vertex"
    machine_type: str
    accelerator_type: str = ""
    accelerator_count: int = Field(default=0, ge=0)
    spot: bool = False
    seconds: float = Field(ge=0)


Usage = Annotated[BatchUsage | MachineUsage, Field(discriminator="kind")]


@dataclass(frozen=True)
class CostEstimate:
    """The expected cost of a job, and its basis. ``amount`` is None when the table lacks a price."""

    amount: float | None
    currency: str
    basis: str

    def __str__(self) -> str:
        return self.basis if self.amount is None else f"{money(self.amount, self.currency)} ({self.basis})"


def money(amount: float, currency: str) -> str:
    """Format an amount for people. Below ten cents it shows the first two digits, so no cost looks like zero."""
    small = 0 < abs(amount) < 0.1
    digits = max(2, 1 - math.floor(math.log10(abs(amount)))) if small else 2
    return f"{currency} {amount:,.{digits}f}"


def so_many(number: int, noun: str) -> str:
    """Format a count: ``1 job``, ``2 jobs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def cost_of(usage: BatchUsage | MachineUsage, prices: PriceTable) -> float:
    """Compute the cost of a job's usage, in the table's currency.

    Raises:
        NoPriceError: for a tier, a machine or an accelerator without a price.
    """
    if isinstance(usage, BatchUsage):
        return _batch_cost(usage, prices)
    # A job that never ran costs nothing, whatever its machine would have cost.
    return usage.seconds / HOUR * _machine_hour(usage, prices) if usage.seconds else 0.0


def _batch_cost(usage: BatchUsage, prices: PriceTable) -> float:
    tier = prices.batch(usage.tier)
    total = usage.dcu_seconds / HOUR * tier.dcu_hour
    total += usage.shuffle_gb_seconds / HOUR / MONTH_HOURS * tier.shuffle_gb_month
    if usage.accelerator_seconds:
        if usage.accelerator_type not in tier.accelerator_hours:
            raise NoPriceError(f"no price for {usage.accelerator_type} of Dataproc Serverless in {prices.file}")
        total += usage.accelerator_seconds / HOUR * tier.accelerator_hours[usage.accelerator_type]
    return total


def _machine_hour(usage: MachineUsage, prices: PriceTable) -> float:
    hour = prices.hour(usage.machine_type, prices.vertex.machines, usage.spot)
    if usage.machine_type.startswith("n1-") and usage.accelerator_count:  # the price of other machines includes theirs
        hour += usage.accelerator_count * prices.hour(usage.accelerator_type, prices.vertex.accelerators, usage.spot)
    return hour


def tier_of(target: DataprocTarget) -> Tier:
    """Return the tier of a batch: premium if any part of it is premium, so that no price is too low."""
    ends = ("dataproc.tier", ".compute.tier", ".disk.tier")
    named = [value for name, value in target.properties.items() if name.endswith(ends)]
    return "premium" if "premium" in named else "standard"


def usage_of(
    target: DataprocTarget | VertexTarget, seconds: float, attempt: int = 1, *, most: bool = False
) -> BatchUsage | MachineUsage:
    """Compute the usage of a job of ``seconds``, of a batch as ``batch_usage`` does."""
    if isinstance(target, VertexTarget):
        place = target.place(attempt)
        return MachineUsage(
            machine_type=place.machine_type, accelerator_type=place.accelerator_type or "",
            accelerator_count=place.accelerator_count, spot=place.spot, seconds=seconds,
        )  # fmt: skip
    return batch_usage(target, seconds, most=most)


def batch_usage(target: DataprocTarget, seconds: float, *, most: bool = False) -> BatchUsage:
    """Compute the usage of a batch of ``seconds`` at its first size, or with ``most`` at its largest."""
    executors = _executors(target, most)
    driver, executor = (_node(target, role) for role in ("driver", "executor"))
    dcus, disks = (d + executors * e for d, e in zip(driver, executor, strict=True))
    gpus = int(target.properties.get("spark.executor.resource.gpu.amount", "1")) if target.accelerator_type else 0
    return BatchUsage(
        tier=tier_of(target), dcu_seconds=dcus * seconds, shuffle_gb_seconds=disks * seconds,
        accelerator_seconds=executors * gpus * seconds, accelerator_type=target.accelerator_type,
    )  # fmt: skip


def _executors(target: DataprocTarget, most: bool) -> int:
    given = target.properties
    first = int(given.get("spark.executor.instances", _EXECUTORS))
    if not most or given.get("spark.dynamicAllocation.enabled") == "false":
        return first
    return max(first, int(given.get("spark.dynamicAllocation.maxExecutors", _MAX_EXECUTORS)))


def _node(target: DataprocTarget, role: str) -> tuple[float, float]:
    """Return DCUs and GB of disk of the driver or of an executor."""
    given = target.properties
    cores = int(given.get(f"spark.{role}.cores", _CORES))
    sized = any(name.startswith(f"spark.{role}.memory") for name in given)
    size = re.fullmatch(r"([0-9.]+)([kmgt])b?", given.get(f"spark.dataproc.{role}.disk.size", "").lower())
    disk = float(size[1]) * _GB[size[2]] if size else cores * _DISK_GB_A_CORE
    return cores * (_MOST_DCU_A_CORE[tier_of(target)] if sized else _DCU_A_CORE), disk


def expected_cost(
    history: Sequence[tuple[int, BatchUsage | MachineUsage]],
    days: int,
    target: DataprocTarget | VertexTarget,
    prices: PriceTable,
    attempt: int = 1,
) -> CostEstimate:
    """Estimate the cost of a job from earlier successful jobs, at today's prices.

    The estimate is the median cost of the jobs with the nearest number of days. More days cost more in proportion; fewer
    days cost the same. The target's time limit is the upper bound. Without history the estimate is that bound.

    Args:
        history: Partitions and use of earlier jobs of the stage on the target.
        days: Partitions of the job.
        target: Where the job runs.
        prices: Today's prices.
        attempt: The attempt, counted from 1. It says whether the job runs on spot.
    """
    try:
        most = cost_of(usage_of(target, target.timeout_minutes * 60, attempt, most=True), prices)
        past = [(n, cost_of(_on(target, usage, attempt), prices)) for n, usage in history]
    except NoPriceError as error:
        return CostEstimate(None, prices.currency, str(error))
    if not past:
        basis = f"not known yet; at most this, by its limit of {target.timeout_minutes} minutes"
        return CostEstimate(most, prices.currency, basis)
    nearest = min((n for n, _ in past), key=lambda n: abs(math.log(n / days)))
    alike = [cost for n, cost in past if n == nearest]
    amount = min(median(alike) * max(1.0, days / nearest), most)
    basis = f"from {so_many(len(alike), 'earlier job')} of {so_many(nearest, 'day')}"
    return CostEstimate(amount, prices.currency, basis)


@dataclass(frozen=True)
class Assumption:
    """A guess for a future month: the number of a stage's jobs, and the minutes of each.

    Raises:
        SpecError: when the text is not of the form ``STAGE=JOBSxMINUTES``.
    """

    stage: str
    jobs: int
    minutes: float

    @classmethod
    def parse(cls, text: str) -> "Assumption":
        """Read a guess: ``features=30x4`` means 30 jobs of 4 minutes."""
        found = re.fullmatch(r"([a-z]+)=([0-9]+)x([0-9.]+)", text)
        if not found:
            raise SpecError(f"--assume {text}: write it as STAGE=JOBSxMINUTES, for example features=30x4")
        return cls(found[1], int(found[2]), float(found[3]))

    def cost(self, target: DataprocTarget | VertexTarget, prices: PriceTable) -> float:
        """Compute the cost of the month's jobs. Each counts as a first attempt at its first size.

        Raises:
            NoPriceError: as ``cost_of``.
        """
        return self.jobs * cost_of(usage_of(target, self.minutes * 60), prices)


def _on(
    target: DataprocTarget | VertexTarget, usage: BatchUsage | MachineUsage, attempt: int
) -> BatchUsage | MachineUsage:
    """Return the usage on today's machine. The job may have run on another one, or on spot."""
    return usage_of(target, usage.seconds, attempt) if isinstance(usage, MachineUsage) else usage


def cores_of(target: DataprocTarget) -> int:
    """Return the CPUs with which a batch starts: those of its driver and of its first executors."""
    driver, executor = (int(target.properties.get(f"spark.{role}.cores", _CORES)) for role in ("driver", "executor"))
    return driver + _executors(target, most=False) * executor
