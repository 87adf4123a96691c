"""Google's errors as Contrail's own, which say whether a retry may help, and what to do. The catalog's are among them.

BigQuery's refusals belong to ``bigquery_errors``.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from contrail.errors import ContrailError, EngineError, MissingInputError, SpecError

# On a person's own computer, in a checkout, with the environment's name in CONTRAIL_ENV.
APPLY = "terraform -chdir=terraform apply -var-file=environments/$CONTRAIL_ENV.tfvars"
_UNANSWERED = "a service did not answer"
_WRONG_ADDRESS = ("InvalidURL", "InvalidUrlClientError", "LocationParseError", "LocationValueError", "URLSchemeUnknown")
_FORBIDDEN = "Forbidden: "  # gcsfs raises a plain OSError for status 403; only this prefix tells


@contextmanager
def google_errors() -> Iterator[None]:
    """Raise an untranslated error of a Google service as one of Contrail's.

    Raises:
        SpecError: The account may not make the request, there is no account, or the catalog refuses the request.
        MissingInputError: The requested thing does not exist.
        EngineError: The service did not answer, or its quota is used up for now.
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
    """Translate an error of Google's libraries as ``google_errors`` does. None: no translation is known."""
    kind = type(error).__module__.split(".")[0]
    if isinstance(error, OSError) and str(error).startswith(_FORBIDDEN):
        return _refused(error)
    if kind == "google":
        from google.auth.exceptions import GoogleAuthError, TransportError

        if isinstance(error, GoogleAuthError):
            # A TransportError, and the error that google.auth makes of it, never say that a retry may help.
            lost = isinstance(error, TransportError) or isinstance(error.__cause__, TransportError)
            unanswered = EngineError(f"Google's token server did not answer: {error}")
            return unanswered if lost or error.retryable else _refused(error)
    if kind in ("requests", "urllib3", "aiohttp") or type(error).__name__ == "ChecksumError":
        return EngineError(f"{_UNANSWERED}: {error}") if _is_lost(error, kind) else None
    if kind == "pyspark":
        return _of_the_engine(str(error))
    if kind in ("duckdb", "_duckdb"):
        return _in_a_query(str(error))
    if kind not in ("google", "gcsfs", "pyiceberg"):
        return None
    status = getattr(error, "code", None) or getattr(getattr(error.__cause__, "response", None), "status_code", None)
    return _answered(status, kind, error)


def _answered(status: object, kind: str, error: object) -> ContrailError | None:
    """What an HTTP status means; None where a person has to look."""
    if status == 400 and kind == "pyiceberg":
        return SpecError(
            f"the catalog refused a request: {error}\nCheck the catalog's settings in the environment file."
        )
    if status in (401, 403):
        return _refused(error)
    if status == 404:
        return MissingInputError(
            f"Google Cloud has no such resource: {error}. Check the names in the environment file."
        )
    if status in (408, 429) or (isinstance(status, int) and status >= 500):
        what = "quota is used up for now" if status == 429 else "service did not answer properly"
        return EngineError(f"a {what}: {error}")
    return None


def _is_lost(error: Exception, kind: str) -> bool:
    """Say whether a connection failed, or ended in the middle of an answer.

    PyIceberg lets through that the catalog could not be reached, and gcsfs that the store could not.
    """
    if kind != "requests":
        return type(error).__name__ not in _WRONG_ADDRESS
    from requests import ConnectionError as NoConnectionError
    from requests import Timeout
    from requests.exceptions import ChunkedEncodingError, ContentDecodingError

    return isinstance(error, NoConnectionError | Timeout | ChunkedEncodingError | ContentDecodingError)


def _of_the_engine(text: str) -> ContrailError | None:
    """What the embedded engine's own client of object stores says, or None."""
    if not (said := re.search(r"Generic (GCS|S3) error: .*", text)):
        return None
    found = re.search(r"status code: (\d{3})", said[0])
    shown = said[0][:300]
    return _answered(int(found[1]), "google", shown) if found else EngineError(f"{_UNANSWERED}: {shown}")


def _in_a_query(text: str) -> ContrailError | None:
    """What a store's client says in the trace that DuckDB makes its own error of, or None."""
    last = (text.strip().splitlines() or [""])[-1].strip()
    if found := re.match(r"(?:[\w.]*\.)?HttpError: .*?(\d{3})$", last):
        return _answered(int(found[1]), "gcsfs", last)
    lost = re.match(r"(aiohttp|requests|urllib3|gcsfs)\.|(Client|Server)\w+(Error|Disconnected): ?|ChecksumError", last)
    return EngineError(f"{_UNANSWERED}: {last[:300]}") if lost else None


def _refused(error: object) -> SpecError:
    return SpecError(
        f"Google Cloud refused the account of this process: {error}\nGive the account the missing role (terraform/ gives "
        "each account its roles). Or name another account in the environment file."
    )
