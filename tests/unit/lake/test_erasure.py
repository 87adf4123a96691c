"""Rows leave a table, each of its snapshots and the disk; all other rows, and what was said of their making, stay."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.scan import holding
from tests.unit.lake.shop import DAY1, DAY2, DAY3, ITEMS, contents, provenance, rows
from tests.unit.lake.test_forgotten import marks_of

from contrail.config.settings import settings
from contrail.errors import CommitConflictError, DamagedError, InputsChangedError
from contrail.lake import erasure, orphans, publisher, upkeep
from contrail.lake.erasure import Rule
from contrail.lake.forgotten import Columns
from contrail.lake.lake import Lake
from contrail.partitions import Partitions

GONE = "erasure-me"
RULE = Rule(marks_of(Columns.of({"colour": "string"}), GONE))


@pytest.fixture(params=[upkeep.LISTED, 1], ids=["in the metadata", "in the archive"])
def shop(home: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Three days; the second once had the person's rows, and the third has them now. A tag keeps a snapshot."""
    monkeypatch.setattr(upkeep, "LISTED", request.param)
    lake = Lake(settings(), "shop")
    lake.publish(ITEMS, rows([DAY1], "blue"), [DAY1], provenance("first"))
    lake.publish(ITEMS, rows([DAY2], GONE), [DAY2], provenance("second"))
    lake.tag("items", lake.snapshot_id("items") or 0, "training-1")
    lake.publish(ITEMS, rows([DAY2], "red"), [DAY2], provenance("third"))
    lake.publish(ITEMS, rows([DAY3], GONE), [DAY3], provenance("fourth"))
    return lake


def forget(lake: Lake, grace: float = 0) -> int:
    return erasure.erase(lake, "items", RULE, provenance("forget"), timedelta(minutes=grace))


def test_it_is_found_in_every_snapshot(shop: Lake) -> None:
    found = erasure.find(shop, "items", RULE)
    assert found.rows == {str(DAY3): 3}
    assert found.earlier == 3


def test_nothing_of_it_stays_and_all_else_does(shop: Lake, home: Path) -> None:
    before = [(one.snapshot, one.provenance) for one in shop.lineage("items").commits]
    first = shop.lineage("items").commits[-1].snapshot
    assert holding(home / "lake", GONE)
    assert forget(shop) == 0
    assert holding(home / "lake", GONE) == []
    assert contents(shop) == [(DAY1, "blue", 3), (DAY2, "red", 3)]
    assert not erasure.find(shop, "items", RULE)
    lineage = shop.lineage("items")
    assert [(one.snapshot, one.provenance) for one in lineage.commits][-4:] == before
    assert lineage.unchanged_since(before[0][0], Partitions(DAY1, DAY3))
    assert not lineage.unchanged_since(before[-1][0], Partitions(DAY2, DAY2))
    made = lineage.maker(DAY2)
    assert made is not None
    assert made.provenance.run_id == "third"
    assert [one.snapshot for one in shop.history("items") if one.snapshot == first] == [first]
    assert all("training-1" not in one.tags for one in shop.history("items"))


def test_again_changes_nothing(shop: Lake) -> None:
    forget(shop)
    snapshot = shop.snapshot_id("items")
    assert forget(shop) == 0
    assert shop.snapshot_id("items") == snapshot


def test_later_publications_read_on_in_the_ledger(shop: Lake) -> None:
    before = shop.lineage("items").commits[0].snapshot
    forget(shop)
    shop.publish(ITEMS, rows([DAY3], "green"), [DAY3], provenance("fifth"))
    forget(shop)
    assert shop.lineage("items").unchanged_since(before, Partitions(DAY1, DAY2))
    assert not shop.lineage("items").unchanged_since(before, Partitions(DAY3, DAY3))


