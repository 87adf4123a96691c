"""Receipts of remote jobs: one small file for each job, with its estimate and, after its end, its cost.

A receipt lies at ``<jobs_uri>/costs/<pipeline>/<month>/<job id>.json``, in the month of its submission (UTC). It is
written before the submission. So running jobs count against the month's budget too.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from upath import UPath

from contrail.config.prices import PriceTable, load_prices
from contrail.config.settings import Settings
from contrail.config.validation_errors import explain
from contrail.errors import NoPriceError, SpecError
from contrail.files import write_whole
from contrail.frozen import Frozen
from contrail.methods.cost import (
    BatchUsage,
    MachineUsage,
    Usage,
    cost_of,
    money,
    so_many,
)

State = Literal["open", "succeeded", "failed", "cancelled", "refused", "never submitted"]
# A receipt is written some seconds before its job exists. For this long it does not count as never submitted.
_SUBMISSION = timedelta(minutes=15)


class Receipt(Frozen):
    """One remote job. It is ``open`` until its end was seen.

    Amounts are in ``currency``. ``seconds`` count from the job's creation to its end.
    """

    job: str
    pipeline: str
    stage: str
    partitions: str
    days: int = Field(ge=1)
    run: str
    attempt: int
    target: str
    labels: dict[str, str]
    submitted_at: datetime
    prices: str = Field(description="File, date and region of the price table.")
    currency: str
    estimate: float | None
    estimated_from: str
    state: State = "open"
    seconds: float | None = None
    usage: Usage | None = None
    cost: float | None = None
    note: str = ""

    @property
    def month(self) -> str:
        """The month that the job counts for."""
        return month_of(self.submitted_at)

    @property
    def counted(self) -> float:
        """The amount that the job takes from the budget: its cost, or its estimate while the cost is unknown."""
        if self.state in ("refused", "never submitted"):
            return 0.0
        return (self.cost if self.cost is not None else self.estimate) or 0.0

    def closed(
        self, state: State, usage: BatchUsage | MachineUsage | None, seconds: float | None, prices: PriceTable
    ) -> "Receipt":
        """Close the receipt of a job that has ended. Without usage from the service, the estimate still counts."""
        cost, note = self.cost, "the service reported no usage; counted as estimated"
        try:
            cost, note = (cost_of(usage, prices), "") if usage else (None, note)
        except NoPriceError as error:
            note = str(error)
        ended = {"state": state, "usage": usage, "seconds": seconds, "prices": str(prices), "cost": cost, "note": note}
        return self.model_copy(update=ended)


def month_of(moment: datetime | date) -> str:
    """Return the month as ``2026-11``."""
    return f"{moment:%Y-%m}"


@dataclass(frozen=True)
class Month:
    """The receipts of a pipeline's month, and its budget. A ``budget`` of None means that none is set."""

    month: str
    receipts: list[Receipt]
    budget: float | None
    currency: str

    @property
    def ended(self) -> list[Receipt]:
        """Jobs that have ended and may have cost something."""
        return [one for one in self.receipts if one.state in ("succeeded", "failed", "cancelled")]

    @property
    def open(self) -> list[Receipt]:
        """Jobs that still run, or whose end was not seen yet."""
        return [one for one in self.receipts if one.state == "open"]

    @property
    def counted(self) -> float:
        """The amount that the month has taken: costs, and the estimates of open jobs."""
        return sum(one.counted for one in self.receipts)

    @property
    def left(self) -> float | None:
        """The rest of the budget."""
        return None if self.budget is None else self.budget - self.counted

    def report(self, pipeline: str) -> "MonthReport":
        """Report the month of a pipeline, for JSON."""
        return MonthReport(
            pipeline=pipeline,
            month=self.month,
            currency=self.currency,
            counted=self.counted,
            budget=self.budget,
            left=self.left,
            jobs=tuple(self.receipts),
        )

    def __str__(self) -> str:
        said = f"{money(sum(one.counted for one in self.ended), self.currency)} on {so_many(len(self.ended), 'job')}"
        said += f" in {self.month}"
        if self.open:
            running = money(sum(one.counted for one in self.open), self.currency)
            said += f", and {running} expected for {len(self.open)} that {'runs' if len(self.open) == 1 else 'run'}"
        unknown = [one for one in [*self.ended, *self.open] if one.cost is None and one.estimate is None]
        return said + (f" ({so_many(len(unknown), 'job')} without a price not counted)" if unknown else "")


class MonthReport(Frozen):
    """A pipeline's month as ``contrail cost --json`` prints it. Amounts are in ``currency``."""

    pipeline: str
    month: str
    currency: str
    counted: int | float  # 0 without jobs
    budget: float | None
    left: float | None
    jobs: tuple[Receipt, ...]


class Receipts:
    """The receipts of one pipeline.

    Raises:
        SpecError: when the price table is wrong.
    """

    def __init__(self, settings: Settings, pipeline: str, prices: PriceTable) -> None:
        self.settings, self.pipeline, self.prices = settings, pipeline, prices
        self.folder = UPath(f"{settings.dispatch.jobs_uri}/costs/{pipeline}")

    @classmethod
    def of(cls, settings: Settings, pipeline: str) -> "Receipts | None":
        """Open the receipts of a pipeline. None: the environment has no price table."""
        path = settings.dispatch.prices
        return cls(settings, pipeline, load_prices(path)) if path and settings.dispatch.jobs_uri else None

    def month(self, month: str) -> Month:
        """Read the receipts of a month."""
        receipts = sorted(self._read(month), key=lambda one: (one.submitted_at, one.job))
        return Month(month, receipts, self.settings.dispatch.budget_of(self.pipeline), self.prices.currency)

    def _read(self, month: str) -> list[Receipt]:
        folder = self.folder / month
        folder.fs.invalidate_cache()  # other processes write here too
        paths = folder.fs.glob(f"{folder.path}/*.json")
        # All at once: an object store needs as long for a hundred files as for a few.
        found = folder.fs.cat(paths) if paths else {}
        return [_parsed(path, content) for path, content in found.items()]

    def recent(self, now: datetime) -> list[Receipt]:
        """Read the receipts of this month and of the two before it."""
        months = [month_of(now)]
        for _ in range(2):
            months.append(month_of(date.fromisoformat(f"{months[-1]}-01") - timedelta(days=1)))
        return [receipt for month in months for receipt in self._read(month)]

    def write(self, receipt: Receipt) -> Receipt:
        """Write a receipt. It replaces the job's earlier one."""
        write_whole(self.folder / receipt.month / f"{receipt.job}.json", receipt.model_dump_json(indent=1).encode())
        return receipt

    def lost(self, now: datetime) -> list[Receipt]:
        """List the open receipts whose jobs must exist by now. The caller asks the services about them."""
        return [one for one in self.recent(now) if one.state == "open" and now - one.submitted_at > _SUBMISSION]


def _parsed(path: str, content: bytes) -> Receipt:
    try:
        return Receipt.model_validate_json(content)
    except ValidationError as error:
        raise SpecError(explain(Path(path), error, Receipt)) from error


def utc_now() -> datetime:
    """Return the time now, to the second, because people read receipts."""
    return datetime.now(UTC).replace(microsecond=0)
