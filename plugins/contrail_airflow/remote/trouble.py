"""Errors of jobs on Google Cloud: whether a retry may help, and what a person can do about them."""

import re

from tenacity import retry, retry_if_exception, stop_after_delay, wait_random_exponential

from contrail.adapters.google_errors import APPLY, as_ours
from contrail.errors import MissingInputError, SpecError


def service_errors() -> tuple[type[Exception], ...]:
    """The errors that the services, their storage and Airflow's connection to them raise."""
    from airflow.exceptions import AirflowNotFoundException
    from gcsfs.retry import RETRIABLE_EXCEPTIONS, HttpError
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError

    of_storage = (OSError, HttpError, *RETRIABLE_EXCEPTIONS)
    return GoogleAPICallError, RetryError, GoogleAuthError, AirflowNotFoundException, *of_storage


# What Google's services say, in their own words, of a request or of a job that left no result: (a pattern, whether a retry
# may help, what to do). The first that fits counts.
Meaning = tuple[str, bool, str]
_SAID: tuple[Meaning, ...] = (
    (
        r"failed to initialize for (batch|session)",
        False,
        "the driver's machine could not begin. Check roles/dataproc.worker of the job's service account, "
        "roles/artifactregistry.reader of the node agent (service-…@gcp-sa-dataprocrmnode), the subnet's Private Google "
        "Access and its firewall",
    ),
    (
        r"API has not been used in project|SERVICE_DISABLED|it is disabled\. Enable it by visiting",
        False,
        f"an API is switched off: `{APPLY}` switches on those that Contrail needs",
    ),
    (
        r"act as service[_ ]account",
        False,
        "permission: the account of Airflow's connection needs roles/iam.serviceAccountUser on the job's service account",
    ),
    (
        r"private google access",
        False,
        "network: the subnet needs Private Google Access, as terraform/modules/network has it",
    ),
    (r"ip_space_exhausted|ip space of \S+ is exhausted", True, "network: the subnet has no free address left now"),
    (
        r"artifactregistry\.\S+|docker\.pkg\.dev\S*:.*denied|pull\w* (the )?(container )?image|manifest unknown",
        False,
        "image: is it in Artifact Registry, and may the job's service account and the node agent "
        "(service-…@gcp-sa-dataprocrmnode) read it?",
    ),
    (r"(organization policy|violates) constraint|constraints/\S+", False, "a policy of the organization forbids it"),
)
_STOCK: tuple[Meaning, ...] = (
    (
        r"quotas?|resource_exhausted",
        True,
        "quota: it is used up for now; ask for more, or choose another machine or region",
    ),
    (
        r"not have enough resources|resources are insufficient|insufficient resources|resource_pool_exhausted|stockout"
        r"|is currently unavailable in the",
        True,
        "stock: Google has not enough machines now; try later, or choose another machine or region",
    ),
)
# Of a job alone: these words also stand in the names of a request.
_OF_A_JOB: tuple[Meaning, ...] = (
    *_SAID,
    (r"permissions?|denied|forbidden|scopes", False, "permission: check the roles of the job's service account"),
    (r"preempt(ed|ion)|spot (vm|machine|instance)s?", True, "the spot machine was taken away"),
    *_STOCK,
    (r"image", False, "image: is it in Artifact Registry, and may the job's service account read it?"),
    (r"not found|404|no such object", False, "not found: something that the job reads does not exist"),
)


def _meaning(said: str, table: tuple[Meaning, ...]) -> tuple[bool, str] | None:
    for words, again, what in table:
        if re.search(rf"(?<![A-Za-z0-9])({words})(?![A-Za-z0-9])", said, re.IGNORECASE):
            return again, what
    return None


def advice(error: Exception) -> tuple[bool, str]:
    """Whether a retry may help after an error of Google's API or storage, and what to do about it."""
    from airflow.exceptions import AirflowNotFoundException
    from google.api_core.exceptions import GoogleAPICallError

    if isinstance(error, AirflowNotFoundException):
        return False, "no connection: create the one that the target names, as airflow_settings.yaml does"
    if isinstance(error, GoogleAPICallError) and (known := _meaning(str(error), _SAID)):
        return known
    meant, status = as_ours(error), getattr(error, "code", None)
    if isinstance(error, FileNotFoundError) or isinstance(meant, MissingInputError):
        return False, "not found: the environment file names something that does not exist"
    if isinstance(meant, SpecError):
        return False, "permission: give the account of Airflow's connection the role that the message names"
    if status == 429:
        return _STOCK[0][1:]
    if isinstance(error, GoogleAPICallError) and (known := _meaning(str(error), _STOCK)):
        return known
    if status == 400:
        return False, "the request was refused: see the target in the environment file"
    return True, "the service did not answer as it should"


def ending(message: str) -> tuple[bool, str]:
    """Whether a retry may help after a job that left no result, and why. ``message`` is what its service says."""
    return _meaning(message, _OF_A_JOB) or (
        True,
        "it ended without leaving a result; the machine may have run out of memory",
    )


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
