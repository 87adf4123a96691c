"""The environment's own files: pipelines, prices and budgets.

Whether what they name exists belongs to ``stores`` and ``project``.
"""

from functools import partial

from contrail.adapters import google_errors
from contrail.config.pipeline import load_pipeline, pipeline_names
from contrail.config.prices import load_prices
from contrail.config.settings import Settings
from contrail.config.targets import DataprocTarget, VertexTarget
from contrail.dispatch import budget as budgets
from contrail.dispatch.receipts import Month, Receipts, month_of, utc_now
from contrail.errors import SpecError
from contrail.methods.cost import money
from contrail.operations.doctor.findings import Check, FaultError, NotCheckedError

RemoteTarget = DataprocTarget | VertexTarget


def checks(current: Settings) -> list[Check]:
    """The checks of the environment's files."""
    return [
        Check("pipelines", pipelines),
        Check("prices", partial(prices, current)),
        Check("budget", partial(budget, current)),
    ]


def remote_targets(current: Settings) -> dict[str, RemoteTarget]:
    """The targets on Google Cloud, by name."""
    found = current.dispatch.targets.items()
    return {name: target for name, target in found if isinstance(target, DataprocTarget | VertexTarget)}


def pipelines() -> str:
    """Whether each pipeline can be loaded."""
    names = pipeline_names()
    if not names:
        raise FaultError("there is no pipeline", "contrail new NAME --sample FILE")
    broken = {name: said for name in names if (said := _broken(name))}
    if broken:
        said = "; ".join(f"{name}: {why}" for name, why in broken.items())
        raise FaultError(said, *(f"contrail check -p {name}" for name in broken))
    return ", ".join(names)


def _broken(name: str) -> str:
    try:
        load_pipeline(name)
    except SpecError as error:
        return str(error)
    return ""


def prices(current: Settings) -> str:
    """Whether a budget would refuse a job because nobody knows its cost."""
    path = current.dispatch.prices
    if path is None:
        return "no price table is set, so jobs have no cost"
    table = load_prices(path)
    if said := list(dict.fromkeys(one for name in pipeline_names() for one in budgets.unpriced(current, name))):
        raise FaultError("; ".join(said), f'"${{EDITOR:-vi}}" {path}')
    return str(table)


def budget(current: Settings) -> str:
    """Whether this month's budgets have something left."""
    months = [(name, found) for name in pipeline_names() if (found := _month(current, name))]
    limited = [(name, month) for name, month in months if month.left is not None]
    if not limited:
        return "no budget is set"
    said = "; ".join(f"{name}: {_left(month)}" for name, month in limited)
    if spent := [name for name, month in limited if (month.left or 0) <= 0]:
        raise FaultError(f"nothing is left. {said}", *(f"contrail cost -p {name}" for name in spent))
    return said


def _month(current: Settings, pipeline: str) -> Month | None:
    if current.dispatch.budget_of(pipeline) is None:
        return None
    try:
        receipts = Receipts.of(current, pipeline)
        return receipts.month(month_of(utc_now())) if receipts else None
    except Exception as error:
        if ours := google_errors.as_ours(error):  # the bucket has a check of its own
            raise NotCheckedError(f"the receipts of jobs cannot be read: {ours}") from error
        raise


def _left(month: Month) -> str:
    left, budgeted = (money(amount or 0, month.currency) for amount in (month.left, month.budget))
    return f"{left} of {budgeted} left"
