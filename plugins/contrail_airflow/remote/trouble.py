"""Errors of jobs on Google Cloud: whether a retry may help, and what a person can do about them."""

import re

from tenacity import retry, retry_if_exception, stop_after_delay, wait_random_exponential

from contrail.adapters.google_errors import as_ours
from contrail.errors import MissingInputError, SpecError


def service_errors() -> tuple[type[Exception], ...]:
    """The errors that the services, their storage and Airflow's connection to them raise."""
    from airflow.exceptions import AirflowNotFoundException
    from gcsfs.retry import RETRIABLE_EXCEPTIONS, HttpError
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError

    of_storage = (OSError, HttpError, *RETRIABLE_EXCEPTIONS)
    return GoogleAPICallError, RetryError, GoogleAuthError, AirflowNotFoundException, *of_storage


def advice(error: Exception) -> tuple[bool, str]:
    """Whether a retry may help after an error of Google's API or storage, and what to do about it."""
    from airflow.exceptions import AirflowNotFoundException

    if isinstance(error, AirflowNotFoundException):
        return False, "no connection: create the one that the target names, as airflow_settings.yaml does"
    meant, status = as_ours(error), getattr(error, "code", None)
    if isinstance(error, FileNotFoundError) or isinstance(meant, MissingInputError):
        return False, "not found: the environment file names something that does not exist"
    if isinstance(meant, SpecError):
        return False, "permission: give the account of Airflow's connection the role that the message names"
    if status == 429 or (status == 400 and "quota" in str(error)):
        return True, "quota: it is used up for now; ask for more, or choose another machine or region"
    if status == 400:
        return False, "the request was refused: see the target in the environment file"
    return True, "the service did not answer as it should"


# What a service says about a job that left no result: (its words, whether a retry may help, what to do).
_ENDINGS: tuple[tuple[str, bool, str], ...] = (
    (r"permissions?|denied|forbidden|scopes", False, "permission: check the roles of the job's service account"),
    (r"preempt(ed|ion)|spot (vm|machine|instance)s?", True, "the spot machine was taken away"),
    (r"quotas?|resource_exhausted|stockout|insufficient", True, "quota or stock: not enough machines now"),
    (r"image", False, "image: is it in Artifact Registry, and may the job's service account read it?"),
    (r"not found|404|no such object", False, "not found: something that the job reads does not exist"),
)


def ending(message: str) -> tuple[bool, str]:
    """Whether a retry may help after a job that left no result, and why. ``message`` is what its service says."""
    for words, again, what in _ENDINGS:
        if re.search(rf"\b({words})\b", message, re.IGNORECASE):
            return again, what
    return True, "it ended without leaving a result; the machine may have run out of memory"


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, service_errors()) and advice(error)[0]


# For cancelling. A job that no task waits for costs money until its time limit, so try again; Airflow gives a trigger's
# `on_kill` half a minute.
patiently = retry(
    retry=retry_if_exception(_may_pass),
    wait=wait_random_exponential(multiplier=0.5, max=5),
    stop=stop_after_delay(20),
    reraise=True,
)
