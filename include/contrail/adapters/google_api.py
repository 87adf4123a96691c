"""Calls of Google Cloud's REST services, for those of which the lock has no client or only a large one.

What an answer means belongs to ``google_project``.
"""

import threading
from collections.abc import Mapping
from typing import Any

from contrail.errors import ContrailError, EngineError, MissingInputError, SpecError

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_SECONDS = 20


class ForbiddenError(SpecError):
    """The account of this process may not make the request."""


class ServiceOffError(SpecError):
    """The project has not enabled the service that was called."""


# How Google says it: the reason of today, that of its older APIs, and the words of both.
_OFF = ("SERVICE_DISABLED", "accessNotConfigured", "has not been used in project")


def is_off(error: Exception) -> bool:
    """Say whether a client's error means that the project has not enabled the service."""
    return any(word in f"{error} {getattr(error, 'errors', '')} {getattr(error, 'reason', '')}" for word in _OFF)


class GoogleApi:
    """An account's session. It is opened by the first call, and threads share it.

    Args:
        project: Pays for the calls of a person's own account, and so must have the services enabled.
    """

    def __init__(self, project: str) -> None:
        self.project = project
        self._lock = threading.Lock()
        self._credentials: Any = None

    def credentials(self) -> Any:
        """The account's credentials, with a token.

        Raises:
            google.auth.exceptions.GoogleAuthError: There is no account, or it gets no token.
        """
        import google.auth
        from google.auth.transport.requests import Request
        from google.oauth2.credentials import Credentials

        with self._lock:
            if self._credentials is None:
                found, _ = google.auth.default(scopes=[_SCOPE])
                if isinstance(found, Credentials) and found.quota_project_id is None:
                    found = found.with_quota_project(self.project)
                found.refresh(Request())  # type: ignore[no-untyped-call]  # a machine's account learns its own name only now
                self._credentials = found
            return self._credentials

    def member(self) -> str:
        """The account as IAM names it. A person's name is known to gcloud alone, so a shell must fill it in."""
        found = self.credentials()
        if name := getattr(found, "service_account_email", ""):
            return f"serviceAccount:{name}"
        return f"user:{getattr(found, 'account', '') or '$(gcloud config get-value account)'}"

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON that an address answers with.

        Raises:
            ForbiddenError: The account may not read it.
            ServiceOffError: The project has not enabled the service.
            MissingInputError: There is no such thing.
            EngineError: The service did not answer properly.
        """
        return self._ask("GET", url, headers=dict(headers or {}))

    def post(self, url: str, body: Mapping[str, Any]) -> Any:
        """The JSON that an address answers to a question; ``get`` has the errors."""
        return self._ask("POST", url, json=dict(body))

    def _ask(self, method: str, url: str, **given: Any) -> Any:
        from google.auth.transport.requests import AuthorizedSession
        from requests import RequestException

        sessions: Any = AuthorizedSession  # without types
        with sessions(self.credentials()) as session:  # one for each call: a session is not for several threads
            try:
                answer = session.request(method, url, timeout=_SECONDS, **given)
            except RequestException as error:
                raise EngineError(f"{url.split('?')[0]} did not answer: {error}") from error
        if answer.ok:
            return answer.json()
        raise _refusal(answer, url.split("?")[0])


def _refusal(answer: Any, url: str) -> ContrailError:
    try:
        error = answer.json()["error"]
        said, details = error["message"], error.get("details", [])
    except (ValueError, KeyError, TypeError):
        said, details = answer.text[:300], []
    told = f"{url} answered {answer.status_code}: {said}"
    if answer.status_code == 403 and any(one.get("reason") in _OFF for one in details):
        return ServiceOffError(told)
    if answer.status_code in (401, 403):
        return ForbiddenError(told)
    if answer.status_code == 404:
        return MissingInputError(told)
    if answer.status_code in (408, 429) or answer.status_code >= 500:
        return EngineError(told)
    return SpecError(told)
