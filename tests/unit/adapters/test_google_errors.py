"""Errors of Google's libraries become errors of ours."""

import pytest
from gcsfs.retry import HttpError, validate_response
from google.api_core import exceptions as google
from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError

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


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (forbidden(), SpecError, "lacks storage.objects.get"),
        (HttpError({"code": 401, "message": "who"}), SpecError, "refused the account"),
        (HttpError({"code": 429, "message": "slow down"}), EngineError, "quota"),
        (HttpError({"code": 503, "message": "later"}), EngineError, "did not answer"),
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


@pytest.mark.parametrize("error", [CommitConflictError("lost"), ValueError("x"), OSError("disk"), google.Conflict("x")])
def test_everything_else_stays_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, google_errors():
        raise error
    assert raised.value is error
