"""How Airflow comes by the page: what the plugin registers.

Every process of Airflow loads the plugin, also those that parse DAGs. So the app itself is imported by the first request,
which only the API server has.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

PREFIX = "/contrail"
_Message = MutableMapping[str, Any]


class Page:
    """The app, made when it is first asked for anything."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        """Answer a request, as an ASGI app does."""
        if self._app is None:
            from contrail_airflow.page.app import make_app

            self._app = make_app()
        await self._app(scope, receive, send)


FASTAPI_APPS = [{"app": Page(), "url_prefix": PREFIX, "name": "Contrail"}]

# Without a leading slash they follow Airflow's own base URL. The page reads what it shows from its query.
_ICONS = {"icon": "contrail/static/icon.svg", "icon_dark_mode": "contrail/static/icon-dark.svg"}
EXTERNAL_VIEWS = [
    {
        "name": "Contrail", "href": "contrail/", "destination": "nav", "nav_top_level": True,
        "url_route": "contrail", **_ICONS,
    },
    {
        "name": "Contrail", "href": "contrail/?dag={DAG_ID}", "destination": "dag",
        "url_route": "contrail-dag", **_ICONS,
    },
    {
        "name": "Contrail", "href": "contrail/?dag={DAG_ID}&run={RUN_ID}", "destination": "dag_run",
        "url_route": "contrail-run", **_ICONS,
    },
]  # fmt: skip
