"""What remote jobs cost: prices × what they used, and what one to come is expected to cost.

Pure: where receipts lie and what a budget refuses is in ``contrail.dispatch.receipts``.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Annotated, Literal

from pydantic import Field

from contrail.config.prices import PriceTable, Tier
from contrail.config.targets import DataprocTarget, VertexTarget
from contrail.errors import NoPriceError, SpecError
from contrail.frozen import Frozen

HOUR = 3600.0
MONTH_HOURS = 730.0  # Google's month: its price of a GB-month is 730 times that of a GB-hour
# Sizes that a batch has unless its properties say otherwise. Source: Google Cloud, "Spark properties" of Dataproc
# Serverless; a vCPU is 0.6 DCU and a GB of memory 0.1, so that a core with its 4 GB is one DCU.
_CORES, _EXECUTORS, _MAX_EXECUTORS, _DISK_GB_A_CORE, _DCU_A_CORE = 4, 2, 1000, 100, 1.0
# With the most memory that a core may be given: 7,424 MB; in the premium tier 24,576 MB, 0.2 DCU a GB above 8.
_MOST_DCU_A_CORE: dict[Tier, float] = {"standard": 1.325, "premium": 4.6}
_GB = {"k": 1e-6, "m": 1e-3, "g": 1.0, "t": 1e3}


class BatchUsage(Frozen):
    """What a Dataproc batch used: its units times seconds."""

    kind: Literal["dataproc"] = "dataproc"
    tier: Tier = "standard"
    dcu_seconds: float = Field(ge=0)
    shuffle_gb_seconds: float = Field(ge=0)
    accelerator_seconds: float = Field(default=0, ge=0)
    accelerator_type: str = ""


class MachineUsage(Frozen):
    """What a Vertex AI custom job used: seconds of one machine and its accelerators, on spot or not."""

    kind: Literal["vertex"] = "vertex"
    machine_type: str
    accelerator_type: str = ""
    accelerator_count: int = Field(default=0, ge=0)
    spot: bool = False
    seconds: float = Field(ge=0)


Usage = Annotated[BatchUsage | MachineUsage, Field(discriminator="kind")]


@dataclass(frozen=True)
class CostEstimate:
    """What a job is expected to cost and why; no ``amount`` where the table lacks a price."""

    amount: float | None
    currency: str
    basis: str

    def __str__(self) -> str:
        return self.basis if self.amount is None else f"{money(self.amount, self.currency)} ({self.basis})"


def money(amount: float, currency: str) -> str:
    """An amount for people; below ten cents with its first two digits, so that no cost reads as nothing."""
    small = 0 < abs(amount) < 0.1
    digits = max(2, 1 - math.floor(math.log10(abs(amount)))) if small else 2
    return f"{currency} {amount:,.{digits}f}"


def so_many(number: int, noun: str) -> str:
    """``1 job``, ``2 jobs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def cost_of(usage: BatchUsage | MachineUsage, prices: PriceTable) -> float:
    """The cost of what a job used, in the table's currency.

    Raises:
        NoPriceError: for a tier, a machine or an accelerator without a price.
    """
    if isinstance(usage, BatchUsage):
        return _batch_cost(usage, prices)
    return usage.seconds / HOUR * _machine_hour(usage, prices)


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
    if usage.machine_type.startswith("n1-") and usage.accelerator_count:  # others come with theirs
        hour += usage.accelerator_count * prices.hour(usage.accelerator_type, prices.vertex.accelerators, usage.spot)
    return hour


def tier_of(target: DataprocTarget) -> Tier:
    """Premium when anything of the batch is."""
    named = [value for name, value in target.properties.items() if name.endswith((".compute.tier", ".disk.tier"))]
    return "premium" if "premium" in named else "standard"


def usage_of(
    target: DataprocTarget | VertexTarget, seconds: float, attempt: int = 1, *, most: bool = False
) -> BatchUsage | MachineUsage:
    """What a job of so many seconds uses: a batch at the size that it starts with, or at the most that it may grow to."""
    if isinstance(target, VertexTarget):
        return MachineUsage(
            machine_type=target.machine_type, accelerator_type=target.accelerator_type or "",
            accelerator_count=target.accelerator_count, spot=target.on_spot(attempt), seconds=seconds,
        )  # fmt: skip
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
    """DCUs and GB of disk of the driver or of an executor."""
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
    """What a job of so many partitions will cost, from jobs like it that ended well, at today's prices.

    The median of those that are nearest in days; more days cost more in proportion, fewer at most as much, and none
    more than the target's time limit lets it. Without history, that limit is all that is known.

    Args:
        history: Partitions and use of earlier jobs of the stage on the target.
        days: Partitions of the job.
        target: Where it runs.
        prices: Today's prices.
        attempt: Of the piece of work, counted from 1; says whether it is on spot.
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
    """So many jobs of a stage in a month, of so many minutes each: a guess, for a month that nobody has seen yet.

    Raises:
        SpecError: when it is not written as ``STAGE=JOBSxMINUTES``.
    """

    stage: str
    jobs: int
    minutes: float

    @classmethod
    def parse(cls, text: str) -> "Assumption":
        """``features=30x4`` is 30 jobs of 4 minutes."""
        found = re.fullmatch(r"([a-z]+)=([0-9]+)x([0-9.]+)", text)
        if not found:
            raise SpecError(f"--assume {text}: write it as STAGE=JOBSxMINUTES, for example features=30x4")
        return cls(found[1], int(found[2]), float(found[3]))

    def cost(self, target: DataprocTarget | VertexTarget, prices: PriceTable) -> float:
        """Of its jobs in a month, each a first attempt at the size that it starts with.

        Raises:
            NoPriceError: as ``cost_of``.
        """
        return self.jobs * cost_of(usage_of(target, self.minutes * 60), prices)


def _on(
    target: DataprocTarget | VertexTarget, usage: BatchUsage | MachineUsage, attempt: int
) -> BatchUsage | MachineUsage:
    """What was used, as if on the machine of today: it may have been another one, or a spot machine."""
    return usage_of(target, usage.seconds, attempt) if isinstance(usage, MachineUsage) else usage
