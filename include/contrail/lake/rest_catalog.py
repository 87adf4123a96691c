"""The Iceberg REST catalog as a service that is not always there: reads wait for it, and its errors tell what they mean.

Which catalog there is, and what a writer does when the service fails, belongs to ``catalog`` and ``conflicts``.
"""

from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import CommitStateUnknownException, RESTError
from requests import ConnectionError as NoConnectionError
from requests import HTTPError, Response, Session, Timeout
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

_READS = ("GET", "HEAD")
# The service did not do what it was asked for, or nobody knows whether it did.
_UNANSWERED = (408, 429, *range(500, 600))
_NOT_IMPLEMENTED = 501
_TRIES = 8  # about a minute
_LONGEST_WAIT = 20  # seconds


class PatientRestCatalog(RestCatalog):
    """PyIceberg's REST catalog, which asks again when a read was not answered.

    A commit must not be asked for twice here. When the first was made all the same, the second is refused. PyIceberg then
    removes the manifests of both, which the table needs.
    """

    def _create_session(self) -> Session:
        session = super()._create_session()
        again = Retry(
            total=_TRIES,
            allowed_methods=_READS,
            status_forcelist=[code for code in _UNANSWERED if code != _NOT_IMPLEMENTED],
            backoff_factor=0.5,
            backoff_max=_LONGEST_WAIT,
            backoff_jitter=0.5,
            retry_after_max=_LONGEST_WAIT,
            raise_on_status=False,
        )
        session.mount(self.uri, HTTPAdapter(max_retries=again))
        return session


def is_unanswered(error: BaseException) -> bool:
    """Say whether the service gave no answer, or one that leaves open whether it did what it was asked for."""
    if isinstance(error, CommitStateUnknownException | NoConnectionError | Timeout):
        return True
    return isinstance(error, RESTError) and status(error) in _UNANSWERED and status(error) != _NOT_IMPLEMENTED


def status(error: BaseException) -> int | None:
    """Return the HTTP status behind an error of PyIceberg; None when there is none."""
    answer = _answer(error)
    return answer.status_code if answer is not None else None


def wait_asked(error: BaseException) -> float:
    """Return the seconds that the service wants to be left alone, at most ``_LONGEST_WAIT``; 0 when it does not say."""
    answer = _answer(error)
    said = answer.headers.get("Retry-After", "") if answer is not None else ""
    return min(float(said), _LONGEST_WAIT) if said.isdigit() else 0.0


def _answer(error: BaseException) -> Response | None:
    cause = error.__cause__
    return cause.response if isinstance(cause, HTTPError) else None
