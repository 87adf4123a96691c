"""Names of snapshots, of those in the metadata and of those in the archive."""

from pathlib import Path
from typing import Any

import pytest
from pyiceberg.table import Table
from tests.unit.lake.shop import DAY1, DAY2, ITEMS, contents, provenance, rows

from contrail.config.settings import settings
from contrail.errors import SnapshotGoneError
from contrail.lake import archive, upkeep
from contrail.lake.lake import Lake


def test_a_name_can_be_taken_from_a_snapshot_again(lake: Lake) -> None:
    first = lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    lake.tag("items", first, "before-x")
    lake.untag("items", "before-x")
    lake.untag("items", "before-x")
    assert lake.history("items")[0].tags == ()


def test_a_snapshot_of_the_archive_gets_a_name_and_stays(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "LISTED", 2)
    lake.settings = lake.settings.model_copy(update={"snapshots_kept": 5})
    first, *_ = [lake.publish(ITEMS, rows([DAY1], str(number)), [DAY1], provenance()) for number in range(5)]
    for _ in range(2):
        lake.tag("items", first, "model-1")
    for number in range(12):
        lake.publish(ITEMS, rows([DAY2], str(number)), [DAY2], provenance())
    again = Lake(settings(), "shop")
    assert [entry.tags for entry in again.history("items") if entry.snapshot == first] == [("model-1",)]
    assert set(again.scan("items", snapshot_id=first)["colour"].to_pylist()) == {"0"}
    assert contents(again) == [(DAY1, "4", 3), (DAY2, "11", 3)]
    lake.untag("items", "model-1")
    for number in range(4):
        lake.publish(ITEMS, rows([DAY2], f"more-{number}"), [DAY2], provenance())
    assert first not in [entry.snapshot for entry in lake.history("items")]


def test_a_name_given_while_its_snapshot_leaves_the_metadata_stays(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine, which takes no turns with this one, tags the snapshot that the publication has chosen to move."""
    monkeypatch.setattr(upkeep, "LISTED", 2)
    first, _ = (lake.publish(ITEMS, rows([DAY1], str(number)), [DAY1], provenance()) for number in range(2))
    chosen = upkeep._oldest

    def tagged_meanwhile(*arguments: object) -> object:
        found = chosen(*arguments)  # type: ignore[arg-type]
        if found and not lake.table("items").refs().get("model-1"):
            Lake(settings(), "shop").table("items").manage_snapshots().create_tag(first, "model-1").commit()
        return found

    monkeypatch.setattr(upkeep, "_oldest", tagged_meanwhile)
    lake.publish(ITEMS, rows([DAY1], "last"), [DAY1], provenance())
    assert lake.table("items").refs()["model-1"].snapshot_id == first
    assert contents(lake) == [(DAY1, "last", 3)]


def test_a_snapshot_that_is_moved_before_it_gets_its_name_gets_it_in_the_archive(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LISTED", 2)
    other = Lake(settings().model_copy(update={"home_path": tmp_path / "other"}), "shop")
    first, _ = (lake.publish(ITEMS, rows([DAY1], str(number)), [DAY1], provenance()) for number in range(2))
    manage = Table.manage_snapshots

    def moved_meanwhile(table: Table) -> Any:
        monkeypatch.setattr(Table, "manage_snapshots", manage)
        for number in range(3):
            other.publish(ITEMS, rows([DAY2], str(number)), [DAY2], provenance())
        return manage(table)

    monkeypatch.setattr(Table, "manage_snapshots", moved_meanwhile)
    lake.tag("items", first, "model-1")
    assert archive.of(lake.table("items")).tags == {"model-1": first}
    assert [entry.tags for entry in lake.history("items") if entry.snapshot == first] == [("model-1",)]


def test_an_unknown_name_is_no_error_where_the_archive_is_lost(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "LISTED", 2)
    newest = [lake.publish(ITEMS, rows([DAY1], str(number)), [DAY1], provenance()) for number in range(5)][-1]
    Path(str(archive.place_in(lake.table("items").metadata)).removeprefix("file://")).unlink()
    archive._read.cache_clear()
    lake.untag("items", "nobody")
    assert lake.snapshot_id("items") == newest


def test_a_snapshot_that_is_not_there_gets_no_name(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    with pytest.raises(SnapshotGoneError, match=r"shop\.items has no snapshot 42, or it has expired"):
        lake.tag("items", 42, "before-x")
