"""Pages in a frame, such as reports. The frame is a world of its own, which reaches nothing of Airflow."""

from fastapi.responses import Response

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; font-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; "
)
# Without scripts a page may follow its own links. With those of Plotly it gets an origin of its own.
_STILL = f"{_POLICY}sandbox allow-same-origin"
_DRAWN = f"{_POLICY}script-src 'unsafe-inline' 'unsafe-eval'; worker-src blob:; sandbox allow-scripts"


def framed(content: bytes | str, media_type: str = "text/html; charset=utf-8", *, scripts: bool = False) -> Response:
    """Answer with a file of such a page. ``scripts`` lets its own scripts run."""
    return Response(content, media_type=media_type, headers={"content-security-policy": _DRAWN if scripts else _STILL})
