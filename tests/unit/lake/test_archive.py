"""Snapshots that leave the metadata stay readable, and a table whose archive is lost goes on."""

import gzip
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from tests.unit.lake.shop import DAY1, DAY2, DAY3, ITEMS, LOOKUP, contents, provenance, rows

from contrail.config.settings import settings
from contrail.errors import DamagedError
from contrail.lake import archive, orphans, recovery, sandbox_records, sandboxes, upkeep
from contrail.lake.archive import Archive
from contrail.lake.catalog import open_catalog
from contrail.lake.lake import Lake
from contrail.lake.sandbox_records import Sandbox
from contrail.partitions import Partitions


@pytest.fixture
def made(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The snapshots of eight publications to a table whose metadata has two of them, or three."""
    monkeypatch.setattr(upkeep, "LISTED", 2)
    days = (DAY1, DAY2, DAY3, DAY1, DAY2, DAY3, DAY2, DAY3)
    return [
        lake.publish(ITEMS, rows([day], str(number)), [day], provenance(f"run-{number}"))
        for number, day in enumerate(days)
    ]


def place_of(lake: Lake) -> Path:
    place = archive.place_in(lake.table("items").metadata)
    assert place
    return Path(place.removeprefix("file://"))


def test_the_metadata_has_the_newest_and_the_table_has_all(lake: Lake, made: list[int]) -> None:
    table = lake.table("items")
    assert {snapshot.snapshot_id for snapshot in table.snapshots()} <= set(made[-3:])
    history = lake.history("items")
    assert [entry.snapshot for entry in history] == made[::-1]
    assert [entry.provenance.run_id for entry in history] == [f"run-{number}" for number in range(7, -1, -1)]
    assert [entry.rows for entry in history][-3:] == [9, 6, 3]
    assert [set(lake.scan("items", snapshot_id=one)["colour"].to_pylist()) for one in made[:3]] == [
        {"0"}, {"0", "1"}, {"0", "1", "2"},
    ]  # fmt: skip


def test_the_provenance_of_an_old_partition_is_known(lake: Lake, made: list[int]) -> None:
    lineage = lake.lineage("items")
    maker = lineage.maker(DAY1)
    assert maker is not None
    assert (maker.snapshot, maker.provenance.run_id) == (made[3], "run-3")
    assert [commit.snapshot for commit in lineage.commits] == made[::-1]
    assert lineage.complete
    assert lineage.unchanged_since(made[3], Partitions(DAY1, DAY1))
    assert not lineage.unchanged_since(made[2], Partitions(DAY1, DAY1))
    assert (states := lake.partitions("items"))[DAY1].snapshot_id == made[3]
    assert states[DAY1].updated_at is not None


def test_a_question_for_a_new_day_does_not_open_the_archive(
    lake: Lake, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(_: object) -> object:
        raise AssertionError("opened")

    monkeypatch.setattr(archive, "_read", opened)
    lineage = lake.lineage("items")
    assert lineage.maker(date(2024, 2, 1)) is None
    assert lineage.maker(DAY3) is not None
    assert lineage.unchanged_since(made[-2], Partitions(DAY1, DAY1))
    with pytest.raises(AssertionError, match="opened"):
        lineage.maker(DAY1)


def test_a_commit_before_those_of_the_archive_is_known_while_it_has_a_tag(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LISTED", 2)
    first = lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    lake.tag("items", first, "model-1")
    for number in range(6):
        lake.publish(ITEMS, rows([DAY2], str(number)), [DAY2], provenance())
    assert not archive.reaches(lake.table("items").metadata, DAY1)
    maker = lake.lineage("items").maker(DAY1)
    assert maker is not None
    assert maker.snapshot == first


def test_a_table_of_before_moves_its_snapshots_with_the_next_publication(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LISTED", 1000)
    old = [lake.publish(ITEMS, rows([DAY1], str(number)), [DAY1], provenance()) for number in range(30)]
    before = lake.history("items")
    assert archive.place_in(lake.table("items").metadata) is None
    monkeypatch.undo()
    again = Lake(settings(), "shop")
    assert again.history("items") == before
    new = again.publish(ITEMS, rows([DAY2]), [DAY2], provenance())
    assert len(again.table("items").snapshots()) == upkeep.LISTED
    assert [entry.snapshot for entry in again.history("items")] == [new, *old[::-1]]
    assert set(again.scan("items", snapshot_id=old[0])["colour"].to_pylist()) == {"0"}


def test_the_oldest_of_all_expire(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "LISTED", 2)
    lake.settings = lake.settings.model_copy(update={"snapshots_kept": 5})
    made = [lake.publish(ITEMS, rows([DAY1], str(number)), [DAY1], provenance()) for number in range(12)]
    kept = [entry.snapshot for entry in lake.history("items")]
    assert kept == made[: -len(kept) - 1 : -1]
    assert 5 <= len(kept) <= 6
    assert not lake.lineage("items").complete
    assert not lake.lineage("items").knows(made[0])


def test_a_process_that_dies_before_the_commit_changes_nothing(
    lake: Lake, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.publish(ITEMS, rows([DAY1], "8"), [DAY1], provenance())
    before, place = [entry.snapshot for entry in lake.history("items")], place_of(lake)
    written, write = [], archive.write

    def killed(*arguments: object) -> object:
        written.append(write(*arguments))  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(archive, "write", killed)
    for number in range(3):
        try:
            lake.publish(ITEMS, rows([DAY2], f"new-{number}"), [DAY2], provenance())
        except KeyboardInterrupt:
            break
        before = [entry.snapshot for entry in lake.history("items")]
    assert written, "an archive was about to be written"
    again = Lake(settings(), "shop")
    assert [entry.snapshot for entry in again.history("items")] == before
    assert place_of(again) == place
    monkeypatch.undo()
    newest = again.publish(ITEMS, rows([DAY2], "last"), [DAY2], provenance())
    assert [entry.snapshot for entry in again.history("items")] == [newest, *before]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-30])])
def test_publications_go_on_while_the_archive_is_lost(lake: Lake, made: list[int], damage: object) -> None:
    place = place_of(lake)
    whole = place.read_bytes()
    damage(place)  # type: ignore[operator]
    archive._read.cache_clear()
    for number in range(4):
        lake.publish(ITEMS, rows([DAY1], f"new-{number}"), [DAY1], provenance())
    assert (DAY1, "new-3", 3) in contents(lake)
    with pytest.raises(
        DamagedError, match=r"earlier snapshots is missing or damaged.*\n.*\n  contrail recover -p shop"
    ):
        lake.history("items")
    place.write_bytes(whole)
    archive._read.cache_clear()
    assert {entry.snapshot for entry in lake.history("items")} >= set(made)


def test_a_lost_archive_is_given_up_by_recover(lake: Lake, made: list[int]) -> None:
    place_of(lake).unlink()
    archive._read.cache_clear()
    (found,) = recovery.recover(open_catalog(settings()), settings().catalog, "shop")
    assert (found.name, found.snapshot, found.rows) == ("items", made[-1], 9)
    assert found.archive.endswith(".snapshots")
    again = Lake(settings(), "shop")
    assert {entry.snapshot for entry in again.history("items")} <= set(made[-3:])
    assert not again.lineage("items").complete


def test_a_file_is_its_archive(lake: Lake, made: list[int]) -> None:
    found = archive.of(lake.table("items"))
    assert Archive.model_validate_json(gzip.decompress(place_of(lake).read_bytes())) == found
    assert found.ids() | {one.snapshot_id for one in lake.table("items").snapshots()} == set(made)
    oldest = made[0]
    assert found.without({oldest}).ids() == found.ids() - {oldest}
    assert found.newest(0) == Archive()
    named = found.model_copy(update={"tags": {"model-1": oldest}})
    assert named.newest(0).ids() == {oldest}


def test_writers_of_several_machines_lose_no_snapshot(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LISTED", 2)
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())

    def work(machine: int, day: date) -> list[int]:
        own = Lake(settings().model_copy(update={"home_path": tmp_path / str(machine)}), "shop")
        return [own.publish(ITEMS, rows([day], f"{machine}-{n}"), [day], provenance()) for n in range(5)]

    with ThreadPoolExecutor(3) as pool:
        made = [one for found in pool.map(work, range(3), (DAY1, DAY2, DAY3)) for one in found]
    again = Lake(settings(), "shop")
    history = [entry.snapshot for entry in again.history("items")]
    assert len(history) == 16
    assert set(history) > set(made)
    assert [commit.snapshot for commit in again.lineage("items").commits] == history
    assert again.lineage("items").complete
    assert all(again.scan("items", snapshot_id=one).num_rows for one in history)
    assert contents(again) == [(DAY1, "0-4", 3), (DAY2, "1-4", 3), (DAY3, "2-4", 3)]


def test_upkeep_keeps_what_the_archive_of_a_sandbox_leads_to(lake: Lake, made: list[int]) -> None:
    own = Lake(lake.settings.inside("deeper"), "shop")
    pinned = sandboxes.begin(own.settings, "shop")
    record = Sandbox(
        name="deeper", pipeline="shop", made_at=datetime.now(UTC), made_by="ann", code_revision="", pipeline_hash="",
        tables=pinned, versions=0,
    )  # fmt: skip
    sandbox_records.write(own.settings, record)
    for number in range(3):
        own.publish(ITEMS, rows([DAY1], f"own-{number}"), [DAY1], provenance())
    few = Lake(lake.settings.model_copy(update={"snapshots_kept": 1}), "shop")
    few.publish(ITEMS, rows([DAY3], "few"), [DAY3], provenance())
    table = few.table("items")
    orphans.remove(table, orphans.orphans(table, timedelta(0), sandboxes.borrowed(few, table)))
    assert [entry.snapshot for entry in own.history("items")][3:] == made[::-1]
    assert set(own.scan("items", snapshot_id=made[0])["colour"].to_pylist()) == {"0"}
    own_table = own.table("items")
    orphans.remove(own_table, orphans.orphans(own_table, timedelta(0)))
    assert set(own.scan("items", snapshot_id=made[1])["colour"].to_pylist()) == {"0", "1"}


def lose(lake: Lake) -> None:
    place_of(lake).unlink()
    archive._read.cache_clear()


def test_a_publication_that_lost_an_attempt_needs_no_archive(
    lake: Lake, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(lake)
    commit = SqlCatalog.commit_table
    answers = iter([CommitFailedException("another writer was first")])

    def lost(self: SqlCatalog, *arguments: Any) -> object:
        if error := next(answers, None):
            raise error
        return commit(self, *arguments)

    monkeypatch.setattr(SqlCatalog, "commit_table", lost)
    lake.publish(ITEMS, rows([DAY1], "again"), [DAY1], provenance())
    assert (DAY1, "again", 3) in contents(lake)


def test_a_table_without_partitions_is_published_without_its_archive(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LISTED", 2)
    made = [lake.publish(LOOKUP, pa.table({"id": [n]}), None, provenance(f"run-{n}")) for n in range(6)]
    place = archive.place_in(lake.table("lookup").metadata)
    Path(str(place).removeprefix("file://")).unlink()
    archive._read.cache_clear()
    assert [commit.snapshot for commit in lake.lineage("lookup").commits[:1]] == made[-1:]
    assert lake.lineage("lookup").commits[0].snapshot == made[-1]
    assert lake.publish(LOOKUP, pa.table({"id": [5]}), None, provenance("run-5")) == made[-1]
    lake.publish(LOOKUP, pa.table({"id": [5]}), None, provenance("run-6"))
    assert lake.scan("lookup")["id"].to_pylist() == [5]


def test_the_same_rows_of_a_day_of_before_are_published_without_the_archive(lake: Lake, made: list[int]) -> None:
    lose(lake)
    lake.publish(ITEMS, rows([DAY1], "3"), [DAY1], provenance("run-3"))
    assert (DAY1, "3", 3) in contents(lake)


def test_a_lineage_ends_before_a_lost_archive_for_whoever_says_so(lake: Lake, made: list[int]) -> None:
    lose(lake)
    told: list[str] = []
    lineage = lake.lineage("items", lambda error: told.append(str(error)))
    known = [commit.snapshot for commit in lineage.commits]
    assert known == made[::-1][: len(known)] and 2 <= len(known) <= 3
    assert lineage.maker(DAY1) is None
    assert not lineage.complete
    (message,) = told
    assert message.splitlines()[0].endswith(".snapshots is not there.")
    assert "Errno" not in message
    with pytest.raises(DamagedError):
        lake.lineage("items").maker(DAY1)


def test_a_damaged_archive_is_told_in_words_and_found_by_verify(lake: Lake, made: list[int]) -> None:
    assert lake.verify("items").archives == ()
    place_of(lake).write_bytes(b"{}")
    archive._read.cache_clear()
    found = lake.verify("items")
    assert found.damages == ()
    assert found.archives == (archive.place_in(lake.table("items").metadata),)
    assert f"{found.archives[0]} is not as it was written." in found.remedy
    assert "gzip" not in found.remedy


def test_upkeep_goes_on_after_a_lost_archive_was_given_up(lake: Lake, made: list[int]) -> None:
    place_of(lake).write_bytes(b"damaged")
    archive._read.cache_clear()
    with pytest.raises(DamagedError):
        orphans.orphans(lake.table("items"), timedelta(days=3))
    list(recovery.recover(open_catalog(settings()), settings().catalog, "shop"))
    again = Lake(settings(), "shop")
    assert orphans.orphans(again.table("items"), timedelta(days=3)) == []
    again.publish(ITEMS, rows([DAY1], "new"), [DAY1], provenance())
    orphans.remove(again.table("items"), orphans.orphans(again.table("items"), timedelta(0)))
    assert (DAY1, "new", 3) in contents(again)


def test_a_snapshot_of_the_archive_without_its_manifests_is_given_up_by_recover(lake: Lake, made: list[int]) -> None:
    lost = archive.of(lake.table("items")).find(made[1])
    assert lost
    Path(lost.manifest_list.removeprefix("file://")).unlink()
    with pytest.raises(DamagedError):
        orphans.leads_to(lake.table("items"))
    (found,) = recovery.recover(open_catalog(settings()), settings().catalog, "shop")
    assert (found.name, found.lost, found.archive) == ("items", 1, "")
    again = Lake(settings(), "shop")
    assert orphans.leads_to(again.table("items"))
    assert {entry.snapshot for entry in again.history("items")} == {*made} - {made[1]}
    assert list(recovery.recover(open_catalog(settings()), settings().catalog, "shop")) == []


def test_a_snapshot_that_lost_its_tag_expires_before_younger_ones(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "LISTED", 2)
    lake.settings = lake.settings.model_copy(update={"snapshots_kept": 6})
    made = [lake.publish(ITEMS, rows([DAY1], "first"), [DAY1], provenance())]
    lake.tag("items", made[0], "model-1")
    made += [lake.publish(ITEMS, rows([DAY1], str(number)), [DAY1], provenance()) for number in range(5)]
    lake.untag("items", "model-1")
    made.append(lake.publish(ITEMS, rows([DAY1], "last"), [DAY1], provenance()))
    kept = [entry.snapshot for entry in lake.history("items")]
    assert kept == made[: -len(kept) - 1 : -1]
    numbers = [one["sequence-number"] for one in archive.of(lake.table("items")).snapshots]
    assert numbers == sorted(numbers)
