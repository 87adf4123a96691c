"""The documentation's site: where a browser finds it, and the built one, which the page serves where nobody publishes another.

``make docs`` builds it. Its pages come from the project alone, so they may run the scripts that their theme has in them.
"""

from pathlib import Path

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException as NotServed
from starlette.staticfiles import StaticFiles

from contrail.config.settings import settings
from contrail_airflow.page.access import Person

router = APIRouter()
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


def site() -> Path:
    """The folder in which ``make docs`` leaves the site."""
    return settings().project_path / "site" / "html"


def address() -> str:
    """The root of the site for a browser, relative to the page, with a slash at its end; empty where there is none."""
    if published := settings().docs_url:
        return f"{published.rstrip('/')}/"
    return "docs/" if (site() / "index.html").is_file() else ""


@router.get("/docs/{path:path}", response_class=Response)
async def documentation(_: Person, path: str, request: Request) -> Response:
    """A file of the built site."""
    try:
        served = StaticFiles(directory=site(), check_dir=False)
        answer = await served.get_response(path or "index.html", request.scope)
    except NotServed as error:
        raise HTTPException(404, f"The documentation has no page '{path}'. make docs builds it.") from error
    answer.headers["content-security-policy"] = _POLICY
    return answer
