"""BigQuery's errors as ours, which say whether a retry may help, and what to do about it."""

from collections.abc import Iterator
from contextlib import contextmanager

from google.api_core import exceptions as google

from contrail.errors import ContrailError, DataError, EngineError, InputsChangedError, SpecError

CONCURRENT = "concurrent update"  # BigQuery's own words when transactions meet
_QUOTA = {"quotaExceeded", "rateLimitExceeded", "jobRateLimitExceeded"}  # reasons of what is otherwise "forbidden"
_PASSING = (google.ServerError, google.TooManyRequests, google.RetryError, ConnectionError, TimeoutError)


@contextmanager
def bigquery_errors(doing: str) -> Iterator[None]:
    """Raises an error of BigQuery as one of ours, which begins with what was being done.

    Raises:
        InputsChangedError: another publisher was first; what was read before is not what is there.
        EngineError: the service is not there, or its quota is used up for now.
        SpecError: what the environment names is not there, or the account may not use it.
        DataError: the request was refused.
    """
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except ContrailError:
        raise
    except _PASSING as error:
        raise EngineError(f"{doing}: BigQuery did not answer as it should: {error}") from error
    except (google.NotFound, google.Forbidden, google.Unauthorized, GoogleAuthError) as error:
        if _QUOTA & {told.get("reason") for told in getattr(error, "errors", ())}:
            raise EngineError(f"{doing}: a quota of BigQuery is used up for now: {error}") from error
        raise SpecError(
            f"{doing}: not there, or not allowed: {error}. terraform makes the datasets and gives the account its roles; "
            "see `analysts` in the environment file."
        ) from error
    except google.GoogleAPICallError as error:
        if CONCURRENT in str(error):
            raise InputsChangedError(f"{doing}: another publisher was first: {error}. Nothing was changed.") from error
        raise DataError(f"{doing}: BigQuery refused it: {error}. Readers see what was there before.") from error
