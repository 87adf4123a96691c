import pytest
from google.api_core import exceptions as google

from contrail.adapters.bigquery_errors import bigquery_errors
from contrail.errors import ContrailError, DataError, EngineError, InputsChangedError, SpecError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (google.ServiceUnavailable("x"), EngineError),
        (google.TooManyRequests("x"), EngineError),
        (ConnectionError("x"), EngineError),
        (google.Forbidden("x", errors=[{"reason": "quotaExceeded"}]), EngineError),
        (google.Forbidden("x", errors=[{"reason": "rateLimitExceeded"}]), EngineError),
        (google.Forbidden("x", errors=[{"reason": "accessDenied"}]), SpecError),
        (google.NotFound("x"), SpecError),
        (google.Forbidden("x"), SpecError),
        (google.BadRequest("Transaction is aborted due to concurrent update against table t"), InputsChangedError),
        (google.BadRequest("x"), DataError),
    ],
)
def test_errors_say_whether_a_retry_may_help(error: Exception, kind: type[ContrailError]) -> None:
    with pytest.raises(kind, match="doing it"), bigquery_errors("doing it"):
        raise error
