"""Ingest: what it takes, what it leaves alone, what it refuses, and what readers see meanwhile."""

import errno
import gzip
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from tests.conftest import Toy
from tests.landed import landed_path, lines_of, set_field, write_lines

from contrail.adapters.landed_files import LandedFile
from contrail.config.table_spec import TableSpec
from contrail.errors import EngineError, FileRefusedError
from contrail.partitions import Partitions
from contrail.stages import ingest
from contrail.stages.ingestion import files

DAY, NEXT, LAST = "2024-01-05", "2024-01-06", "2024-01-07"


@pytest.fixture
def landed(toy: Toy) -> Toy:
    """Three days in the landing zone."""
    toy.land(DAY, LAST)
    return toy


def weights(toy: Toy, day: str) -> list[str]:
    return [w for (w,) in toy.sql(f"SELECT weight FROM raw_parcels WHERE partition_date = '{day}' ORDER BY _line")]


def refused(toy: Toy) -> list[tuple[str, str, str]]:
    rows = toy.sql("SELECT partition_date::VARCHAR, table_name, rule FROM refusals WHERE stage = 'ingest' ORDER BY ALL")
    return [(str(day), table, rule) for day, table, rule in rows]


def test_rows_are_text_with_their_file_and_line(landed: Toy) -> None:
    result = landed.run("ingest", DAY, LAST)
    assert (result.rows, result.details.files) == (3 * 120 + 3, 7)
    ((parcel, weight, file, line),) = landed.sql(
        f"SELECT parcel, weight, _file, _line FROM raw_parcels WHERE partition_date = '{DAY}' AND _line = 7"
    )
    header, *rows = lines_of(landed, "parcels", DAY)
    fields = dict(zip(header.split(","), rows[5].split(","), strict=True))
    assert (parcel, weight, file, line) == (fields["parcel"], fields["weight"], f"parcels/{DAY}.csv.gz", 7)


def test_a_range_and_its_days_leave_the_same_rows(landed: Toy) -> None:
    for day in (LAST, DAY, NEXT):
        landed.run("ingest", day)
    by_day = landed.sql("SELECT * FROM raw_deliveries ORDER BY partition_date, _line")
    landed.lake.catalog.purge_table(("toy", "raw_deliveries"))
    landed.run("ingest", DAY, LAST)
    assert landed.sql("SELECT * FROM raw_deliveries ORDER BY partition_date, _line") == by_day


def test_the_same_content_again_is_a_no_op(landed: Toy) -> None:
    landed.run("ingest", DAY, LAST)
    before = landed.lake.snapshot_id("raw_parcels")
    write_lines(landed, "parcels", DAY, lines_of(landed, "parcels", DAY), revision=2)
    content = landed_path(landed, "parcels", DAY).read_bytes()
    landed_path(landed, "parcels", DAY, revision=2).write_bytes(content)
    result = landed.run("ingest", DAY, LAST)
    assert result.unchanged and result.rows == 0 and result.details.unchanged_files == 7
    assert landed.lake.snapshot_id("raw_parcels") == before


@pytest.mark.parametrize("revision", [1, 2])
def test_another_content_replaces_the_partition(landed: Toy, revision: int) -> None:
    landed.run("ingest", DAY, LAST)
    other = weights(landed, NEXT)
    lines = lines_of(landed, "parcels", DAY)[:11]
    write_lines(landed, "parcels", DAY, lines, revision)
    result = landed.run("ingest", DAY, LAST)
    assert result.details.replaced == (f"parcels {DAY}",) and result.details.late == ()
    assert len(weights(landed, DAY)) == 10 and weights(landed, NEXT) == other


def test_the_highest_revision_wins(landed: Toy) -> None:
    for revision in (2, 10, 9):
        write_lines(landed, "parcels", DAY, lines_of(landed, "parcels", DAY)[: revision + 1], revision)
    landed.run("ingest", DAY)
    assert len(weights(landed, DAY)) == 10


def test_a_late_file_is_taken_and_noted(landed: Toy, collect: object) -> None:
    late = landed_path(landed, "deliveries", DAY)
    content = late.read_bytes()
    late.unlink()
    with pytest.raises(FileRefusedError):
        landed.run("ingest", DAY, LAST)
    late.write_bytes(content)
    assert landed.run("ingest", DAY).details.late == (f"deliveries {DAY}",)
    assert refused(landed) == []


def test_days_in_their_order_are_not_late(landed: Toy) -> None:
    assert landed.run("ingest", DAY).details.late == ()
    assert landed.run("ingest", DAY, LAST).details.late == ()


def test_rows_in_the_lake_outlive_the_landing_zone(landed: Toy) -> None:
    landed.run("ingest", DAY, LAST)
    landed_path(landed, "parcels", DAY).unlink()
    assert landed.run("ingest", DAY, LAST).unchanged
    assert len(weights(landed, DAY)) == 60


