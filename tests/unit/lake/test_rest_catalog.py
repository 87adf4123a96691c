"""A catalog service as BigLake's: what ``prod`` asks of it, and what happens where it fails.

PyIceberg's and Google's clients are real, and speak HTTP to tests/loopback. The warehouse is a local folder.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import BadRequestError
from tests.loopback.catalog import Fault, RestCatalogServer
from tests.loopback.identity import PROJECT, Identity
from tests.unit.lake.shop import DAY1, DAY2, ITEMS, contents, provenance, rows

from contrail.adapters.google_errors import google_errors
from contrail.config.settings import CatalogSettings, Settings, settings
from contrail.config.table_spec import ColumnSpec
from contrail.errors import EngineError, SchemaError, SpecError
from contrail.lake import conflicts, orphans, rest_catalog, sandbox_records, sandboxes, upkeep
from contrail.lake.lake import Lake
from contrail.lake.moving import move_away
from contrail.lake.sandbox_records import Sandbox

TABLE = r"/namespaces/shop/tables/items$"
CHECKOUT = Path(__file__).resolve().parents[3]
UNANSWERED = [500, 502, 503, 504, 0]


@pytest.fixture
def server(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RestCatalogServer]:
    identity, started = Identity(tmp_path), RestCatalogServer(tmp_path, f"file://{tmp_path}/lake")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(identity.key_file))
    yield started
    started.stop()
    identity.stop()


def of_prod(server: RestCatalogServer, tmp_path: Path) -> Settings:
    """The settings of this home, with the catalog of ``prod``."""
    asked = yaml.safe_load((CHECKOUT / "include" / "environments" / "prod.yaml").read_text())["catalog"]
    properties = {**asked["properties"], "header.x-goog-user-project": PROJECT}
    catalog = CatalogSettings(
        type="rest", uri=server.address, warehouse_uri=f"file://{tmp_path}/lake", properties=properties
    )
    return settings().model_copy(update={"catalog": catalog})


@pytest.fixture
def lake(server: RestCatalogServer, tmp_path: Path) -> Lake:
    return Lake(of_prod(server, tmp_path), "shop")


@pytest.fixture
def other(lake: Lake, tmp_path: Path) -> Lake:
    """The same tables, as another machine has them, which knows no turns of this one."""
    return Lake(lake.settings.model_copy(update={"home_path": tmp_path / "other"}), "shop")


@pytest.fixture
def filled(lake: Lake) -> Lake:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    return lake


def publish(lake: Lake, day: date = DAY2, colour: str = "blue") -> int:
    return lake.publish(ITEMS, rows([day], colour), [day], provenance("run-2"))


def is_whole(lake: Lake, snapshots: int) -> bool:
    """Every file that the table refers to is there and as it was written, and nothing was committed twice."""
    table = lake.table("items")
    manifests = [manifest for snapshot in table.snapshots() for manifest in snapshot.manifests(table.io)]
    there = all(Path(manifest.manifest_path.removeprefix("file://")).exists() for manifest in manifests)
    return there and not lake.verify("items").damages and len(table.snapshots()) == snapshots


# ---- what prod asks for ----


def test_prod_asks_for_no_credentials_and_what_pyiceberg_asks_for_by_itself_is_refused(
    filled: Lake, server: RestCatalogServer
) -> None:
    assert contents(filled) == [(DAY1, "red", 3)]
    properties = dict(filled.settings.catalog.properties)
    del properties["header.X-Iceberg-Access-Delegation"]
    with pytest.raises(BadRequestError, match="does not vend credentials"):
        load_catalog(
            "other", type="rest", uri=server.address, **properties, warehouse=filled.settings.catalog.warehouse_uri
        )  # type: ignore[arg-type]


def test_a_refusal_of_the_catalog_says_what_it_refused(lake: Lake) -> None:
    own = {**lake.settings.catalog.properties, "header.x-goog-user-project": "another"}
    other = lake.settings.catalog.model_copy(update={"properties": own})
    with pytest.raises(SpecError, match="must name the project that is charged"), google_errors():
        Lake(lake.settings.model_copy(update={"catalog": other}), "shop").table_names()


# ---- two at once ----


def test_of_two_that_make_a_table_at_once_neither_fails(lake: Lake, other: Lake, server: RestCatalogServer) -> None:
    server.faults += [
        Fault("POST", r"/namespaces$", meanwhile=lambda: other.catalog.create_namespace("shop")),
        Fault("POST", r"/namespaces/shop/tables$", meanwhile=lambda: publish(other, DAY1, "red")),
    ]
    publish(lake)
    assert contents(lake) == [(DAY1, "red", 3), (DAY2, "blue", 3)]
    assert server.faults == []


def test_a_table_that_another_made_with_other_columns_is_refused_with_both(
    lake: Lake, other: Lake, server: RestCatalogServer
) -> None:
    numbers = replace(ITEMS, columns={**ITEMS.columns, "colour": ColumnSpec(type="int", required=False)})
    server.faults.append(
        Fault("POST", r"/namespaces/shop/tables$", meanwhile=lambda: other.ensure(numbers)),
    )
    with pytest.raises(SchemaError, match="colour: int in the table, string in the spec"):
        publish(lake)


def test_a_commit_that_another_writer_has_won_is_made_on_top_of_his(
    filled: Lake, other: Lake, server: RestCatalogServer
) -> None:
    server.faults.append(Fault("POST", TABLE, meanwhile=lambda: publish(other, DAY2, "green")))
    filled.publish(ITEMS, rows([DAY1], "blue"), [DAY1], provenance("run-3"))
    assert contents(filled) == [(DAY1, "blue", 3), (DAY2, "green", 3)]
    assert is_whole(filled, snapshots=3)


# ---- a service that fails ----


@pytest.mark.parametrize("done", ["now", "never"])
@pytest.mark.parametrize("code", UNANSWERED)
def test_a_commit_without_an_answer_is_made_once(filled: Lake, server: RestCatalogServer, code: int, done: Any) -> None:
    server.faults.append(Fault("POST", TABLE, code, done))
    publish(filled)
    assert contents(filled) == [(DAY1, "red", 3), (DAY2, "blue", 3)]
    assert is_whole(filled, snapshots=2)
    assert server.faults == []


def test_a_commit_that_comes_late_is_found(filled: Lake, server: RestCatalogServer) -> None:
    """The gateway gave up. The catalog makes the commit while the writer is at its second attempt, which then loses."""
    server.faults += [
        Fault("POST", TABLE, 504, "late"),
        Fault("POST", TABLE, meanwhile=server.catch_up),
    ]
    publish(filled)
    assert contents(filled) == [(DAY1, "red", 3), (DAY2, "blue", 3)]
    assert is_whole(filled, snapshots=2)
    assert server.faults == []


def _give_up(lake: Lake) -> None:
    (file,) = lake.files("items")
    Path(file.removeprefix("file://")).unlink()
    lake.give_up(lake.verify("items"), provenance("run-2"))


def _widen(lake: Lake) -> None:
    lake.ensure(replace(ITEMS, columns={**ITEMS.columns, "size": ColumnSpec(type="float", required=False)}))


@pytest.mark.parametrize(
    ("change", "snapshots"),
    [
        (_give_up, 2),
        (_widen, 1),
        (lambda lake: lake.tag("items", lake.snapshot_id("items"), "kept"), 1),
        (lambda lake: lake.rollback("items", lake.snapshot_id("items")), 1),
    ],
    ids=["give up", "widen", "tag", "roll back"],
)
@pytest.mark.parametrize("done", ["now", "never"])
def test_every_change_of_a_table_outlives_a_lost_answer(
    filled: Lake, server: RestCatalogServer, change: Any, snapshots: int, done: Any
) -> None:
    server.faults.append(Fault("POST", TABLE, 500, done))
    change(filled)
    table = filled.table("items")
    assert len(table.snapshots()) == snapshots
    assert ("size" in table.schema().column_names) is (change is _widen)
    assert (filled.scan("items").num_rows == 0) is (change is _give_up)


@pytest.mark.parametrize("code", [429, 503])
def test_a_service_that_asks_for_a_wait_is_left_alone_and_asked_again(
    filled: Lake, server: RestCatalogServer, code: int
) -> None:
    asked = {"Retry-After": "1"}
    server.faults += [Fault("GET", TABLE, code, headers=asked), Fault("POST", TABLE, code, headers=asked)]
    publish(filled)
    assert is_whole(filled, snapshots=2)
    assert server.faults == []


@pytest.mark.parametrize("done", ["now", "never"])
@pytest.mark.parametrize("path", [r"/namespaces$", r"/namespaces/shop/tables$"])
def test_making_a_table_outlives_a_lost_answer(lake: Lake, server: RestCatalogServer, path: str, done: Any) -> None:
    server.faults.append(Fault("POST", path, 502, done))
    publish(lake)
    assert contents(lake) == [(DAY2, "blue", 3)]


def test_reads_outlive_every_kind_of_lost_answer(filled: Lake, server: RestCatalogServer) -> None:
    server.faults += [Fault("GET", r"/config$", 502), *(Fault("GET", TABLE, code) for code in UNANSWERED[:2])]
    assert Lake(filled.settings, "shop").scan("items").num_rows == 3
    assert server.faults == []


def test_snapshots_expire_in_the_commit_that_adds_one(filled: Lake, server: RestCatalogServer) -> None:
    few = Lake(filled.settings.model_copy(update={"snapshots_kept": 1}), "shop")
    server.faults += [Fault("POST", TABLE, 503, "now")]
    publish(few)
    assert server.faults == []
    assert is_whole(few, snapshots=1)
    assert contents(few) == [(DAY1, "red", 3), (DAY2, "blue", 3)]


def test_snapshots_move_to_the_archive_through_a_catalog_service(
    filled: Lake, server: RestCatalogServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LISTED", 1)
    first = filled.history("items")[0].snapshot
    server.faults += [Fault("POST", TABLE, 503, "now")]
    publish(filled)
    assert len(filled.table("items").snapshots()) == 1
    assert [entry.snapshot for entry in filled.history("items")][-1] == first
    assert set(filled.scan("items", snapshot_id=first)["colour"].to_pylist()) == {"red"}


@pytest.mark.parametrize("code", [500, 503, 0])
def test_a_service_that_stays_away_ends_in_an_error_that_a_retry_mends(
    filled: Lake, server: RestCatalogServer, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conflicts, "SECONDS", 0)
    server.faults.append(Fault("POST", TABLE, code, "now"))
    with pytest.raises(EngineError, match="did not answer properly"):
        publish(filled)
    assert contents(filled) == [(DAY1, "red", 3), (DAY2, "blue", 3)], "the files of a commit that was made stay"
    assert publish(filled) and is_whole(filled, snapshots=2)


@pytest.mark.parametrize("code", [504, 0])
def test_a_commit_that_comes_after_the_writer_gave_up_finds_its_files(
    filled: Lake, server: RestCatalogServer, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conflicts, "SECONDS", 0)
    server.faults.append(Fault("POST", TABLE, code, "late"))
    with pytest.raises(EngineError, match="Readers see the previous rows or the new ones, whole"):
        publish(filled)
    assert contents(filled) == [(DAY1, "red", 3)]
    server.catch_up()
    assert contents(filled) == [(DAY1, "red", 3), (DAY2, "blue", 3)]
    assert is_whole(filled, snapshots=2)


def test_a_catalog_that_is_away_is_told_as_such(
    filled: Lake, server: RestCatalogServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_catalog, "_TRIES", 0)
    lake = Lake(filled.settings, "shop")
    assert lake.table_names() == ["items"]
    for code in (500, 429, 0):
        server.faults.append(Fault("GET", TABLE, code))
        with pytest.raises(EngineError), google_errors():
            lake.table("items")


# ---- what the service cannot do ----


def test_a_table_is_moved_away_where_the_catalog_cannot_rename(filled: Lake, server: RestCatalogServer) -> None:
    publish(filled)
    before = filled.scan("items")
    moved = move_away(filled, "items", date(2024, 3, 1))
    assert filled.table_names() == [moved] == ["items_before_2024_03_01"]
    assert filled.scan(moved) == before
    publish(filled, DAY1)
    assert filled.table("items").location() != filled.table(moved).location()
    assert filled.scan(moved) == before


def test_moving_away_that_was_stopped_between_its_steps_goes_on(filled: Lake, server: RestCatalogServer) -> None:
    server.faults.append(Fault("DELETE", TABLE, 403))
    with pytest.raises(SpecError), google_errors():
        move_away(filled, "items", date(2024, 3, 1))
    assert filled.scan("items").num_rows == 3
    assert move_away(filled, "items", date(2024, 3, 2)) == "items_before_2024_03_01"
    assert filled.table_names() == ["items_before_2024_03_01"]


def test_a_sandbox_lies_beside_the_main_lake(filled: Lake) -> None:
    own = Lake(filled.settings.inside("deeper"), "shop")
    pinned = sandboxes.begin(own.settings, "shop")
    record = Sandbox(
        name="deeper",
        pipeline="shop",
        made_at=datetime.now(UTC),
        made_by="ann",
        code_revision="",
        pipeline_hash="",
        tables=pinned,
        versions=0,
    )
    sandbox_records.write(own.settings, record)
    assert contents(own) == contents(filled)
    publish(own, DAY1, "green")
    publish(filled, DAY2, "blue")
    assert contents(own) == [(DAY1, "green", 3)]
    assert contents(filled) == [(DAY1, "red", 3), (DAY2, "blue", 3)]
    assert orphans.orphans(filled.table("items"), timedelta(0), sandboxes.borrowed(filled, filled.table("items"))) == []
    sandbox_records.remove(own.settings, "shop")
    sandboxes.drop(filled.settings, "deeper")
    assert sandboxes.names_in_catalog(filled.settings) == set()
    assert contents(filled) == [(DAY1, "red", 3), (DAY2, "blue", 3)]
    assert not filled.verify("items").damages
