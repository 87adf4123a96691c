"""The costs of a task's remote jobs: reserved before a submission, settled after the job's end.

``contrail`` has the prices, the receipts and the budget. This module decides when to write a receipt, and
reads from the services what a job used.
"""

import logging
from collections.abc import Callable
from typing import Any, cast

from contrail.config.settings import Settings
from contrail.dispatch import budget
from contrail.dispatch.payload import Job
from contrail.dispatch.receipts import Receipt, Receipts, utc_now
from contrail.methods.cost import money
from contrail.stages.results import JobCost
from contrail_airflow.remote.remote_jobs import GoogleTarget, RemoteJob, RemoteJobs
from contrail_airflow.remote.trouble import service_errors

Services = Callable[[GoogleTarget, Settings], RemoteJobs]


class JobCosts:
    """The costs of a pipeline's remote jobs. ``services`` gives the service of a target."""

    def __init__(self, receipts: Receipts, services: Services, log: logging.Logger) -> None:
        self._receipts, self._services, self._log = receipts, services, log

    def reserve(self, job: Job, target: GoogleTarget) -> None:
        """Settle jobs whose end no task saw, then write the receipt of a job that is about to be submitted.

        Raises:
            BudgetError: when the month's budget has no room for it.
        """
        for lost in self._receipts.lost(utc_now()):
            self._look_at(lost)
        receipt = budget.reserve(self._receipts, job, target, utc_now())
        known = "" if receipt.estimate is None else f"estimated {money(receipt.estimate, receipt.currency)}, "
        self._log.info("%s%s; prices: %s", known, receipt.estimated_from, receipt.prices)

    def settle(self, remote: RemoteJob) -> JobCost | None:
        """Complete the receipt of an ended job.

        Returns:
            The cost, for the task's result. None for a job without a receipt, for example from before the price table.
            None also while the service has not reported what the job used, which may take some time after its end.
            The receipt then stays open until the pipeline's next job.
        """
        receipt = next((one for one in self._receipts.recent(utc_now()) if one.job == remote.id), None)
        if receipt is None or not remote.ended:
            return None
        if remote.usage is None:
            self._log.info("the service has not reported yet what %s used; until then its estimate counts", remote.id)
            return None
        closed = self._close(receipt, remote)
        month = self._receipts.month(closed.month)
        cost = closed.note if closed.cost is None else f"cost {money(closed.cost, closed.currency)}"
        before = "" if closed.estimate is None else f", estimated {money(closed.estimate, closed.currency)} before"
        left = "" if month.left is None else f"; {money(month.left, month.currency)} are left of the budget"
        self._log.info("%s%s. %s: %s%s", cost, before, closed.pipeline, month, left)
        return JobCost(amount=closed.cost, estimate=closed.estimate, currency=closed.currency)

    def _close(self, receipt: Receipt, remote: RemoteJob) -> Receipt:
        state = cast(Any, remote.state)  # an ended job's states are a receipt's
        return self._receipts.write(receipt.closed(state, remote.usage, remote.seconds, self._receipts.prices))

    def _look_at(self, lost: Receipt) -> None:
        """Settle a job whose end no task saw, unless it still runs. An error of its service leaves it as it is."""
        target = self._receipts.settings.dispatch.targets.get(lost.target)
        if not isinstance(target, GoogleTarget):
            return  # the target is not in the environment any more
        try:
            remote = self._services(target, self._receipts.settings).find(lost.job)
        except service_errors() as error:
            self._log.warning("The cost of %s could not be read: %s", lost.job, error)
            return
        if remote is None:
            self._receipts.write(lost.model_copy(update={"state": "never submitted"}))
        elif remote.ended:
            self._close(lost, remote)
