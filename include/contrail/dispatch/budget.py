"""The budget of a month: what a job is expected to cost, and whether the budget has room for it.

``receipts`` has the receipts. ``contrail.methods.cost`` computes costs from prices and use.
"""

from dataclasses import replace
from datetime import datetime
from typing import get_args

from contrail.config.prices import load_prices
from contrail.config.settings import Settings
from contrail.config.targets import LOCAL, DataprocTarget, Stage, VertexTarget
from contrail.dispatch.payload import Job, labels
from contrail.dispatch.receipts import Month, Receipt, Receipts
from contrail.errors import BudgetError, SpecError
from contrail.methods.cost import (
    Assumption,
    BatchUsage,
    CostEstimate,
    MachineUsage,
    expected_cost,
    money,
    so_many,
)
from contrail.partitions import Partitions


def assumed(receipts: Receipts, guesses: list[Assumption]) -> list[tuple[str, float]]:
    """Return the cost of a guessed month: one line for each guess, and one for each thing that the environment has.

    Raises:
        SpecError: for a stage that runs on this machine, or whose target has no price.
    """
    lines = []
    for guess in guesses:
        target = receipts.settings.dispatch.target_of(receipts.pipeline, guess.stage)
        if not isinstance(target, DataprocTarget | VertexTarget):
            raise SpecError(f"--assume {guess.stage}: it runs on Airflow's worker, where a job costs nothing")
        what = f"{guess.stage}: {so_many(guess.jobs, 'job')} of {guess.minutes:g} minutes on {target.size}"
        lines.append((what, guess.cost(target, receipts.prices)))
    return [*lines, *receipts.prices.standing(receipts.settings.name).items()]


def expected(receipts: Receipts, stage: str, days: int, now: datetime) -> CostEstimate | None:
    """Estimate the cost of a job of a stage. None: the stage runs on this machine."""
    target = receipts.settings.dispatch.target_of(receipts.pipeline, stage)
    if not isinstance(target, DataprocTarget | VertexTarget):
        return None
    history = _history(receipts, stage, target, receipts.recent(now))
    return expected_cost(history, days, target, receipts.prices)


def unpriced(settings: Settings, pipeline: str) -> list[str]:
    """Say which stages of a pipeline the budget would refuse at their first job, because nobody knows its cost.

    Raises:
        SpecError: when the price table is wrong.
    """
    dispatch = settings.dispatch
    if dispatch.prices is None or dispatch.budget_of(pipeline) is None:
        return []
    prices, found = load_prices(dispatch.prices), []
    for stage in get_args(Stage):
        target = dispatch.target_of(pipeline, stage)
        if not isinstance(target, DataprocTarget | VertexTarget):
            continue
        attempts = target.attempts if isinstance(target, VertexTarget) else 1
        estimates = [expected_cost([], 1, target, prices, 1 + attempt) for attempt in range(attempts)]
        if reasons := dict.fromkeys(str(one) for one in estimates if one.amount is None):
            found.append(
                f"{_file(settings)}: dispatch.targets.{dispatch.target_name(pipeline, stage)}: {'; '.join(reasons)}. "
                f"{_key(settings, pipeline)} would refuse {stage}. Put the price into {dispatch.prices}, or "
                f"{_locally(pipeline, stage)}"
            )
    return found


def reserve(receipts: Receipts, job: Job, target: DataprocTarget | VertexTarget, now: datetime) -> Receipt:
    """Write the receipt of a job before its submission.

    The receipt is written first, and then counted with the others. So when two jobs reserve at once, at least one of them
    sees both.

    Raises:
        BudgetError: when the month's budget has no room for the job. Its receipt says so.
    """
    recent = receipts.recent(now)
    days = len(Partitions.from_text(job.partitions))
    history = _history(receipts, job.stage, target, recent)
    estimate = expected_cost(history, days, target, receipts.prices, job.attempt)
    # An attempt that was lost before its submission has a receipt already, perhaps in the month before.
    known = next((one for one in recent if one.job == job.id), None)
    receipt = receipts.write(
        Receipt(
            job=job.id, pipeline=job.pipeline, stage=job.stage, partitions=job.partitions, days=days, run=job.run,
            attempt=job.attempt, target=receipts.settings.dispatch.target_name(receipts.pipeline, job.stage),
            labels=labels(job, receipts.settings.dispatch), submitted_at=known.submitted_at if known else now,
            prices=str(receipts.prices), currency=estimate.currency, estimate=estimate.amount,
            estimated_from=estimate.basis,
        )
    )  # fmt: skip
    month = receipts.month(receipt.month)
    if month.left is not None and (estimate.amount is None or month.left < 0):
        note = "its cost is not known" if estimate.amount is None else "over the month's budget"
        receipts.write(receipt.model_copy(update={"state": "refused", "note": note}))
        raise BudgetError(_refusal(receipts, receipt, estimate, month))
    return receipt


def _history(
    receipts: Receipts, stage: str, target: DataprocTarget | VertexTarget, recent: list[Receipt]
) -> list[tuple[int, BatchUsage | MachineUsage]]:
    """Return partitions and use of the successful jobs of a stage on a target."""
    place = (stage, receipts.settings.dispatch.target_name(receipts.pipeline, stage), target.kind)
    return [
        (one.days, one.usage)
        for one in recent
        if one.state == "succeeded" and one.usage and (one.stage, one.target, one.usage.kind) == place
    ]


def _refusal(receipts: Receipts, receipt: Receipt, estimate: CostEstimate, month: Month) -> str:
    own, settings = receipt.job, receipts.settings
    others = replace(month, receipts=[one for one in month.receipts if one.job != own])
    where = f"{_key(settings, receipts.pipeline)} in {_file(settings)}"
    job, local = f"{receipt.stage} {receipt.partitions}", _locally(receipts.pipeline, receipt.stage)
    if estimate.amount is None:
        why = f"The cost of {job} is not known ({estimate}), so it cannot be compared with the budget ({where})."
        to_do = f"Put the price into {settings.dispatch.prices}, or {local}"
    else:
        why = f"{job} would cost {estimate}; the budget is {money(month.budget or 0.0, month.currency)} ({where})."
        to_do = f"Wait for the next month, raise the budget, or {local}"
    spent = f"{receipts.pipeline} has spent {others}."
    return f"{spent} {why} Nothing was submitted. {to_do}; then clear the task. Each job: contrail cost -p {receipts.pipeline}"


def _file(settings: Settings) -> str:
    return f"include/environments/{settings.name}.yaml"


def _key(settings: Settings, pipeline: str) -> str:
    """Where the budget of a pipeline is set."""
    own = pipeline in settings.dispatch.monthly_budgets
    return f"dispatch.monthly_budgets.{pipeline}" if own else "dispatch.monthly_budget"


def _locally(pipeline: str, stage: str) -> str:
    return f"let the stage run on Airflow's worker (dispatch.pipelines.{pipeline}: {{{stage}: {LOCAL}}})"
