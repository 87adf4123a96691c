"""What Google's libraries raise, as errors of ours: whether a retry may help, and what to do about it.

BigQuery's own refusals belong to bigquery_errors.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from contrail.errors import ContrailError, EngineError, MissingInputError, SpecError

_FORBIDDEN = "Forbidden: "  # how gcsfs begins an error of status 403, which is an OSError otherwise like any other


@contextmanager
def google_errors() -> Iterator[None]:
    """Raises an error of a Google service that nobody has translated before as one of ours.

    Raises:
        SpecError: the account may not do what was asked, or there is no account.
        MissingInputError: what was asked for is not there.
        EngineError: the service did not answer, or its quota is used up for now.
    """
    try:
        yield
    except ContrailError:
        raise
    except Exception as error:
        if found := as_ours(error):
            raise found from error
        raise


def as_ours(error: Exception) -> ContrailError | None:
    """What an error of Google's libraries means, as for ``google_errors``; None where it is not theirs, or says neither."""
    kind = type(error).__module__.split(".")[0]
    if isinstance(error, OSError) and str(error).startswith(_FORBIDDEN):
        return _refused(error)
    if kind == "google":
        from google.auth.exceptions import GoogleAuthError, TransportError

        if isinstance(error, GoogleAuthError):
            # No TransportError says of itself that it may be retried, nor does what google.auth makes of one.
            lost = isinstance(error, TransportError) or isinstance(error.__cause__, TransportError)
            unanswered = EngineError(f"Google's token server did not answer: {error}")
            return unanswered if lost or error.retryable else _refused(error)
    if kind not in ("google", "gcsfs"):
        return None
    status = getattr(error, "code", None)
    if status in (401, 403):
        return _refused(error)
    if status == 404:
        return MissingInputError(f"Google Cloud has no such thing: {error}. See what the environment file names.")
    if status in (408, 429) or (isinstance(status, int) and status >= 500):
        what = "quota is used up for now" if status == 429 else "service did not answer as it should"
        return EngineError(f"a {what}: {error}")
    return None


def _refused(error: Exception) -> SpecError:
    return SpecError(
        f"Google Cloud refused the account of this process: {error}\nGive it the role that is missing (terraform/ gives "
        "each account its roles), or name another account in the environment file."
    )
