"""Receipts of remote jobs: one small file a job, with its estimate from before it and its cost from after it.

A receipt lies at ``<jobs_uri>/costs/<pipeline>/<month>/<job id>.json``, the month being that of its submission (UTC).
It is written before the job is submitted, so that jobs which run count against the budget of the month.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from upath import UPath

from contrail.config.prices import PriceTable, load_prices
from contrail.config.settings import Settings
from contrail.config.targets import LOCAL, DataprocTarget, VertexTarget
from contrail.config.validation_errors import explain
from contrail.dispatch.payload import Job, labels
from contrail.errors import BudgetError, NoPriceError, SpecError
from contrail.files import write_whole
from contrail.methods.cost import (
    MONTH_HOURS,
    Assumption,
    BatchUsage,
    CostEstimate,
    MachineUsage,
    Usage,
    cost_of,
    expected_cost,
    money,
    so_many,
)
from contrail.partitions import Partitions

State = Literal["open", "succeeded", "failed", "cancelled", "refused", "never submitted"]
# A receipt is written some seconds before its job is there; so long it is not taken for one that never came.
_SUBMISSION = timedelta(minutes=15)


class Receipt(BaseModel):
    """One remote job. ``open`` until its end was seen; amounts are in ``currency``, ``seconds`` from creation to end."""

    model_config = ConfigDict(frozen=True, extra="forbid")
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
        """The month that it counts for."""
        return month_of(self.submitted_at)

    @property
    def counted(self) -> float:
        """What it takes from the budget: its cost, or its estimate while that is not known."""
        if self.state in ("refused", "never submitted"):
            return 0.0
        return (self.cost if self.cost is not None else self.estimate) or 0.0

    def closed(
        self, state: State, usage: BatchUsage | MachineUsage | None, seconds: float | None, prices: PriceTable
    ) -> "Receipt":
        """The receipt of a job that has ended; one that the service gave no usage for counts as it was estimated."""
        found: dict[str, Any] = {"state": state, "usage": usage, "seconds": seconds, "prices": _shown(prices)}
        try:
            found["cost"] = cost_of(usage, prices) if usage else None
            found["note"] = "" if usage else "the service has said nothing of its use; counted as estimated"
        except NoPriceError as error:
            found["note"] = str(error)
        return self.model_copy(update=found)


def month_of(moment: datetime | date) -> str:
    """``2026-11``."""
    return f"{moment:%Y-%m}"


def _shown(prices: PriceTable) -> str:
    return f"{prices.file} of {prices.read_on}, {prices.region}"


@dataclass(frozen=True)
class Month:
    """The receipts of a pipeline's month beside its budget, which is None where nobody has set one."""

    month: str
    receipts: list[Receipt]
    budget: float | None
    currency: str

    @property
    def ended(self) -> list[Receipt]:
        """Jobs that have used something and will use no more."""
        return [one for one in self.receipts if one.state in ("succeeded", "failed", "cancelled")]

    @property
    def open(self) -> list[Receipt]:
        """Jobs that run, or whose end nobody has seen yet."""
        return [one for one in self.receipts if one.state == "open"]

    @property
    def counted(self) -> float:
        """What the month has taken: costs, and the estimates of open jobs."""
        return sum(one.counted for one in self.receipts)

    @property
    def left(self) -> float | None:
        """What is left of the budget."""
        return None if self.budget is None else self.budget - self.counted

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "month": self.month,
            "currency": self.currency,
            "counted": self.counted,
            "budget": self.budget,
            "left": self.left,
            "jobs": [one.model_dump(mode="json") for one in self.receipts],
        }

    def __str__(self) -> str:
        said = f"{money(sum(one.counted for one in self.ended), self.currency)} on {so_many(len(self.ended), 'job')}"
        said += f" in {self.month}"
        if self.open:
            running = money(sum(one.counted for one in self.open), self.currency)
            said += f", and {running} expected for {len(self.open)} that {'runs' if len(self.open) == 1 else 'run'}"
        unknown = [one for one in [*self.ended, *self.open] if one.cost is None and one.estimate is None]
        return said + (f" ({so_many(len(unknown), 'job')} without a price not counted)" if unknown else "")


