"""Upkeep removes what no reader can reach, and nothing else."""

import errno
import os
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io import InputFile
from pyiceberg.serializers import FromInputFile
from pyiceberg.table.statistics import PartitionStatisticsFile, StatisticsFile
from pyiceberg.table.update import SetPartitionStatisticsUpdate, SetStatisticsUpdate
from tests.unit.lake.shop import DAY1, DAY2, DAY3, ITEMS, contents, provenance, rows

from contrail.config.settings import settings
from contrail.errors import DamagedError
from contrail.lake import moving, upkeep, writing
from contrail.lake.lake import Lake
from contrail.lake.orphans import orphans, remove

NOW, HOUR, DAYS = timedelta(0), timedelta(hours=1), timedelta(days=3)


def files(lake: Lake) -> set[str]:
    place = lake.table("items").location().removeprefix("file://")
    return {str(path) for path in Path(place).rglob("*") if path.is_file()}


def age(paths: set[str], by: timedelta) -> None:
    for path in paths:
        moment = Path(path).stat().st_mtime - by.total_seconds()
        os.utime(path, (moment, moment))


def clean(lake: Lake, grace: timedelta) -> set[str]:
    table = lake.table("items")
    found = orphans(table, grace)
    remove(table, found)
    return {one.path for one in found}


