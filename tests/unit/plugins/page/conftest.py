"""The page as each role has it, on the toy pipeline, with Airflow's Simple auth manager and Airflow's tables."""

from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests import page_server
from tests.conftest import Prepare, Toy
from tests.landed import edit, landed_path, lines_of
from tests.toy_tables import copy_empty_registry, publish_toy, skip_what_only_train_needs

from contrail.config.settings import settings
from contrail.errors import FileRefusedError, GateRefusedError

Visit = Callable[[str | None], TestClient]
EVIL = "<script>alert(1)</script>"


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


def _train(toy: Toy) -> None:
    publish_toy(toy, "2024-01-01", "2024-03-01")
    copy_empty_registry(settings())
    toy.run("train", "2024-01-01", "2024-01-31", params={"nthread": 1}, person="ada", reason=EVIL)
    toy.run("train", "2024-01-01", "2024-02-08", params={"nthread": 1, "max_depth": 3}, person="ada", reason="deeper")
    toy.run("promote", "2024-02-11", "2024-02-24", model="1", approval="approved", person="grace", reason="the first")
    with pytest.raises(GateRefusedError):
        toy.run("promote", "2024-02-11", "2024-02-24", model="2", approval="refused", person="grace", reason=EVIL)
    toy.run("score", "2024-02-26", "2024-02-28", model="2")


@pytest.fixture
def toy_models(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The toy pipeline with the champion version 1, and version 2, which was refused and yet has scored three days."""
    skip_what_only_train_needs(monkeypatch)
    return prepared(_train)


def _spoil(toy: Toy) -> None:
    toy.land("2024-01-01", "2024-01-12")
    depot = next(i for i, name in enumerate(landed_header(toy)) if name == "depot")
    for line in (2, 3):
        edit(toy, "parcels", "2024-01-11", line, lambda fields: [*fields[:depot], EVIL, *fields[depot + 1 :]])
    for verb in ("ingest", "validate"):
        toy.run(verb, "2024-01-01", "2024-01-12")
    whole = landed_path(toy, "parcels", "2024-01-12").read_bytes()
    landed_path(toy, "parcels", "2024-01-12", revision=2).write_bytes(whole[:300])
    with pytest.raises(FileRefusedError):
        toy.run("ingest", "2024-01-12")


def landed_header(toy: Toy) -> list[str]:
    """The columns of the landed parcels."""
    return lines_of(toy, "parcels", "2024-01-11")[0].split(",")


@pytest.fixture
def toy_spoilt(prepared: Prepare) -> Toy:
    """The toy pipeline with two rows of 11 January in quarantine, and a file of the 12th refused."""
    return prepared(_spoil)
