"""Every way in which a feed goes wrong: what the person on duty reads, that nothing is lost, and that mending helps."""

import gzip
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from tests.conftest import Prepare, Toy
from tests.landed import edit, landed_path, lines_of, set_field, write_lines

from contrail.errors import DataError, FileRefusedError, PartitionRefusedError
from contrail.stages import ingest

pytestmark = pytest.mark.slow
BEFORE, DAY, AFTER = "2024-01-05", "2024-01-06", "2024-01-07"


def three_days(toy: Toy) -> None:
    """The day before is in the lake; the day itself, and the day after, have landed."""
    toy.land(BEFORE, AFTER)
    both(toy, BEFORE)


@pytest.fixture
def feed(prepared: Prepare) -> Toy:
    return prepared(three_days)


def rows(toy: Toy, table: str = "parcels") -> dict[str, int]:
    query = f"SELECT partition_date::VARCHAR, count(*) FROM validated_{table} GROUP BY ALL ORDER BY ALL"
    return dict(toy.sql(query))


def both(toy: Toy, start: str, end: str | None = None) -> None:
    toy.run("ingest", start, end)
    toy.run("validate", start, end)


def refusal(toy: Toy, verb: str, kind: type[DataError]) -> str:
    with pytest.raises(kind) as caught:
        toy.run(verb, DAY)
    return str(caught.value)


def no_file(toy: Toy) -> None:
    landed_path(toy, "parcels", DAY).unlink()


def empty_file(toy: Toy) -> None:
    landed_path(toy, "parcels", DAY).write_bytes(b"")


def truncated(toy: Toy) -> None:
    path = landed_path(toy, "parcels", DAY)
    path.write_bytes(path.read_bytes()[:-200])


def latin_1(toy: Toy) -> None:
    lines = lines_of(toy, "parcels", DAY)
    lines[6] = lines[6].replace(",A,", ",Ä,").replace(",B,", ",Ä,").replace(",C,", ",Ä,")
    landed_path(toy, "parcels", DAY).write_bytes(gzip.compress("\n".join(lines).encode("latin-1")))


def without_column(toy: Toy) -> None:
    lines = [line.split(",") for line in lines_of(toy, "parcels", DAY)]
    write_lines(toy, "parcels", DAY, [",".join([*fields[:2], *fields[3:]]) for fields in lines])


def with_column(toy: Toy) -> None:
    header, *lines = lines_of(toy, "parcels", DAY)
    write_lines(toy, "parcels", DAY, [f"{header},colour", *(f"{line},red" for line in lines)])


def renamed_column(toy: Toy) -> None:
    edit(toy, "parcels", DAY, 1, lambda names: ["wieght" if name == "weight" else name for name in names])


def ragged(toy: Toy) -> None:
    edit(toy, "parcels", DAY, 9, lambda fields: [*fields, "more"])


def no_rows(toy: Toy) -> None:
    write_lines(toy, "parcels", DAY, lines_of(toy, "parcels", DAY)[:1])


REFUSED_FILES: list[tuple[Callable[[Toy], None], str, str]] = [
    (no_file, "missing_file", "there is no <date>.csv.gz in"),
    (empty_file, "empty_file", "the file has 0 bytes"),
    (truncated, "truncated_gzip", "can be read"),
    (latin_1, "not_utf8", "line 7, column depot: byte 0xc4 is not UTF-8"),
    (without_column, "missing_column", "line 1: column 'depot' is missing"),
    (with_column, "extra_column", "line 1: column 'colour' is not in the spec"),
    (renamed_column, "missing_column", "column 'weight' is missing; was it renamed to 'wieght'?"),
    (ragged, "ragged_row", "line 9 has 6 fields, the header 5"),
    (no_rows, "no_rows", "the file has a header and no rows"),
]


@pytest.mark.parametrize(("spoil", "rule", "words"), REFUSED_FILES, ids=[case[0].__name__ for case in REFUSED_FILES])
def test_a_bad_file_is_refused_whole(feed: Toy, spoil: Callable[[Toy], None], rule: str, words: str) -> None:
    path = landed_path(feed, "parcels", DAY)
    good = path.read_bytes()
    spoil(feed)
    spoiled = path.read_bytes() if path.exists() else None

    message = refusal(feed, "ingest", FileRefusedError)
    assert f"parcels {DAY}: {rule}: " in message and words in message
    assert str(path) in message or spoiled is None
    assert f"contrail ingest -p toy --from {DAY}" in message
    # Nothing is lost: the rows before, the other tables of the day, the file itself.
    assert rows(feed) == {BEFORE: 60}
    assert feed.sql(f"SELECT count(*) FROM raw_deliveries WHERE partition_date = '{DAY}'") == [(60,)]
    ((recorded, kept),) = feed.sql("SELECT rule, kept_uri FROM refusals")
    assert recorded == rule
    assert (Path(kept).read_bytes() if kept else None) == spoiled

    path.write_bytes(good)
    both(feed, DAY)
    assert rows(feed) == {BEFORE: 60, DAY: 60}
    assert feed.sql("SELECT * FROM refusals") == []


def test_a_date_in_the_future(feed: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "_today", lambda _: date(2024, 1, 4))
    message = refusal(feed, "ingest", FileRefusedError)
    assert f"parcels {DAY}: future_partition: the partition lies in the future: today is 2024-01-04" in message
    assert rows(feed) == {BEFORE: 60}
    monkeypatch.undo()
    both(feed, DAY)
    assert rows(feed) == {BEFORE: 60, DAY: 60}


