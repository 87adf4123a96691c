"""Airflow's API server reduced to what the page needs: the login of a real auth manager, Airflow's tables, and the plugin.

``serve`` is for looking at the page by hand; tests call the app through ``client``.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.testclient import TestClient

from contrail_airflow.roles import ROLES

_SIMPLE = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
SECRET = "a secret of the tests, which is long enough for any of the algorithms of a token"


def environment(home: Path) -> dict[str, str]:
    """Airflow's settings: its tables in a folder of their own, and a user of each role."""
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__AUTH_MANAGER": _SIMPLE,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{role.name}:{role.airflow}" for role in ROLES),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__API_AUTH__JWT_SECRET": SECRET,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }


@contextmanager
def airflow_tables(home: Path) -> Iterator[None]:
    """Airflow's tables in a new database, and afterwards those that Airflow had before."""
    own = environment(home)
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    from airflow import settings
    from airflow.models import import_all_models
    from airflow.models.base import Base

    settings.dispose_orm()
    settings.configure_vars()
    settings.configure_orm()
    import_all_models()
    Base.metadata.create_all(settings.engine)
    try:
        yield
    finally:
        settings.dispose_orm()
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
        settings.configure_vars()


def make_app() -> FastAPI:
    """An app with Airflow's login, and the page where the plugin mounts it."""
    from airflow.api_fastapi.app import init_auth_manager

    from contrail_airflow.page.mount import FASTAPI_APPS

    app = FastAPI()
    init_auth_manager(app)
    for mounted in FASTAPI_APPS:
        app.mount(mounted["url_prefix"], mounted["app"])
    return app


def token(role: str) -> str:
    """The token that Airflow gives a user after the login."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    airflow = next(one.airflow for one in ROLES if one.name == role)
    return get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=role, role=airflow))


def client(app: FastAPI, role: str | None) -> TestClient:
    """A browser on the page, logged in as one of ``ROLES``; None for nobody."""
    cookies = {"_token": token(role)} if role else None
    return TestClient(app, base_url="http://testserver/contrail/", cookies=cookies, follow_redirects=False)
