"""Errors of Google's libraries become errors of ours."""

import aiohttp
import duckdb
import pytest
import requests
from gcsfs.retry import ChecksumError, HttpError, validate_response
from google.api_core import exceptions as google
from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError
from pyiceberg.catalog.rest.response import _handle_non_200_response
from pyiceberg.exceptions import RESTError
from pyspark.errors import PySparkException

from contrail.adapters.google_errors import google_errors
from contrail.errors import CommitConflictError, ContrailError, EngineError, MissingInputError, SpecError


def unreachable() -> Exception:
    """As google.auth refreshes a machine's token while the metadata server does not answer."""
    try:
        try:
            raise TransportError("Metadata server unavailable")
        except TransportError as lost:
            raise RefreshError(lost) from lost
    except RefreshError as error:
        return error


def forbidden() -> Exception:
    with pytest.raises(OSError) as raised:
        validate_response(403, b'{"error": {"message": "jobs@p lacks storage.objects.get"}}', "b/lake/o/x")
    return raised.value


def of_the_catalog(code: int) -> Exception:
    """As PyIceberg raises what the catalog answers."""
    answer = requests.Response()
    answer.status_code = code
    with pytest.raises(RESTError) as raised:
        _handle_non_200_response(requests.HTTPError(response=answer), {})
    return raised.value


def of_a_query(last: str) -> Exception:
    """As DuckDB makes an error of its own of what a file system of Python raises."""
    return duckdb.Error(f'Traceback (most recent call last):\n  File "gcsfs/core.py", line 646, in _request\n{last}\n')


def of_the_engine(answer: str) -> Exception:
    """As the embedded engine words an answer of the object store."""
    return PySparkException(
        f"Generic GCS error: Error performing GET http://store/x in 1ms - status code: {answer}: no"
    )


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (of_the_catalog(400), SpecError, "the catalog refused a request"),
        (of_the_catalog(401), SpecError, "refused the account"),
        (of_the_catalog(403), SpecError, "refused the account"),
        (of_the_catalog(429), EngineError, "quota"),
        (of_the_catalog(500), EngineError, "did not answer"),
        (of_the_catalog(503), EngineError, "did not answer"),
        (requests.ConnectionError("Remote end closed connection"), EngineError, "did not answer"),
        (requests.Timeout("read timed out"), EngineError, "did not answer"),
        (forbidden(), SpecError, "lacks storage.objects.get"),
        (HttpError({"code": 401, "message": "who"}), SpecError, "refused the account"),
        (HttpError({"code": 429, "message": "slow down"}), EngineError, "quota"),
        (HttpError({"code": 503, "message": "later"}), EngineError, "did not answer"),
        (requests.exceptions.ChunkedEncodingError("cut"), EngineError, "did not answer"),
        (aiohttp.ClientPayloadError("Response payload is not completed"), EngineError, "did not answer"),
        (aiohttp.ServerDisconnectedError(), EngineError, "did not answer"),
        (ChecksumError("other bytes"), EngineError, "did not answer"),
        (of_the_engine("503 Service Unavailable"), EngineError, "did not answer"),
        (of_the_engine("429 Too Many Requests"), EngineError, "quota"),
        (of_the_engine("403 Forbidden"), SpecError, "refused the account"),
        (PySparkException("Generic GCS error: error sending request for url"), EngineError, "did not answer"),
        (of_a_query("HttpError: planned, 503"), EngineError, "did not answer"),
        (of_a_query("HttpError: planned, 429"), EngineError, "quota"),
        (of_a_query("gcsfs.retry.HttpError: no, 401"), SpecError, "refused the account"),
        (of_a_query("aiohttp.client_exceptions.ClientPayloadError: not completed"), EngineError, "did not answer"),
        (of_a_query("ServerDisconnectedError: Server disconnected"), EngineError, "did not answer"),
        (google.PermissionDenied("biglake.tables.get"), SpecError, "biglake.tables.get"),
        (google.NotFound("catalog lake"), MissingInputError, "catalog lake"),
        (google.ResourceExhausted("reads"), EngineError, "quota"),
        (google.ServiceUnavailable("later"), EngineError, "did not answer"),
        (DefaultCredentialsError("no file"), SpecError, "no file"),
        (TransportError("connection reset"), EngineError, "token server"),
        (unreachable(), EngineError, "token server"),
        (RefreshError("again", retryable=True), EngineError, "token server"),
        (RefreshError("revoked"), SpecError, "revoked"),
    ],
)
def test_it_says_whether_a_retry_may_help_and_what_the_service_said(
    error: Exception, kind: type[ContrailError], words: str
) -> None:
    with pytest.raises(kind, match=words) as raised, google_errors():
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        CommitConflictError("lost"),
        ValueError("x"),
        OSError("disk"),
        google.Conflict("x"),
        PySparkException("no column x"),
        duckdb.Error("no column x"),
    ],
)
def test_everything_else_stays_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, google_errors():
        raise error
    assert raised.value is error