def wrong_type(toy: Toy, line: int) -> None:
    set_field(toy, "parcels", DAY, line, "weight", "heavy")


def unknown_depot(toy: Toy, line: int) -> None:
    set_field(toy, "parcels", DAY, line, "depot", "ZZ")


def duplicate_key(toy: Toy, line: int) -> None:
    set_field(toy, "parcels", DAY, line, "parcel", "59")


def date_of_another_day(toy: Toy, line: int) -> None:
    set_field(toy, "parcels", DAY, line, "ship_date", "2024-02-01")


BAD_ROWS: list[tuple[Callable[[Toy, int], None], str, str, int]] = [
    (wrong_type, "type:weight", 'column weight: "heavy" is not a number such as 4.2', 1),
    (unknown_depot, "known_depot", "depot must be in depots (depot). Found depot=ZZ", 1),
    # Which of the two is right nobody can tell: both are set aside.
    (duplicate_key, "unique_key", "parcel=59 occurs more than once with different values, first on line 4", 2),
    (date_of_another_day, "shipped_on_partition", "ship_date=2024-02-01", 1),
]


@pytest.mark.parametrize(("spoil", "rule", "words", "bad"), BAD_ROWS, ids=[case[0].__name__ for case in BAD_ROWS])
def test_a_bad_row_is_set_aside_and_many_refuse_the_day(
    feed: Toy, spoil: Callable[[Toy, int], None], rule: str, words: str, bad: int
) -> None:
    good = lines_of(feed, "parcels", DAY)
    spoil(feed, 4)
    both(feed, DAY)
    found = feed.sql("SELECT rule, detail, file, line FROM quarantine WHERE table_name = 'parcels' ORDER BY line")
    assert len(found) == bad and found[0][0] == rule and words in found[0][1]
    assert found[0][2:] == (f"parcels/{DAY}.csv.gz", 4)
    assert rows(feed) == {BEFORE: 60, DAY: 60 - bad}

    for line in range(4, 14):
        spoil(feed, line)
    feed.run("ingest", DAY)
    message = refusal(feed, "validate", PartitionRefusedError)
    assert f"parcels {DAY}: bad_share: " in message
    assert f"First: parcels/{DAY}.csv.gz, line 4: {rule}: " in message
    assert rows(feed) == {BEFORE: 60, DAY: 60 - bad}  # as published before

    write_lines(feed, "parcels", DAY, good)
    both(feed, DAY)
    assert rows(feed) == {BEFORE: 60, DAY: 60}
    assert feed.sql("SELECT * FROM quarantine") == [] and feed.sql("SELECT * FROM refusals") == []


def test_a_day_delivered_twice_with_the_same_content(feed: Toy) -> None:
    both(feed, DAY)
    before = feed.lake.snapshot_id("raw_parcels")
    landed_path(feed, "parcels", DAY, revision=2).write_bytes(landed_path(feed, "parcels", DAY).read_bytes())
    assert feed.run("ingest", DAY).unchanged
    feed.run("validate", DAY)
    assert feed.lake.snapshot_id("raw_parcels") == before and rows(feed) == {BEFORE: 60, DAY: 60}


def test_a_day_delivered_twice_with_another_content(feed: Toy) -> None:
    both(feed, DAY)
    first = feed.lake.snapshot_id("raw_parcels")
    write_lines(feed, "parcels", DAY, [*lines_of(feed, "parcels", DAY), f"{DAY},60,A,1.0,2024-01-05T23:00:00Z"], 2)
    assert feed.run("ingest", DAY).details.replaced == (f"parcels {DAY}",)
    feed.run("validate", DAY)
    assert rows(feed) == {BEFORE: 60, DAY: 61}
    assert feed.lake.scan("raw_parcels", snapshot_id=first).num_rows == 120  # the first delivery can still be read


def test_a_day_delivered_twice_in_one_file(feed: Toy) -> None:
    lines = lines_of(feed, "parcels", DAY)
    write_lines(feed, "parcels", DAY, [*lines, *lines[1:]])
    feed.run("ingest", DAY)
    message = refusal(feed, "validate", PartitionRefusedError)
    assert "unique_key 60" in message and "line 62: unique_key: the same row as line 2" in message
    write_lines(feed, "parcels", DAY, lines)
    both(feed, DAY)
    assert rows(feed) == {BEFORE: 60, DAY: 60}


def test_a_late_file(feed: Toy) -> None:
    late = landed_path(feed, "deliveries", DAY)
    content = late.read_bytes()
    late.unlink()
    with pytest.raises(FileRefusedError, match=f"deliveries {DAY}: missing_file"):
        feed.run("ingest", DAY, AFTER)
    with pytest.raises(PartitionRefusedError, match=f"deliveries {DAY}: missing_partition"):
        feed.run("validate", DAY, AFTER)
    assert rows(feed, "deliveries") == {BEFORE: 60, AFTER: 60}
    late.write_bytes(content)
    assert feed.run("ingest", DAY).details.late == (f"deliveries {DAY}",)
    feed.run("validate", DAY)
    assert rows(feed, "deliveries") == {BEFORE: 60, DAY: 60, AFTER: 60}
    assert feed.sql("SELECT * FROM refusals") == []
