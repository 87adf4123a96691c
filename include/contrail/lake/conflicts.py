"""Several writers of one table: which errors are conflicts, and how often a lost commit is retried."""

from pyiceberg.exceptions import CommitFailedException, ValidationException
from sqlalchemy.exc import OperationalError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

ATTEMPTS = 12
_CONFLICTS = (CommitFailedException, ValidationException, OperationalError)


def retrying() -> Retrying:
    """Call a function until it meets no conflict.

    The function must load the table again each time. After ``ATTEMPTS`` calls the ``Retrying`` raises tenacity's
    ``RetryError``.
    """
    return Retrying(
        retry=retry_if_exception_type(_CONFLICTS),
        wait=wait_random_exponential(multiplier=0.1, max=5),
        stop=stop_after_attempt(ATTEMPTS),
    )