@pytest.fixture(params=[upkeep.LISTED, 1], ids=["in the metadata", "in the archive"])
def busy(lake: Lake, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A table of which most snapshots have expired."""
    monkeypatch.setattr(upkeep, "LISTED", request.param)
    lake.settings = lake.settings.model_copy(update={"snapshots_kept": 3})
    first = lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    lake.tag("items", first, "model-1")
    for number in range(8):
        lake.publish(ITEMS, rows([DAY2], str(number)), [DAY2], provenance())
    return lake


def test_a_killed_publication_leaves_files_that_go(lake: Lake, tmp_path: Path) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    before = files(lake)
    writing.write(lake.table("items"), rows([DAY2]).to_batches(), ITEMS.partition_by, tmp_path)
    writing._File(lake.table("items"), (DAY3,), "not-finished", tmp_path)
    left = files(lake) - before
    assert len(left) == 2
    assert clean(lake, HOUR) == set(), "a publication may be about to commit it"
    age(before, 3 * HOUR)
    age(left, 2 * HOUR)
    assert clean(lake, HOUR) == left
    assert files(lake) == before


def test_what_only_expired_snapshots_had_goes_and_each_kept_one_is_whole(busy: Lake) -> None:
    kept = {
        entry.snapshot: busy.scan("items", snapshot_id=entry.snapshot).to_pylist() for entry in busy.history("items")
    }
    now = contents(busy)
    assert clean(busy, NOW)
    assert clean(busy, NOW) == set()
    assert {snapshot: busy.scan("items", snapshot_id=snapshot).to_pylist() for snapshot in kept} == kept
    assert contents(busy) == now
    assert busy.verify("items").damages == ()
    data = [path for path in files(busy) if path.endswith(".parquet")]
    assert len(data) == len({path for snapshot in kept for path in busy.files("items", snapshot_id=snapshot)})


def test_a_reader_that_began_within_the_grace_period_reads_on(lake: Lake) -> None:
    lake.settings = lake.settings.model_copy(update={"snapshots_kept": 1})
    lake.publish(ITEMS, rows([DAY1], "old"), [DAY1], provenance())
    reader = lake.table("items")
    for colour in ("new", "newer", "newest"):
        lake.publish(ITEMS, rows([DAY1], colour), [DAY1], provenance())
    age({path for path in files(lake) if not path.endswith(".metadata.json")}, 2 * HOUR)
    assert len(lake.history("items")) == 1
    assert clean(lake, HOUR) == set()
    assert set(reader.scan().to_arrow()["colour"].to_pylist()) == {"old"}
    assert clean(lake, NOW)
    with pytest.raises(FileNotFoundError):
        reader.scan().to_arrow()


def test_a_table_that_was_moved_away_keeps_its_files(busy: Lake) -> None:
    away = moving.move_away(busy, "items", DAY3)
    busy.publish(ITEMS, rows([DAY3]), [DAY3], provenance())
    for name in ("items", away):
        table = busy.table(name)
        remove(table, orphans(table, NOW))
    assert (busy.scan(away).num_rows, busy.scan("items").num_rows) == (6, 3)


def test_a_folder_of_two_tables_is_left_as_it_is(busy: Lake) -> None:
    busy.catalog.rename_table(("shop", "items"), ("shop", "other"))
    place = busy.table("other").location()
    busy.catalog.create_table(("shop", "items"), ITEMS.iceberg_schema(), location=place)
    before = {path for path in files(busy) if path.endswith(".parquet")}
    for name in ("items", "other"):
        with pytest.raises(DamagedError, match=r"is of another table than .* Nothing was removed"):
            orphans(busy.table(name), NOW)
    assert before <= files(busy)


def test_nothing_goes_while_a_metadata_file_of_the_log_cannot_be_read(busy: Lake) -> None:
    before = files(busy)
    log = busy.table("items").metadata.metadata_log
    Path(log[-1].metadata_file.removeprefix("file://")).write_text("{")
    with pytest.raises(DamagedError, match=r"metadata.json cannot be read .* Nothing was removed"):
        clean(busy, HOUR)
    assert before <= files(busy)


def test_nothing_goes_when_the_machine_does_not_give_metadata(busy: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another writer's commit may be in it: what it refers to would seem to be nobody's."""
    before = files(busy)
    place = Path(busy.table("items").metadata_location.removeprefix("file://"))
    place.with_name("00099-other.metadata.json").write_bytes(place.read_bytes())
    own = FromInputFile.table_metadata

    def fails(file: InputFile) -> Any:
        if "00099" in file.location:
            raise OSError(errno.EIO, "Input/output error")
        return own(file)

    monkeypatch.setattr(FromInputFile, "table_metadata", fails)
    with pytest.raises(OSError, match="Input/output error"):
        clean(busy, HOUR)
    assert before <= files(busy)


def test_metadata_that_a_killed_commit_left_torn_stops_nobody_and_goes(busy: Lake) -> None:
    clean(busy, NOW)
    place = Path(busy.table("items").metadata_location.removeprefix("file://")).parent
    torn = place / "00099-torn.metadata.json"
    torn.write_text("{")
    assert clean(busy, HOUR) == set()
    age({str(torn)}, 2 * HOUR)
    assert clean(busy, HOUR) == {str(torn)}
    assert busy.scan("items").num_rows == 6


def test_what_a_killed_creation_left_stops_nobody_and_goes(busy: Lake) -> None:
    """Its process wrote the first metadata, and died before the catalog named it. The next one made the table."""
    clean(busy, NOW)
    place = busy.table("items").location()
    busy.catalog.create_table(("shop", "dead"), ITEMS.iceberg_schema(), location=place)
    left = busy.table("dead").metadata_location.removeprefix("file://")
    with pytest.raises(DamagedError, match="is of another table"):
        clean(busy, HOUR)
    busy.catalog.drop_table(("shop", "dead"))
    assert clean(busy, HOUR) == set()
    age({left}, 2 * HOUR)
    assert clean(busy, HOUR) == {left}
    assert busy.scan("items").num_rows == 6


def test_what_a_lost_commit_refers_to_goes_although_nobody_commits_again(
    busy: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process died after it had written the metadata, and before the catalog named it."""
    real = SqlCatalog._write_metadata

    def dies(**named: Any) -> None:
        real(**named)
        raise KeyboardInterrupt

    clean(busy, NOW)
    before = files(busy)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(SqlCatalog, "_write_metadata", staticmethod(dies))
        busy.publish(ITEMS, rows([DAY3]), [DAY3], provenance())
    left = files(busy) - before
    assert any(path.endswith(".metadata.json") for path in left)
    age(before, 3 * HOUR)
    age(left, 2 * HOUR)
    assert clean(busy, HOUR) == left, "it was never the current one"
    assert busy.scan("items").num_rows == 6


@pytest.mark.slow
def test_it_may_run_beside_writers_and_readers(busy: Lake) -> None:
    errors: list[BaseException] = []
    done = threading.Event()

    def write() -> None:
        try:
            for number in range(20):
                busy.publish(ITEMS, rows([DAY2, DAY3], f"n{number}"), [DAY2, DAY3], provenance())
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    other = Lake(busy.settings, "shop")
    removed = 0
    while not done.is_set():
        removed += len(clean(other, timedelta(seconds=2)))
        assert other.scan("items").num_rows in (6, 9)
        time.sleep(0.2)
    writer.join()
    assert errors == []
    clean(other, NOW)
    assert contents(busy) == [(DAY1, "red", 3), (DAY2, "n19", 3), (DAY3, "n19", 3)]
    assert other.verify("items").damages == ()


def place(lake: Lake) -> Path:
    return Path(lake.table("items").location().removeprefix("file://"))


def manifest_of(lake: Lake) -> Path:
    """The manifest of the newest snapshot that has the most bytes."""
    found = lake.table("items").current_snapshot().manifests(lake.table("items").io)  # type: ignore[union-attr]
    return Path(max(found, key=lambda one: one.manifest_length).manifest_path.removeprefix("file://"))


@pytest.mark.parametrize("name", ["data", "metadata"])
def test_what_is_behind_a_link_is_not_touched(busy: Lake, tmp_path: Path, name: str) -> None:
    link = place(busy) / name
    link.rename(tmp_path / "disk")
    link.symlink_to(tmp_path / "disk")
    before = {path: path.read_bytes() for path in (tmp_path / "disk").rglob("*") if path.is_file()}
    with pytest.raises(DamagedError, match=r"is not in the listing .* behind a link. Nothing was removed"):
        clean(busy, NOW)
    assert {path: path.read_bytes() for path in (tmp_path / "disk").rglob("*") if path.is_file()} == before
    assert link.is_symlink()


def test_a_link_in_a_tables_folder_stays_and_so_does_its_target(busy: Lake, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"1")
    links = {place(busy) / "data" / "photos": tmp_path / "photos", place(busy) / "a.jpg": tmp_path / "photos" / "a.jpg"}
    links[place(busy) / "gone"] = tmp_path / "gone"
    for link, target in links.items():
        link.symlink_to(target)
    assert clean(busy, NOW)
    assert all(link.is_symlink() for link in links)
    assert (tmp_path / "photos" / "a.jpg").exists()


@pytest.mark.parametrize(
    "warehouse", ["{home}//lake/./w", "file://{home}//lake", "file://{home}/a b%20c/ä", "{home}/x/"]
)
def test_the_way_in_which_a_warehouse_is_written_loses_no_file(home: Path, warehouse: str) -> None:
    current = settings()
    of = current.catalog.model_copy(update={"warehouse_uri": warehouse.format(home=home)})
    lake = Lake(current.model_copy(update={"catalog": of, "snapshots_kept": 1}), "shop")
    for colour in ("old", "new", "newest"):
        lake.publish(ITEMS, rows([DAY1], colour), [DAY1], provenance())
    assert clean(lake, NOW)
    assert contents(lake) == [(DAY1, "newest", 3)]
    assert lake.verify("items").damages == ()


@pytest.mark.parametrize("part", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["manifest", "list"])
def test_nothing_goes_while_a_manifest_is_cut_off(busy: Lake, kind: str, part: float) -> None:
    snapshot = busy.table("items").current_snapshot()
    assert snapshot is not None
    path = manifest_of(busy) if kind == "manifest" else Path(snapshot.manifest_list.removeprefix("file://"))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    before = files(busy)
    with pytest.raises(DamagedError, match=rf"{path.name} cannot be read .* Nothing was changed"):
        clean(busy, NOW)
    assert files(busy) == before


def test_nothing_goes_while_a_manifest_is_missing(busy: Lake) -> None:
    manifest_of(busy).unlink()
    before = files(busy)
    with pytest.raises(DamagedError, match=r"is missing .* Nothing was changed"):
        clean(busy, NOW)
    assert files(busy) == before


def test_it_runs_again_with_more_grace_after_it_ran_with_less(busy: Lake) -> None:
    assert clean(busy, NOW)
    now = contents(busy)
    assert clean(busy, DAYS) == set()
    busy.publish(ITEMS, rows([DAY3]), [DAY3], provenance())
    assert clean(busy, DAYS) == set()
    assert clean(busy, NOW)
    assert contents(busy) == [*now, (DAY3, "red", 3)]


def test_a_lost_file_does_not_keep_the_others(busy: Lake) -> None:
    Path(busy.files("items")[-1].removeprefix("file://")).unlink()
    assert clean(busy, NOW)


def test_statistics_stay(busy: Lake) -> None:
    table = busy.table("items")
    snapshot = table.current_snapshot()
    assert snapshot is not None
    kinds = {"table": StatisticsFile, "partition": PartitionStatisticsFile}
    paths = {kind: place(busy) / "metadata" / f"{kind}.puffin" for kind in kinds}
    for path in paths.values():
        path.write_bytes(b"1234")
    sizes = {"file-size-in-bytes": 4}
    known = {"snapshot-id": snapshot.snapshot_id, **sizes}
    statistics = StatisticsFile.model_validate(
        {**known, "statistics-path": str(paths["table"]), "file-footer-size-in-bytes": 1, "blob-metadata": []}
    )
    of_partitions = PartitionStatisticsFile.model_validate({**known, "statistics-path": str(paths["partition"])})
    updates = (
        SetStatisticsUpdate(statistics=statistics),
        SetPartitionStatisticsUpdate(partition_statistics=of_partitions),
    )
    busy.catalog.commit_table(table, (), updates)
    assert clean(busy, NOW)
    assert all(path.exists() for path in paths.values())