def test_what_a_killed_writer_has_left_goes(shop: Lake, home: Path) -> None:
    (path,) = [one for one in shop.files("items") if str(DAY3) in one]
    torn = Path(path.removeprefix("file://")).with_name("00000-torn.parquet")
    torn.write_bytes(Path(path.removeprefix("file://")).read_bytes()[:-20])
    assert forget(shop, grace=10) == 1
    assert forget(shop) == 0
    assert not torn.exists()
    assert contents(shop) == [(DAY1, "blue", 3), (DAY2, "red", 3)]


def test_a_young_file_of_no_snapshot_stays(shop: Lake, home: Path) -> None:
    (path,) = [one for one in shop.files("items") if str(DAY3) in one]
    copy = Path(path.removeprefix("file://")).with_name("00000-of-a-run.parquet")
    copy.write_bytes(Path(path.removeprefix("file://")).read_bytes())
    assert forget(shop, grace=10) == 1
    assert copy.exists()
    assert forget(shop) == 0
    assert not copy.exists()
    assert holding(home / "lake", GONE) == []


def test_a_publication_of_another_machine_hides_no_snapshot_in_the_archive(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes after the commit that takes snapshots out of the archive, and moves others to the archive meanwhile."""
    monkeypatch.setattr(upkeep, "LISTED", 4)
    lake, swap = Lake(settings(), "shop"), publisher.swap
    other = Lake(settings().model_copy(update={"home_path": tmp_path / "other"}), "shop")
    for number, colour in enumerate(("a", GONE, "b", "c", "d", GONE, "e", "f", "g")):
        lake.publish(ITEMS, rows([DAY1], colour), [DAY1], provenance(f"run-{number}"))

    def interrupted(*arguments: Any, **options: Any) -> int:
        made = swap(*arguments, **options)
        if options.get("archived") is None:
            return made
        monkeypatch.setattr(publisher, "swap", swap)
        for number in range(5):
            other.publish(ITEMS, rows([DAY1], f"new-{number}"), [DAY1], provenance())
        return made

    monkeypatch.setattr(publisher, "swap", interrupted)
    assert forget(lake) == 0
    again = Lake(settings(), "shop")
    assert not erasure.find(again, "items", RULE)
    assert holding(home / "lake", GONE) == []
    assert orphans.leads_to(again.table("items"))
    assert contents(again) == [(DAY1, "new-4", 3)]
    assert [one.provenance.run_id for one in again.lineage("items").commits][-8:] == [
        f"run-{n}" for n in range(7, -1, -1)
    ]


def test_no_file_goes_that_a_snapshot_refers_to_still(shop: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "_expire", lambda *_: None)
    before = len(list(shop.settings.home_path.rglob("*.parquet")))
    with pytest.raises(CommitConflictError, match="No file was removed"):
        forget(shop)
    assert len(list(shop.settings.home_path.rglob("*.parquet"))) >= before
    assert orphans.leads_to(shop.table("items"))


def test_who_was_about_to_read_the_rows_is_told_to_try_again(shop: Lake) -> None:
    """The files go at once, and the reader had listed them."""
    reader = shop.at_rest()
    reader.table("items")
    forget(shop)
    with pytest.raises(InputsChangedError, match="Run the same command again"):
        reader.scan("items")
    assert contents(shop) == [(DAY1, "blue", 3), (DAY2, "red", 3)]


def test_a_file_that_is_missed_stays_a_damage_whatever_others_publish(shop: Lake) -> None:
    reader = shop.at_rest()
    Path(reader.files("items", Partitions(DAY1, DAY1))[0].removeprefix("file://")).unlink()
    shop.publish(ITEMS, rows([DAY2], "green"), [DAY2], provenance("fifth"))
    with pytest.raises(DamagedError, match="is missing"):
        reader.scan("items")


def test_upkeep_that_meets_a_forgetting_is_told_to_try_again(shop: Lake) -> None:
    table = shop.table("items")
    forget(shop)
    with pytest.raises(InputsChangedError, match="Run the same command again"):
        orphans.orphans(table, timedelta(0))
