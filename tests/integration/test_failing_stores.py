"""A publication while the object store or the catalog's database fails: right rows, or one error that a retry follows.

``make chaos ARGS="'object store' 'catalog database'"`` runs a day's chain against each of these faults, and many more.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos.machine.database import BEFORE, CUT, ON_COMMIT, raises, trigger
from tests.chaos.machine.store import catalog_in_store, quick_retries
from tests.chaos.machine.store_server import Plan, faulty_store
from tests.servers import Servers
from tests.unit.lake.shop import DAY1, DAY2, ITEMS, contents, provenance, rows

from contrail.adapters.google_errors import google_errors
from contrail.adapters.machine_errors import machine_errors
from contrail.config.settings import CatalogSettings, settings
from contrail.errors import EngineError
from contrail.lake import conflicts
from contrail.lake.lake import Lake

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("airflow")]

OLD, NEW = [(DAY1, "red", 3)], [(DAY1, "red", 3), (DAY2, "red", 3)]


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """Where the plan of the store's faults lies; without it nothing is wrong."""
    return tmp_path / "plan.json"


@pytest.fixture
def in_store(home: Path, tmp_path: Path, plan: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """A lake with a day, whose files lie in an object store."""
    store = faulty_store(tmp_path / "storage", plan)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", store.address)
    monkeypatch.setattr("gcsfs.retry.asyncio", asyncio)  # as it is brought back
    quick_retries()
    own = catalog_in_store(home / "lake" / "catalog.db")
    lake = Lake(settings().model_copy(update={"catalog": own}), "shop")
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    yield lake
    store.stop()


@pytest.mark.parametrize(
    ("fault", "passes"),
    [
        (Plan("status", code=503, times=3), True),
        (Plan("status", code=429, times=3), True),
        (Plan("cut upload", "POST|PUT", times=2), True),
        (Plan("cut answer", "GET", times=2), True),
        (Plan("status", "POST|PUT", code=503), False),
        (Plan("status", "GET", code=500, skip=2), False),
        (Plan("cut upload", "POST|PUT", skip=1), False),
    ],
)
def test_a_store_that_fails_leaves_the_old_rows_or_the_new(
    in_store: Lake, plan: Path, fault: Plan, passes: bool
) -> None:
    fault.save(plan)
    _publish_through(in_store, passes)
    plan.unlink()
    _ends_well(in_store, passes)


@pytest.fixture
def in_postgres(home: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """A lake with a day, whose catalog is a database on a server."""
    monkeypatch.setenv("PGPASSWORD", servers.secrets["CONTRAIL_DB_PASSWORD"])
    monkeypatch.setattr(conflicts, "SECONDS", 3)
    uri = f"postgresql+psycopg2://contrail@127.0.0.1:{servers.postgres_port}/iceberg"
    own = CatalogSettings(type="sql", uri=uri, warehouse_uri=f"file://{home}/lake/warehouse")
    lake = Lake(settings().model_copy(update={"catalog": own}), "shop")
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    yield lake
    lake.catalog.drop_table(("shop", "items"))


@pytest.mark.parametrize(
    ("fault", "place", "last", "passes"),
    [
        (raises("40P01"), BEFORE, 2, True),
        (raises("40001"), ON_COMMIT, 2, True),
        (CUT, BEFORE, 2, True),
        (CUT, ON_COMMIT, 1, True),
        (CUT, BEFORE, 1000, False),
        (raises("53100"), BEFORE, 1000, False),
    ],
)
def test_a_database_that_fails_in_a_commit_leaves_the_old_rows_or_the_new(
    in_postgres: Lake, servers: Servers, fault: str, place: dict[str, str], last: int, passes: bool
) -> None:
    with trigger(servers, fault, 1, last, place):
        _publish_through(in_postgres, passes)
    _ends_well(in_postgres, passes)


def test_a_connection_that_the_server_closed_meanwhile_is_opened_again(in_postgres: Lake, servers: Servers) -> None:
    def close() -> None:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'contrail'"
        assert servers.query("postgres", "postgres", query)

    close()
    in_postgres.publish(ITEMS, rows([DAY2]), [DAY2], provenance("run-2"))
    close()
    assert contents(in_postgres) == NEW


def _publish_through(lake: Lake, passes: bool) -> None:
    def publish() -> None:
        with machine_errors(), google_errors():
            lake.publish(ITEMS, rows([DAY2]), [DAY2], provenance("run-2"))

    if passes:
        publish()
        return
    with pytest.raises(EngineError) as raised:
        publish()
    assert raised.value.exit_code == 75


def _ends_well(lake: Lake, passed: bool) -> None:
    """Readers see one whole state, and the same publication leaves the right rows."""
    assert contents(lake) == NEW if passed else contents(lake) in (OLD, NEW)
    lake.publish(ITEMS, rows([DAY2]), [DAY2], provenance("run-2"))
    assert contents(lake) == NEW
