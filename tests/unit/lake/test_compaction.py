"""Small files become one, and nobody who reads rows or lineage sees a difference."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.manifest import DataFile
from tests.unit.lake.shop import DAY1, DAY2, ITEMS, LOOKUP, provenance, rows
from tests.unit.lake.test_adoption import staged, with_ids

from contrail.config.settings import settings
from contrail.errors import CommitConflictError, DamagedError
from contrail.lake import compaction, publisher, writing
from contrail.lake.compaction import compact
from contrail.lake.lake import Lake
from contrail.lake.orphans import orphans, remove
from contrail.partitions import Partitions

MADE_BY = provenance("upkeep")
BOTH = Partitions(DAY1, DAY2)


def parts(lake: Lake, folder: Path, day: date, count: int, colour: str = "red") -> None:
    """Publish a day as executors leave it: in so many files, the last keys first by name."""
    table = with_ids(lake, rows([day], colour, count * 2))
    files = {f"_day={day}/part-{count - i}.parquet": table.slice(2 * i, 2) for i in range(count)}
    lake.publish(ITEMS, staged(folder, files), [day], provenance(f"run-{day}"))


@pytest.fixture
def small(lake: Lake, tmp_path: Path) -> Lake:
    """A day in six files, and a day in three."""
    parts(lake, tmp_path / "a", DAY1, 6)
    parts(lake, tmp_path / "b", DAY2, 3)
    assert len(lake.files("items")) == 9
    return lake


def test_a_partition_with_too_many_small_files_is_rewritten_into_one(small: Lake) -> None:
    before, snapshot = small.scan("items").to_pylist(), small.snapshot_id("items")
    makers = [small.lineage("items").maker(day) for day in BOTH]
    assert compact(small, "items", MADE_BY, dry_run=True).files == 6
    assert small.snapshot_id("items") == snapshot
    done = compact(small, "items", MADE_BY)
    assert (done.files, done.snapshot) == (6, small.snapshot_id("items"))
    assert [len(small.files("items", Partitions(day, day))) for day in BOTH] == [1, 3]
    rewritten = small.scan("items").to_pylist()
    assert sorted(map(str, rewritten)) == sorted(map(str, before))
    ids = [row["id"] for row in small.scan("items", Partitions(DAY1, DAY1)).to_pylist()]
    assert ids == sorted(ids), "in the order of the key"
    assert small.verify("items").damages == ()
    assert [small.lineage("items").maker(day) for day in BOTH] == makers
    assert small.lineage("items").unchanged_since(snapshot, BOTH)
    assert small.scan("items", snapshot_id=snapshot).num_rows == len(before)
    assert compact(small, "items", MADE_BY) == compaction.Compacted(), "once is enough"


def test_the_history_says_so_in_words(small: Lake) -> None:
    compact(small, "items", MADE_BY)
    newest = small.history("items")[0]
    assert (newest.provenance.stage, newest.commit.words) == ("ingest", "6 small files became 1; no row changed")
    assert newest.as_dict()["compacted"] == newest.commit.words
    assert newest.commit.label == newest.commit.same_label == ""
    assert small.history("items")[1].commit.words == str(DAY2)


def test_a_table_without_partitions_and_files_of_full_size(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = with_ids(lake, rows([DAY1], count=8).select(["id"]), LOOKUP)
    files = {f"part-{i}.parquet": table.slice(i, 1) for i in range(8)}
    lake.publish(LOOKUP, staged(tmp_path / "lookup", files), None, provenance())
    assert len(lake.files("lookup")) == 8
    with monkeypatch.context() as patch:
        patch.setattr(writing, "FILE_BYTES", 1)
        assert compact(lake, "lookup", MADE_BY) == compaction.Compacted(), "each is as large as a file may be"
    assert compact(lake, "lookup", MADE_BY).files == 8
    assert lake.scan("lookup")["id"].to_pylist() == list(range(8))
    assert len(lake.files("lookup")) == 1


def test_what_another_writer_publishes_meanwhile_stays(
    small: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts(small, tmp_path / "c", DAY2, 5, "blue")
    own, done = compaction._rewritten, []

    def late(*given: Any) -> list[DataFile]:
        if not done:
            done.append(small.publish(ITEMS, rows([DAY1], "green"), [DAY1], provenance("later")))
        return own(*given)

    monkeypatch.setattr(compaction, "_rewritten", late)
    compact(small, "items", MADE_BY)
    assert set(small.scan("items", Partitions(DAY1, DAY1))["colour"].to_pylist()) == {"green"}
    assert len(small.files("items", Partitions(DAY2, DAY2))) == 1
    assert small.lineage("items").maker(DAY1).provenance.run_id == "later"  # type: ignore[union-attr]


def test_a_failure_leaves_the_old_files_and_no_new_ones(small: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    before, snapshot = small.files("items"), small.snapshot_id("items")
    place = Path(small.table("items").location().removeprefix("file://"))
    there = set(place.rglob("*.parquet"))

    def fail(*_: object, **__: object) -> int:
        raise CommitConflictError("other writers won")

    with monkeypatch.context() as patch:
        patch.setattr(publisher, "swap", fail)
        with pytest.raises(CommitConflictError):
            compact(small, "items", MADE_BY)
    assert set(place.rglob("*.parquet")) == there
    damaged = Path(before[0].removeprefix("file://"))
    damaged.write_bytes(damaged.read_bytes()[::-1])
    with pytest.raises(DamagedError):
        compact(small, "items", MADE_BY)
    assert small.snapshot_id("items") == snapshot


@pytest.mark.slow
def test_files_and_manifests_stay_bounded_after_400_days(home: Path) -> None:
    """The publisher writes a file a day, so what could grow is metadata. Manifests are merged, and not at each commit."""
    lake = Lake(settings().model_copy(update={"snapshots_kept": 10}), "shop")
    days = [DAY1 + timedelta(days=n) for n in range(400)]
    manifests, merges, known = [], 0, set()
    for day in days:
        lake.publish(ITEMS, rows([day]), [day], provenance())
        table = lake.table("items")
        now = {one.manifest_path for one in table.current_snapshot().manifests(table.io)}  # type: ignore[union-attr]
        manifests.append(len(now))
        merges += len(now - known) > 1
        known |= now
    assert max(manifests[100:]) <= 40
    assert 0 < merges <= 400 / 20, "a large manifest is not written again for each small one"
    assert compact(lake, "items", MADE_BY) == compaction.Compacted()
    table = lake.table("items")
    remove(table, orphans(table, timedelta(0)))
    there = [path for path in Path(table.location().removeprefix("file://")).rglob("*") if path.is_file()]
    data = [path for path in there if path.suffix == ".parquet"]
    assert len(data) == 400
    # 12 snapshots have a list each, the table's own file and 20 before it, and the manifests that they share.
    assert len(there) - len(data) <= 12 + 21 + max(manifests) + 12
    assert lake.scan("items").num_rows == 1200