class Receipts:
    """The receipts of one pipeline.

    Raises:
        SpecError: when the price table is wrong.
    """

    def __init__(self, settings: Settings, pipeline: str, prices: PriceTable) -> None:
        self.settings, self.pipeline, self.prices = settings, pipeline, prices
        self._dispatch = settings.dispatch
        self.folder = UPath(f"{self._dispatch.jobs_uri}/costs/{pipeline}")

    @classmethod
    def of(cls, settings: Settings, pipeline: str) -> "Receipts | None":
        """Those of a pipeline; None where the environment has no price table."""
        path = settings.dispatch.prices
        return cls(settings, pipeline, load_prices(path)) if path and settings.dispatch.jobs_uri else None

    def month(self, month: str) -> Month:
        """What a month has cost."""
        receipts = sorted(self._read(month), key=lambda one: (one.submitted_at, one.job))
        return Month(month, receipts, self._dispatch.budget_of(self.pipeline), self.prices.currency)

    def _read(self, month: str) -> list[Receipt]:
        folder = self.folder / month
        folder.fs.invalidate_cache()  # others write here meanwhile
        paths = folder.fs.glob(f"{folder.path}/*.json")
        # All at once: an object store takes as long for a hundred of them as for a few.
        found = folder.fs.cat(paths) if paths else {}
        return [_parsed(path, content) for path, content in found.items()]

    def recent(self, now: datetime) -> list[Receipt]:
        """Those of this month and the two before it."""
        months = [month_of(now)]
        for _ in range(2):
            months.append(month_of(date.fromisoformat(f"{months[-1]}-01") - timedelta(days=1)))
        return [receipt for month in months for receipt in self._read(month)]

    def write(self, receipt: Receipt) -> Receipt:
        """Write a receipt, in place of the one of its job."""
        write_whole(self.folder / receipt.month / f"{receipt.job}.json", receipt.model_dump_json(indent=1).encode())
        return receipt

    def lost(self, now: datetime) -> list[Receipt]:
        """Open receipts that are old enough for their jobs to be there, for whoever can ask the services about them."""
        return [one for one in self.recent(now) if one.state == "open" and now - one.submitted_at > _SUBMISSION]

    def assumed(self, guesses: list[Assumption]) -> list[tuple[str, float]]:
        """What a month would cost by guesses, and what runs all month: a line each, with its cost.

        Raises:
            SpecError: for a stage that runs on this machine, or whose target has no price.
        """
        lines = []
        for guess in guesses:
            target = self._dispatch.target_of(self.pipeline, guess.stage)
            if not isinstance(target, DataprocTarget | VertexTarget):
                raise SpecError(f"--assume {guess.stage}: it runs on Airflow's worker, which costs nothing by the job")
            what = f"{guess.stage}: {so_many(guess.jobs, 'job')} of {guess.minutes:g} minutes on {target.size}"
            lines.append((what, guess.cost(target, self.prices)))
        return [*lines, *((what, hour * MONTH_HOURS) for what, hour in self.prices.always_on.items())]

    def expected(self, stage: str, days: int, now: datetime) -> CostEstimate | None:
        """What a job of a stage is expected to cost; None where the stage runs on this machine."""
        target = self._dispatch.target_of(self.pipeline, stage)
        if not isinstance(target, DataprocTarget | VertexTarget):
            return None
        return self._expected(stage, days, target, self.recent(now))

    def _expected(
        self, stage: str, days: int, target: DataprocTarget | VertexTarget, recent: list[Receipt], attempt: int = 1
    ) -> CostEstimate:
        place = (stage, self._dispatch.target_name(self.pipeline, stage), target.kind)
        history = [
            (one.days, one.usage)
            for one in recent
            if one.state == "succeeded" and one.usage and (one.stage, one.target, one.usage.kind) == place
        ]
        return expected_cost(history, days, target, self.prices, attempt)

    def reserve(self, job: Job, target: DataprocTarget | VertexTarget, now: datetime) -> Receipt:
        """Write the receipt of a job that is about to be submitted.

        It is written first and counted with the others then: of two jobs that reserve at once, at least one sees both.

        Raises:
            BudgetError: when the month's budget has no room for it; its receipt says so.
        """
        recent = self.recent(now)
        days = len(Partitions.from_text(job.partitions))
        estimate = self._expected(job.stage, days, target, recent, job.attempt)
        # An attempt that was lost before it could submit has one already, maybe of the month before.
        known = next((one for one in recent if one.job == job.id), None)
        receipt = self.write(
            Receipt(
                job=job.id, pipeline=job.pipeline, stage=job.stage, partitions=job.partitions, days=days, run=job.run,
                attempt=job.attempt, target=self._dispatch.target_name(self.pipeline, job.stage),
                labels=labels(job, self._dispatch), submitted_at=known.submitted_at if known else now,
                prices=_shown(self.prices), currency=estimate.currency, estimate=estimate.amount,
                estimated_from=estimate.basis,
            )
        )  # fmt: skip
        month = self.month(receipt.month)
        if month.left is not None and (estimate.amount is None or month.left < 0):
            self.write(receipt.model_copy(update={"state": "refused", "note": "over the month's budget"}))
            raise BudgetError(self._refusal(receipt, estimate, month))
        return receipt

    def _refusal(self, receipt: Receipt, estimate: CostEstimate, month: Month) -> str:
        own, dispatch = receipt.job, self._dispatch
        others = replace(month, receipts=[one for one in month.receipts if one.job != own])
        key = f"monthly_budgets.{self.pipeline}" if self.pipeline in dispatch.monthly_budgets else "monthly_budget"
        where = f"dispatch.{key} in include/environments/{self.settings.name}.yaml"
        job = f"{receipt.stage} {receipt.partitions}"
        local = (
            f"let the stage run on Airflow's worker (dispatch.pipelines.{self.pipeline}: {{{receipt.stage}: {LOCAL}}})"
        )
        if estimate.amount is None:
            why = f"What {job} costs is not known ({estimate}), so that it cannot be held against the budget ({where})."
            to_do = f"Put the price into {dispatch.prices}, or {local}"
        else:
            why = f"{job} would cost {estimate}; the budget is {money(month.budget or 0.0, month.currency)} ({where})."
            to_do = f"Wait for the next month, raise the budget, or {local}"
        spent = f"{self.pipeline} has spent {others}."
        return f"{spent} {why} Nothing was submitted. {to_do}; then clear the task. Each job: contrail cost -p {self.pipeline}"


def _parsed(path: str, content: bytes) -> Receipt:
    try:
        return Receipt.model_validate_json(content)
    except ValidationError as error:
        raise SpecError(explain(Path(path), error, Receipt)) from error


def utc_now() -> datetime:
    """Now, to the second: receipts are for people too."""
    return datetime.now(UTC).replace(microsecond=0)
