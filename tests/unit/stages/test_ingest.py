"""Ingest: what it takes, what it leaves alone, what it refuses, and what readers see meanwhile."""

import gzip
from datetime import date
from pathlib import Path

import pytest
from tests.conftest import Toy
from tests.landed import landed_path, lines_of, set_field, write_lines

from contrail.errors import FileRefusedError
from contrail.stages import ingest

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
