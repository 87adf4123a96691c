"""The page's app: its routers under one guard, and errors in the words of ``contrail.errors``."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from contrail.adapters.machine_errors import as_ours
from contrail.errors import ContrailError, SpecError
from contrail_airflow.page import board, data, documentation, models, one, predictions, replay, shell
from contrail_airflow.page.access import RIGHTS
from contrail_airflow.page.answers import ExactJSON
from contrail_airflow.page.guard import Guard
from contrail_airflow.page.mount import PREFIX

STATIC = Path(__file__).parent / "static"
# A view is a module with a router. To add one, name it here and in static/views.js.
VIEWS = (shell, board, predictions, one, models, data, replay, documentation)


def make_app() -> Any:
    """The app that the plugin mounts.

    Raises:
        AssertionError: for an endpoint that does not say who may call it.
    """
    app = FastAPI(title="Contrail", docs_url=None, redoc_url=None, openapi_url=None, default_response_class=ExactJSON)
    for view in VIEWS:
        check_rights(view.router)
        app.include_router(view.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_exception_handler(ContrailError, _told)
    for kind in (OSError, DBAPIError):
        app.add_exception_handler(kind, _of_the_machine)
    app.add_exception_handler(HTTPException, _to_login)  # type: ignore[arg-type]
    return Guard(app)


def check_rights(router: APIRouter) -> None:
    """Refuse a router with an endpoint that declares no right of ``access``."""
    for route in router.routes:
        declared = isinstance(route, APIRoute) and {one.call for one in route.dependant.dependencies} & set(RIGHTS)
        assert declared, f"{getattr(route, 'path', route)} declares no right of contrail_airflow.page.access"


async def _told(_: Request, error: Exception) -> JSONResponse:
    status = 503 if getattr(error, "retryable", False) else 400 if isinstance(error, SpecError) else 409
    return JSONResponse({"detail": str(error)}, status)


async def _of_the_machine(request: Request, error: Exception) -> JSONResponse:
    """Say what the machine, or a database, failed at. An error of theirs that is not known stays one of the server."""
    if found := as_ours(error):
        return await _told(request, found)
    raise error


async def _to_login(request: Request, error: HTTPException) -> Response:
    """Send a person who opens the page without a login to Airflow's. A script hears 401."""
    if error.status_code == 401 and "text/html" in request.headers.get("accept", ""):
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        # From Airflow's root: an address of the page may lie at any depth below it.
        airflow = request.scope["root_path"].removesuffix(PREFIX)
        return RedirectResponse(f"{airflow}/api/v2/auth/login?next={quote(asked, safe='')}")
    return await http_exception_handler(request, error)
