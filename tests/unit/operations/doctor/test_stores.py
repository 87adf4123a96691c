"""The checks of the stores of a laptop and of several workers; tests/integration/test_doctor.py has those of Google Cloud."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.loopback.storage import free_port

from contrail.config.settings import CatalogSettings, RegistrySettings, Settings, settings
from contrail.operations.doctor import stores
from contrail.operations.doctor.findings import FaultError, NotCheckedError


def with_catalog(uri: str) -> Settings:
    return settings().model_copy(update={"catalog": CatalogSettings(type="sql", uri=uri, warehouse_uri="file:///w")})


def with_registry(uri: str) -> Settings:
    return settings().model_copy(update={"registry": RegistrySettings(tracking_uri=uri, artifact_uri="file:///a")})


BOTH: list[Any] = [(stores.catalog, with_catalog), (stores.registry, with_registry)]


@pytest.mark.parametrize(("check", "of"), BOTH)
def test_a_database_that_is_not_made_yet_stays_so(toy_home: Path, tmp_path: Path, check: Any, of: Any) -> None:
    path = tmp_path / "one.db"
    assert check(of(f"sqlite:///{path}")) == f"{path} will be made"
    assert not path.exists()


@pytest.mark.parametrize(("check", "of"), BOTH)
def test_a_database_that_is_whole(toy_home: Path, tmp_path: Path, check: Any, of: Any) -> None:
    path = tmp_path / "one.db"
    sqlite3.connect(path).execute("CREATE TABLE t (x)").connection.close()
    assert check(of(f"sqlite:///{path}")) == f"{path} is whole"


@pytest.mark.parametrize(("check", "of"), BOTH)
def test_a_database_that_is_damaged(toy_home: Path, tmp_path: Path, check: Any, of: Any) -> None:
    path = tmp_path / "one.db"
    path.write_text("not a database, and long enough to be read as the head of one, which has a hundred bytes" * 9)
    with pytest.raises(FaultError, match="file is not a database") as raised:
        check(of(f"sqlite:///{path}"))
    assert raised.value.commands
    assert not raised.value.again


def test_a_damaged_catalog_names_the_command_that_makes_it_again(toy_home: Path, tmp_path: Path) -> None:
    (tmp_path / "one.db").write_text("x" * 2000)
    with pytest.raises(FaultError) as raised:
        stores.catalog(with_catalog(f"sqlite:///{tmp_path}/one.db"))
    assert raised.value.commands == ("contrail recover -p toy",)


@pytest.mark.parametrize(("check", "of"), BOTH)
def test_a_postgres_that_does_not_answer(toy_home: Path, check: Any, of: Any) -> None:
    with pytest.raises(FaultError, match="OperationalError") as raised:
        check(of(f"postgresql+psycopg2://who:secret@127.0.0.1:{free_port()}/iceberg"))
    assert raised.value.again
    assert raised.value.commands == ("docker compose ps postgres",)
    assert "secret" not in str(raised.value)


def test_a_worker_does_not_know_airflows_database(toy_home: Path) -> None:
    with pytest.raises(NotCheckedError, match="only Airflow's own services"):
        stores.airflow(settings())