def test_missing_files_are_one_paragraph_a_table(toy: Toy) -> None:
    toy.land(DAY, DAY)
    with pytest.raises(FileRefusedError) as caught:
        toy.run("ingest", DAY, "2024-01-20")
    message = str(caught.value)
    assert "30 landed files refused; other new files in the lake: 3" in message
    assert "parcels 2024-01-06..2024-01-20 (15 partitions): missing_file" in message
    assert "contrail ingest -p toy --from 2024-01-06 --to 2024-01-20" in message
    assert len(refused(toy)) == 30


def test_a_partition_in_the_future_is_refused(landed: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "_today", lambda _: date(2024, 1, 6))
    with pytest.raises(FileRefusedError, match="today is 2024-01-06 in America/New_York"):
        landed.run("ingest", DAY, LAST)
    # What is known ahead lands on the evening before.
    assert refused(landed) == [(LAST, "deliveries", "future_partition")]
    ((kept,),) = landed.sql("SELECT kept_uri FROM refusals")
    assert Path(kept).read_bytes() == landed_path(landed, "deliveries", LAST).read_bytes()
    assert len(weights(landed, LAST)) == 60


def test_a_partition_after_the_last_one_of_the_spec_is_refused(landed: Toy) -> None:
    lines = lines_of(landed, "parcels", DAY)
    write_lines(landed, "parcels", "2024-03-11", lines)
    with pytest.raises(FileRefusedError, match="the pipeline ends with 2024-03-10"):
        landed.run("ingest", "2024-03-11")


def test_a_refused_reference_leaves_the_old_one_and_goes_away_when_mended(landed: Toy) -> None:
    landed.run("ingest", DAY)
    good = lines_of(landed, "depots", "reference")
    write_lines(landed, "depots", "reference", good[:1])
    with pytest.raises(FileRefusedError, match=r"depots .*no_rows"):
        landed.run("ingest", NEXT)
    assert landed.sql("SELECT count(*) FROM raw_depots") == [(3,)]
    write_lines(landed, "depots", "reference", [*good, "D,99.0"])
    landed.run("ingest", LAST)
    assert landed.sql("SELECT count(*) FROM raw_depots") == [(4,)] and refused(landed) == []


def test_a_copy_of_a_refused_file_outlives_its_redelivery(landed: Toy) -> None:
    good = lines_of(landed, "parcels", DAY)
    write_lines(landed, "parcels", DAY, [*good, "one field"])
    bad = landed_path(landed, "parcels", DAY).read_bytes()
    for _ in range(2):
        with pytest.raises(FileRefusedError, match="a copy is kept: "):
            landed.run("ingest", DAY)
    ((kept,),) = landed.sql("SELECT kept_uri FROM refusals")
    write_lines(landed, "parcels", DAY, good)
    landed.run("ingest", DAY)
    assert Path(kept).read_bytes() == bad
    assert len(list(Path(kept).parent.iterdir())) == 1
    assert gzip.decompress(bad).endswith(b"one field\n")


def test_as_of_a_cutoff_only_what_is_known_is_needed(landed: Toy) -> None:
    landed_path(landed, "deliveries", NEXT).unlink()  # not over yet
    landed.run("ingest", NEXT, as_of_cutoff=True)
    assert landed.sql("SELECT DISTINCT partition_date::VARCHAR FROM raw_deliveries") == [(DAY,)]
    assert landed.sql("SELECT DISTINCT partition_date::VARCHAR FROM raw_parcels") == [(NEXT,)]


def test_no_type_is_checked_here(landed: Toy) -> None:
    set_field(landed, "parcels", DAY, 3, "weight", "heavy")
    landed.run("ingest", DAY)
    assert weights(landed, DAY)[1] == "heavy"


def test_a_column_that_need_not_be_there_is_null(landed: Toy) -> None:
    lines = [line.split(",") for line in lines_of(landed, "parcels", DAY)]
    write_lines(landed, "parcels", DAY, [",".join([*fields[:3], *fields[4:]]) for fields in lines])
    landed.run("ingest", DAY, LAST)
    assert set(weights(landed, DAY)) == {None} and None not in weights(landed, NEXT)


@pytest.mark.parametrize("name", [f"{DAY} (1).csv.gz", f"{DAY}.CSV.gz", "20240105.csv.gz", f"{DAY}.csv"])
def test_a_wrong_name_is_never_unchanged(landed: Toy, name: str) -> None:
    landed.run("ingest", DAY, LAST)
    stray = landed_path(landed, "parcels", DAY).with_name(name)
    stray.write_bytes(b"later rows")
    with pytest.raises(FileRefusedError, match=r"misnamed_file: .* name it 2024-01-05\.2\.csv\.gz") as caught:
        landed.run("ingest", DAY)
    assert f"file: {stray}" in str(caught.value)
    assert refused(landed) == [(DAY, "parcels", "misnamed_file")] and len(weights(landed, DAY)) == 60
    landed.run("ingest", NEXT)  # the stray is of another day
    stray.unlink()
    landed.run("ingest", DAY)
    assert refused(landed) == []


