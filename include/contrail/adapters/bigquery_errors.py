"""BigQuery's errors as Contrail's own, which say whether a retry may help, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from google.api_core import exceptions as google

from contrail.errors import ContrailError, DataError, EngineError, InputsChangedError, SpecError

CONCURRENT = "concurrent update"  # BigQuery's own words when transactions meet
_QUOTA = {"quotaExceeded", "rateLimitExceeded", "jobRateLimitExceeded"}  # these reasons also come as "forbidden"
_PASSING = (google.ServerError, google.TooManyRequests, google.RetryError, ConnectionError, TimeoutError)


_OF_ANALYSTS = "Terraform makes the datasets and gives the account its roles. See `analysts` in the environment file."


@contextmanager
def bigquery_errors(
    doing: str, advice: str = _OF_ANALYSTS, kept: str = "Readers still see the previous rows."
) -> Iterator[None]:
    """Raise an error of BigQuery as one of Contrail's. Its message begins with ``doing``.

    Args:
        doing: What was asked.
        advice: What to do about a thing that is missing or not allowed.
        kept: What a refusal left as it was.

    Raises:
        InputsChangedError: Another publisher was first and changed what this one had read.
        EngineError: The service cannot be reached, or its quota is used up for now.
        SpecError: Something that the environment names does not exist, or the account may not use it.
        DataError: BigQuery refused the request.
    """
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except ContrailError:
        raise
    except _PASSING as error:
        raise EngineError(f"{doing}: BigQuery did not answer properly: {error}") from error
    except (google.NotFound, google.Forbidden, google.Unauthorized, GoogleAuthError) as error:
        if _QUOTA & {told.get("reason") for told in getattr(error, "errors", ())}:
            raise EngineError(f"{doing}: a quota of BigQuery is used up for now: {error}") from error
        raise SpecError(f"{doing}: it does not exist, or the account may not use it: {error}. {advice}") from error
    except google.GoogleAPICallError as error:
        if CONCURRENT in str(error):
            raise InputsChangedError(f"{doing}: another publisher was first: {error}. Nothing was changed.") from error
        raise DataError(f"{doing}: BigQuery refused it: {error}. {kept}") from error
