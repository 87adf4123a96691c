"""The page as each role has it, on the toy pipeline, with Airflow's Simple auth manager and Airflow's tables."""

from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests import page_server
from tests.conftest import Prepare, Toy

Visit = Callable[[str | None], TestClient]


@pytest.fixture(scope="package")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """Airflow's login, and the page where the plugin mounts it."""
    with page_server.airflow_tables(tmp_path_factory.mktemp("airflow")):
        yield page_server.make_app()


@pytest.fixture
def visit(app: FastAPI) -> Visit:
    """A browser on the page as one of the roles; None is nobody."""
    return lambda role: page_server.client(app, role)


def _fill(toy: Toy) -> None:
    toy.land("2024-01-01", "2024-01-12")
    for verb in ("ingest", "validate", "features"):
        toy.run(verb, "2024-01-01", "2024-01-12")


@pytest.fixture
def toy_page(prepared: Prepare) -> Toy:
    """The toy pipeline with twelve days of features, and no model yet."""
    return prepared(_fill)