def test_a_wrong_name_is_never_a_day_without_a_file(landed: Toy) -> None:
    right = landed_path(landed, "deliveries", DAY)
    right.rename(right.with_name(f"{DAY}.CSV.gz"))
    with pytest.raises(FileRefusedError) as caught:
        landed.run("ingest", DAY, leave_missing=True)
    assert f"name it {DAY}.csv.gz" in str(caught.value) and "missing_file" not in str(caught.value)
    # A name without a day belongs to every run. Several wrong names of a day are told one by one.
    for name in ("2024-02-30.csv.gz", "backup.csv.gz"):
        right.with_name(name).touch()
    with pytest.raises(FileRefusedError, match="2024-02-30 is no day"):
        landed.run("ingest", DAY, NEXT)
    assert refused(landed) == [(DAY, "deliveries", "misnamed_file"), *[(NEXT, "deliveries", "misnamed_file")] * 2]


def test_two_files_of_the_same_number_are_refused(landed: Toy) -> None:
    write_lines(landed, "parcels", DAY, lines_of(landed, "parcels", DAY)[:11])
    first = landed_path(landed, "parcels", DAY)
    first.with_name(f"{DAY}.1.csv.gz").write_bytes(first.read_bytes())
    with pytest.raises(FileRefusedError, match="neither is newer"):
        landed.run("ingest", DAY)
    assert refused(landed) == [(DAY, "parcels", "same_number")] and not landed.lake.exists("raw_parcels")


def test_what_is_no_file_stops_nothing_else(landed: Toy, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    paths = {day: landed_path(landed, "parcels", day) for day in (DAY, NEXT)}
    for path in paths.values():
        path.unlink()
    os.mkfifo(paths[DAY])
    paths[NEXT].symlink_to(secret)
    with pytest.raises(FileRefusedError) as caught:
        landed.run("ingest", DAY, LAST)
    assert refused(landed) == [(DAY, "parcels", "not_a_file"), (NEXT, "parcels", "not_a_file")]
    assert len(weights(landed, LAST)) == 60
    assert landed.sql("SELECT count(DISTINCT partition_date) FROM raw_deliveries") == [(3,)]
    assert "the secret" not in str(caught.value) and not Path(str(landed.settings.refused)).exists()


def test_a_tables_folder_that_is_a_file_stops_nothing_else(landed: Toy) -> None:
    folder = landed_path(landed, "deliveries", DAY).parent
    folder.rename(folder.with_name("_moved"))
    folder.touch()
    with pytest.raises(FileRefusedError, match="deliveries 2024-01-05: not_a_folder: 'deliveries' is a file"):
        landed.run("ingest", DAY)
    assert len(weights(landed, DAY)) == 60


@pytest.mark.parametrize(
    ("error", "rule"),
    [
        (RuntimeError("odd"), "unreadable"),
        (MemoryError(), "too_large"),
        (OSError(5, "Input/output error"), "unreadable"),
    ],
)
def test_an_error_while_one_file_is_read_is_its_refusal(
    landed: Toy, monkeypatch: pytest.MonkeyPatch, error: BaseException, rule: str
) -> None:
    read = files.read_rows

    def fail_once(file: LandedFile, table: TableSpec) -> Iterator[pa.RecordBatch]:
        if file.name == f"{DAY}.csv.gz" and "parcel" in table.columns and "delay" not in table.columns:
            raise error
        return read(file, table)

    monkeypatch.setattr(files, "read_rows", fail_once)
    with pytest.raises(FileRefusedError, match="a copy is kept"):
        landed.run("ingest", DAY, NEXT)
    assert refused(landed) == [(DAY, "parcels", rule)] and len(weights(landed, NEXT)) == 60


def test_a_machine_without_room_refuses_no_file(landed: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Iterator[pa.RecordBatch]:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "read_rows", full)
    with pytest.raises(EngineError, match="no room is left"):
        landed.run("ingest", DAY)
    assert refused(landed) == []


@pytest.mark.parametrize("table", ["parcels", "depots"])
def test_what_the_lake_lost_can_be_taken_in_again(landed: Toy, table: str) -> None:
    landed.run("ingest", DAY, NEXT)
    before = landed.sql(f"SELECT * EXCLUDE (_sha256) FROM raw_{table} ORDER BY ALL")
    days = Partitions.parse(DAY) if table == "parcels" else None
    (lost,) = landed.lake.files(f"raw_{table}", days)
    Path(lost.removeprefix("file://")).unlink()
    landed_file = landed_path(landed, table, DAY if days else "reference")
    away = landed_file.rename(landed_file.with_name(".away"))
    with pytest.raises(FileRefusedError, match="the lake's own rows of this partition cannot be read"):
        landed.run("ingest", DAY, NEXT)
    away.rename(landed_file)
    assert landed.run("ingest", DAY, NEXT).details.files == 1
    assert landed.sql(f"SELECT * EXCLUDE (_sha256) FROM raw_{table} ORDER BY ALL") == before
    assert refused(landed) == []
