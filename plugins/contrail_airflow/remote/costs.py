"""What a task's remote jobs cost: reserved before they are submitted, settled when their end is seen.

Prices, receipts and the budget are in ``contrail``; here are the moments, and the services that can be asked.
"""

import logging
from collections.abc import Callable
from typing import Any, cast

from contrail.config.settings import Settings
from contrail.dispatch import budget
from contrail.dispatch.payload import Job
from contrail.dispatch.receipts import Receipt, Receipts, utc_now
from contrail.methods.cost import money
from contrail_airflow.remote.remote_jobs import GoogleTarget, RemoteJob, RemoteJobs
from contrail_airflow.remote.trouble import service_errors

Services = Callable[[GoogleTarget, Settings], RemoteJobs]


class JobCosts:
    """The costs of a pipeline's remote jobs. ``services`` gives the service of a target."""

    def __init__(self, receipts: Receipts, services: Services, log: logging.Logger) -> None:
        self._receipts, self._services, self._log = receipts, services, log

    def reserve(self, job: Job, target: GoogleTarget) -> None:
        """Write the receipt of a job that is about to be submitted, once jobs that nobody saw end are settled.

        Raises:
            BudgetError: when the month's budget has no room for it.
        """
        for lost in self._receipts.lost(utc_now()):
            self._look_at(lost)
        receipt = budget.reserve(self._receipts, job, target, utc_now())
        known = "" if receipt.estimate is None else f"estimated {money(receipt.estimate, receipt.currency)}, "
        self._log.info("%s%s; prices: %s", known, receipt.estimated_from, receipt.prices)

    def settle(self, remote: RemoteJob) -> dict[str, Any] | None:
        """Complete the receipt of a job that has ended; its cost, for the task's result.

        None for a job without a receipt, as one from before there was a price table; and while its service has not said
        what it used, which may be some time after its end: then it stays open until the next job of the pipeline.
        """
        receipt = next((one for one in self._receipts.recent(utc_now()) if one.job == remote.id), None)
        if receipt is None or not remote.ended:
            return None
        if remote.usage is None:
            self._log.info("the service has not said yet what %s used; it counts as estimated until then", remote.id)
            return None
        closed = self._close(receipt, remote)
        month = self._receipts.month(closed.month)
        cost = closed.note if closed.cost is None else f"cost {money(closed.cost, closed.currency)}"
        before = "" if closed.estimate is None else f", estimated {money(closed.estimate, closed.currency)} before"
        left = "" if month.left is None else f"; {money(month.left, month.currency)} are left of the budget"
        self._log.info("%s%s. %s: %s%s", cost, before, closed.pipeline, month, left)
        return {"amount": closed.cost, "estimate": closed.estimate, "currency": closed.currency}

    def _close(self, receipt: Receipt, remote: RemoteJob) -> Receipt:
        state = cast(Any, remote.state)  # an ended job's states are a receipt's
        return self._receipts.write(receipt.closed(state, remote.usage, remote.seconds, self._receipts.prices))

    def _look_at(self, lost: Receipt) -> None:
        """Settle a job whose end nobody saw, unless it runs on; a service in trouble leaves it as it is."""
        target = self._receipts.settings.dispatch.targets.get(lost.target)
        if not isinstance(target, GoogleTarget):
            return  # the target is not in the environment any more
        try:
            remote = self._services(target, self._receipts.settings).find(lost.job)
        except service_errors() as error:
            self._log.warning("Could not look at %s for its cost: %s", lost.job, error)
            return
        if remote is None:
            self._receipts.write(lost.model_copy(update={"state": "never submitted"}))
        elif remote.ended:
            self._close(lost, remote)
