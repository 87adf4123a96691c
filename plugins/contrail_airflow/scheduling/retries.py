"""Whether a failed task is tried again, and how long it waits before."""

import random
from typing import TYPE_CHECKING

from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

if TYPE_CHECKING:
    from airflow.sdk import Context


class JitteredBackoff(RetryPolicy):
    """The task's exponential backoff, up to twice as long by chance, and within its ``max_retry_delay``.

    Airflow 3.3 draws its jitter from the DAG, the task, the logical date and the attempt. Runs of a partition have no
    logical date. So all days, or all jobs of a mapped task, that failed together would retry together.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: "Context | None" = None
    ) -> RetryDecision:
        """The delay of this retry; no retry of an error that says so (``refused``).

        Without a context, which names the task, Airflow's own rule decides.
        """
        if getattr(exception, "refused", False):
            return RetryDecision.fail("the same call would fail again")
        if context is None:
            return RetryDecision.default()
        task = context["task"]
        longest = 2 * task.retry_delay * task.retry_exponential_backoff ** (try_number - 1)
        return RetryDecision.retry(min(longest, task.max_retry_delay) * random.uniform(0.5, 1))  # noqa: S311 - not a secret
