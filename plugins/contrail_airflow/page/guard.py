"""What every answer of the page carries, and what every request that changes something must bring.

Who may do what belongs to ``access``.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

# A script of another site cannot send this header without asking first, and the page never says yes.
MARK = "x-contrail"
_SAFE = frozenset({"GET", "HEAD"})
_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
_POLICY_NAME = "content-security-policy"
_HEADERS = {
    "x-frame-options": "SAMEORIGIN",  # Airflow shows the page in a frame of its own
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_FRESH = "no-store"
_CHECKED = "no-cache"  # files of the page: kept, and compared by their ETag each time


class Guard:
    """The ASGI app around the page's own. It refuses what another site may have sent."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return
        static = scope["path"].removeprefix(scope.get("root_path", "")).startswith("/static/")

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                policy = headers.get(_POLICY_NAME, _POLICY)  # a report brings a stricter one, with a sandbox
                headers.update({**_HEADERS, _POLICY_NAME: policy, "cache-control": _CHECKED if static else _FRESH})
            await send(message)

        refused = forged(scope["method"], Headers(scope=scope))
        answer = JSONResponse({"detail": refused}, 403) if refused else self._app
        await answer(scope, receive, guarded)


def forged(method: str, headers: Mapping[str, str]) -> str:
    """Why a request may come from another site; empty for one that cannot."""
    if method in _SAFE:
        return ""
    if headers.get(MARK) is None:
        return f"A request that changes something needs the header {MARK}."
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return "A request that changes something needs a JSON body."
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return "The request comes from another site."
    if site is None and origin is not None and urlsplit(origin).netloc != headers.get("host"):
        return "The request comes from another site."
    return ""
