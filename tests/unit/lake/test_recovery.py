"""A catalog that lacks tables whose files are there is refused, and made again from them."""

import errno
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import requests
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.serializers import FromInputFile
from tests.unit.lake.shop import DAY1, DAY2, ITEMS, LOOKUP, contents, provenance, rows

from contrail.config.settings import settings
from contrail.errors import DamagedError
from contrail.lake import recovery
from contrail.lake.catalog import open_catalog
from contrail.lake.lake import Lake


def catalog_file(home: Path) -> Path:
    return home / "lake" / "catalog.db"


def _delete(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _forget(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM iceberg_tables WHERE table_name = 'items'")


@pytest.fixture
def filled(lake: Lake) -> Lake:
    lake.publish(LOOKUP, pa.table({"id": [1, 2]}), None, provenance())
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    lake.publish(ITEMS, rows([DAY2], "blue"), [DAY2], provenance())
    lake.catalog.close()
    return lake


def recover() -> list[recovery.Found]:
    return list(recovery.recover(open_catalog(settings()), settings().catalog, "shop"))


@pytest.mark.parametrize("lose", [_delete, _empty, _forget])
def test_a_lost_catalog_is_refused_and_made_again(filled: Lake, home: Path, lose: Callable[[Path], None]) -> None:
    history = [entry.snapshot for entry in filled.history("items")]
    lose(catalog_file(home))
    refusals: list[Callable[[Lake], object]] = [
        lambda lake: lake.publish(ITEMS, rows([DAY1], "new"), [DAY1], provenance()),
        lambda lake: lake.scan("items"),
        lambda lake: lake.partitions("items"),
        lambda lake: lake.table_names(),
    ]
    for act in refusals:
        with pytest.raises(DamagedError, match=r"items(, lookup)?\. It was deleted.*\n  contrail recover -p shop"):
            act(Lake(settings(), "shop"))
    recover()
    again = Lake(settings(), "shop")
    assert contents(again) == [(DAY1, "red", 3), (DAY2, "blue", 3)]
    assert [entry.snapshot for entry in again.history("items")] == history
    assert again.scan("lookup").num_rows == 2
    again.publish(ITEMS, rows([DAY1], "new"), [DAY1], provenance())
    assert contents(again) == [(DAY1, "new", 3), (DAY2, "blue", 3)]


def test_a_recovery_that_was_killed_goes_on(filled: Lake, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog_file(home).unlink()
    own = SqlCatalog.register_table

    def killed(*given: object, **named: object) -> object:
        if given[1] == ("shop", "lookup"):
            raise KeyboardInterrupt
        return own(*given, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(SqlCatalog, "register_table", killed)
        with pytest.raises(KeyboardInterrupt):
            recover()
    with pytest.raises(DamagedError, match=r"1 tables of shop.*: lookup"):
        Lake(settings(), "shop").scan("items")
    assert [found.name for found in recover()] == ["lookup"], "what the catalog has stays as it is"
    assert contents(Lake(settings(), "shop")) == [(DAY1, "red", 3), (DAY2, "blue", 3)]


def test_damaged_metadata_falls_back_to_the_newest_that_can_be_read(filled: Lake, home: Path) -> None:
    newest = Path(filled.table("items").metadata_location.removeprefix("file://"))
    newest.write_bytes(newest.read_bytes()[:100])
    with pytest.raises(
        DamagedError, match=r"(?s)shop\.items: its metadata file is .*damaged.*\n  contrail recover -p shop"
    ):
        Lake(settings(), "shop").scan("items")
    (found,) = recover()
    assert (found.name, found.unreadable) == ("items", (newest.name,))
    assert contents(Lake(settings(), "shop")) == [(DAY1, "red", 3)]


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "Input/output error"), TimeoutError(), requests.ConnectionError(), PermissionError()]
)
@pytest.mark.parametrize("lose", [lambda _: None, _delete])
def test_metadata_that_the_machine_or_the_store_does_not_give_is_not_damaged(
    filled: Lake, home: Path, error: Exception, lose: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(catalog_file(home))

    def fails(_: object) -> None:
        raise error

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(FromInputFile, "table_metadata", fails)
        recover()
    recover()
    assert contents(Lake(settings(), "shop")) == [(DAY1, "red", 3), (DAY2, "blue", 3)], "the newest is the newest still"


def test_a_new_project_and_an_unfinished_first_table_are_no_lost_catalog(lake: Lake, home: Path) -> None:
    assert lake.table_names() == []
    lake.ensure(ITEMS)  # killed after this, the catalog may lack the row; no reader has seen rows yet
    catalog_file(home).unlink()
    assert Lake(settings(), "shop").table_names() == []


def test_a_table_that_was_renamed_is_not_lost(filled: Lake) -> None:
    filled.catalog.rename_table(("shop", "items"), ("shop", "items_before"))
    assert Lake(settings(), "shop").table_names() == ["items_before", "lookup"]
    assert recover() == []


def test_a_warehouse_of_another_pipeline_is_no_matter(filled: Lake, home: Path) -> None:
    shutil.copytree(home / "lake" / "warehouse" / "shop", home / "lake" / "warehouse" / "other")
    assert Lake(settings(), "shop").table_names() == ["items", "lookup"]
