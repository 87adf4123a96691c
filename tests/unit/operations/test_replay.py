"""Mended rows end where they would have been, once, and nothing is lost on the way."""

import threading
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import Prepare, Toy
from tests.landed import set_field

from contrail.config.personal import MASK
from contrail.errors import ContrailError, DataError, PartitionRefusedError, SpecError
from contrail.lake import publisher, recovery
from contrail.lake.catalog import open_catalog
from contrail.operations.backfill import Backfills
from contrail.operations.forget import Forget
from contrail.operations.late import correct
from contrail.operations.moved_table import move_table
from contrail.operations.quarantine import rows_to_mend
from contrail.operations.replay import Asked, Replay

FIRST, DAY, LAST = "2024-01-03", "2024-01-05", "2024-01-07"


def two_bad_rows(toy: Toy) -> None:
    """Three days of the toy pipeline with two bad parcels, on lines 4 and 6 of the middle day, and their features."""
    toy.land(FIRST, LAST)
    set_field(toy, "parcels", DAY, 4, "weight", "1x5")
    set_field(toy, "parcels", DAY, 6, "weight", "-3")
    for verb in ("ingest", "validate", "features"):
        toy.run(verb, FIRST, LAST)


@pytest.fixture
def bad(prepared: Prepare) -> Toy:
    return prepared(two_bad_rows)


def replay(toy: Toy, rows: str = "", sql: str | None = None, **asked: Any) -> Replay:
    """A replay of parcels by CSV or SQL."""
    file = None
    if sql is None:
        file = Path(str(toy.settings.home_path)) / "mended.csv"
        file.write_text(rows)
    named = {"table": "parcels", "person": "eve", "reason": "slips of the pen", **asked}
    return Replay(Backfills(toy.pipeline, toy.settings, toy.lake), Asked(file=file, sql=sql, **named))


def csv(*rows: tuple[int, str], column: str = "weight") -> str:
    lines = [f"parcels/{DAY}.csv.gz,{line},{value}" for line, value in rows]
    return "\n".join([f"_file,_line,{column}", *lines, ""])


def quarantined(toy: Toy) -> list[tuple[Any, ...]]:
    return toy.sql("SELECT line, rule FROM quarantine WHERE table_name = 'parcels' ORDER BY line")


def parcels(toy: Toy) -> int:
    ((count,),) = toy.sql(f"SELECT count(*) FROM validated_parcels WHERE partition_date = '{DAY}'")
    return int(count)


def test_a_mended_row_is_published_with_what_it_reaches_and_the_record_says_who_and_why(bad: Toy) -> None:
    assert (parcels(bad), quarantined(bad)) == (58, [(4, "type:weight"), (6, "weight_range")])
    found = replay(bad, csv((4, "1.5"))).run()
    assert (found.mended, found.passed, found.kept) == (1, 1, {})
    assert (parcels(bad), quarantined(bad)) == (59, [(6, "weight_range")])
    assert found.features.startswith(DAY)
    assert found.different == (DAY, "2024-01-06", LAST), "the parcel's delivery has its partner now, and counts"
    (record,) = bad.sql("SELECT line, mend, rule, changes, person, reason FROM mended")
    assert record == (4, 1, "type:weight", '{"weight":["1x5","1.5"]}', "eve", "slips of the pen")
    ((cause,),) = bad.sql("SELECT DISTINCT cause FROM corrections")
    assert cause == f"parcels {DAY}, mended by replay {found.replay}"


def test_sql_mends_from_the_rows_in_quarantine(bad: Toy) -> None:
    sql = "SELECT * REPLACE (replace(weight, 'x', '.') AS weight) FROM quarantined -- all"
    found = replay(bad, sql=sql).run()
    assert (found.mended, found.passed, found.unchanged) == (1, 1, 1)
    assert quarantined(bad) == [(6, "weight_range")]


def test_a_typed_value_of_sql_becomes_text(bad: Toy) -> None:
    replay(bad, sql="SELECT _file, _line, 2.5::DOUBLE AS weight FROM quarantined WHERE _rule = 'weight_range'").run()
    assert bad.sql(f"SELECT weight FROM validated_parcels WHERE partition_date = '{DAY}' AND weight = 2.5") == [(2.5,)]


def test_parquet_mends_with_typed_values(bad: Toy) -> None:
    path = Path(str(bad.settings.home_path)) / "mended.parquet"
    rows = {"_file": [f"parcels/{DAY}.csv.gz"], "_line": [6], "weight": [3.0]}
    pq.write_table(pa.table(rows), path)
    asked = Asked("parcels", "eve", "slips of the pen", file=path)
    assert Replay(Backfills(bad.pipeline, bad.settings, bad.lake), asked).run().passed == 1
    assert quarantined(bad) == [(4, "type:weight")]


def test_a_row_that_still_breaks_a_rule_stays_with_the_new_reason_and_can_be_mended_again(bad: Toy) -> None:
    found = replay(bad, csv((4, "-1"), (6, "2"))).run()
    assert (found.mended, found.passed, found.kept) == (2, 1, {"weight_range": 1})
    assert quarantined(bad) == [(4, "weight_range")]
    assert replay(bad, csv((4, "1.5"))).run().passed == 1
    assert (parcels(bad), quarantined(bad)) == (60, [])
    assert bad.sql("SELECT line, mend, changes FROM mended ORDER BY ALL") == [
        (4, 1, '{"weight":["1x5","-1"]}'),
        (4, 2, '{"weight":["-1","1.5"]}'),
        (6, 1, '{"weight":["-3","2"]}'),
    ]


def test_twice_is_once(bad: Toy) -> None:
    replay(bad, csv((4, "1.5"))).run()
    before = contents(bad)
    found = replay(bad, csv((4, "1.5"))).run()
    assert (found.mended, found.unchanged, found.replay, found.days) == (0, 1, "", ())
    assert contents(bad) == before


def test_a_dry_run_says_what_would_change_and_changes_nothing(bad: Toy) -> None:
    before = contents(bad)
    found = replay(bad, csv((4, "1.5"), (6, "-4"))).plan()
    assert (found.dry_run, found.mended, found.passed, found.kept) == (True, 2, 1, {"weight_range": 1})
    following = tuple(f"deliveries {day}" for day in (DAY, "2024-01-06", LAST))
    assert (found.days, found.following, found.features) == ((DAY,), following, f"{DAY}..{LAST}")
    first, second = found.rows
    assert (first.line, first.changes, first.still) == (4, {"weight": ("1x5", "1.5")}, "")
    assert (second.line, second.still) == (6, "weight_range")
    assert contents(bad) == before


@pytest.mark.parametrize("again", ["validate", "rebuild"])
def test_a_later_validation_and_a_rebuild_from_the_landing_zone_keep_the_mend(bad: Toy, again: str) -> None:
    replay(bad, csv((4, "1.5"))).run()
    before = bad.sql("SELECT * FROM validated_parcels ORDER BY ALL")
    if again == "rebuild":
        for name in ("raw_parcels", "validated_parcels", "quarantine"):
            move_table(bad.pipeline, bad.lake, name)
        bad.run("ingest", FIRST, LAST)
    bad.run("validate", FIRST, LAST)
    assert bad.sql("SELECT * FROM validated_parcels ORDER BY ALL") == before
    assert quarantined(bad) == [(6, "weight_range")]


def test_a_day_that_is_delivered_again_is_as_it_was_delivered(bad: Toy) -> None:
    replay(bad, csv((4, "1.5"))).run()
    set_field(bad, "parcels", DAY, 4, "weight", "9.5")
    for verb in ("ingest", "validate"):
        bad.run(verb, DAY)
    assert bad.sql(f"SELECT count(*) FROM validated_parcels WHERE weight = 9.5 AND partition_date = '{DAY}'") == [(1,)]
    # The old row comes again, and its mend with it.
    set_field(bad, "parcels", DAY, 4, "weight", "1x5")
    for verb in ("ingest", "validate"):
        bad.run(verb, DAY)
    assert quarantined(bad) == [(6, "weight_range")]


# ---- what is refused ----


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        pytest.param(csv((4, "heavy")), 'line 4, column weight: "heavy" is not a number such as 4.2', id="type"),
        pytest.param(csv((5, "2")), "line 5, is not in quarantine", id="good-row"),
        pytest.param(csv((400, "2")), "line 400, is not in quarantine", id="no-row"),
        pytest.param(csv((4, "2"), (4, "3")), "line 4, is there twice", id="twice"),
        pytest.param(csv((4, "2"), column="wieght"), "no column 'wieght'; did you mean 'weight'?", id="column"),
        pytest.param(f"_file,weight\nparcels/{DAY}.csv.gz,2\n", "the mended rows have no _line", id="no-identity"),
        pytest.param(csv(), "no rows, so there is nothing to mend", id="empty"),
        pytest.param(csv((4, "5"), column="parcel"), "has the key of the good row at", id="key-before"),
        pytest.param(csv((4, "4"), (6, "30"), column="parcel"), "has the key of the good row at", id="key-after"),
    ],
)
def test_what_cannot_be_mended_is_named_and_nothing_is_lost(bad: Toy, rows: str, words: str) -> None:
    before = contents(bad)
    with pytest.raises((DataError, SpecError)) as raised:
        replay(bad, rows).run()
    assert words in str(raised.value)
    assert contents(bad) == before


def test_a_row_that_is_no_longer_in_quarantine_says_who_mended_it(bad: Toy) -> None:
    replay(bad, csv((4, "1.5"))).run()
    with pytest.raises(
        DataError, match=r"line 4, is no longer in quarantine: eve mended it on .* \(slips of the pen\)"
    ):
        replay(bad, csv((4, "2.5"))).run()


def test_a_row_that_was_delivered_again_is_validated_first(bad: Toy) -> None:
    set_field(bad, "parcels", DAY, 4, "weight", "7x5")
    bad.run("ingest", DAY)
    with pytest.raises(DataError, match=f"was delivered again since(.|\n)*contrail validate -p toy --from {DAY}"):
        replay(bad, csv((4, "1.5"))).run()


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("DELETE FROM quarantine", "never changes"),
        ("SELECT _file, _line, content AS weight FROM quarantined, read_text('/etc/hostname')", "no other file"),
        ("SELECT _file, _line, [1] AS weight FROM quarantined", "which has no text"),
        ("SELECT _file, _line, weihgt AS weight FROM quarantined", "weihgt"),
    ],
)
def test_sql_only_reads(bad: Toy, sql: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        replay(bad, sql=sql).run()


def test_a_reason_and_one_source_of_rows_are_needed() -> None:
    for asked in ({"reason": " "}, {"sql": "SELECT 1"}, {"file": None}):
        with pytest.raises(SpecError, match="Nothing was mended"):
            Asked(**{"table": "parcels", "person": "eve", "reason": "why", "file": Path("rows.csv"), **asked})


# ---- partitions that were refused, reference tables ----


def test_a_refused_day_is_published_once_enough_of_its_rows_are_mended(toy: Toy) -> None:
    toy.land(DAY)
    for line in range(2, 12):
        set_field(toy, "parcels", DAY, line, "weight", "-3")
    toy.run("ingest", DAY)
    with pytest.raises(PartitionRefusedError):
        toy.run("validate", DAY)
    with pytest.raises(PartitionRefusedError):
        replay(toy, csv((2, "3"))).run()
    assert toy.sql("SELECT line FROM mended") == [(2,)], "what was mended stays mended"
    found = replay(toy, sql="SELECT _file, _line, 3 AS weight FROM quarantined").run()
    assert (found.mended, found.passed, parcels(toy)) == (9, 9, 60)


def test_a_row_of_today_is_mended_before_the_days_other_files_have_come(toy: Toy) -> None:
    toy.land("2024-01-02", DAY)
    set_field(toy, "parcels", DAY, 4, "weight", "1x5")
    for verb in ("ingest", "validate"):
        toy.run(verb, FIRST, DAY, as_of_cutoff=True)
    toy.run("features", DAY)
    asked = "SELECT max(partition_date)::VARCHAR FROM validated_deliveries"
    (before,) = toy.sql(asked)
    found = replay(toy, csv((4, "1.5"))).run()
    assert (found.mended, found.passed, parcels(toy)) == (1, 1, 60)
    assert toy.sql(asked) == [before] == [("2024-01-04",)], "the day's own deliveries are not due"
    assert toy.sql("SELECT count(*) FROM refusals") == [(0,)]


def test_a_row_of_a_reference_table_is_mended(toy: Toy) -> None:
    toy.land(DAY)
    set_field(toy, "depots", "reference", 2, "distance", "near")
    toy.run("ingest", DAY)
    with pytest.raises(PartitionRefusedError):
        toy.run("validate", DAY)
    found = replay(toy, "_file,_line,distance\ndepots/reference.csv.gz,2,5\n", table="depots").run()
    assert (found.passed, toy.sql("SELECT count(*) FROM validated_depots")) == (1, [(3,)])


# ---- persons ----


def personal(toy: Toy, column: str = "depot") -> Toy:
    """The same pipeline, with a personal column."""
    parcels = toy.spec.tables["parcels"]
    marked = parcels.columns[column].model_copy(update={"personal": True})
    table = parcels.model_copy(update={"columns": {**parcels.columns, column: marked}})
    toy.spec = toy.spec.model_copy(update={"tables": {**toy.spec.tables, "parcels": table}})
    toy.pipeline = replace(toy.pipeline, spec=toy.spec)
    return toy


def test_a_forgotten_person_has_no_mends_and_they_do_not_come_back(bad: Toy) -> None:
    replay(bad, csv((4, "1.5"), (6, "2"))).run()
    # The row on line 4 is parcel 2, that on line 6 parcel 4.
    Forget(bad.pipeline, bad.lake, f"ship_date = '{DAY}' AND parcel = 2", timedelta(0)).run("somebody", "asked")
    assert bad.sql("SELECT line FROM mended") == [(6,)]
    bad.run("validate", DAY)
    assert bad.sql(f"SELECT count(*) FROM validated_parcels WHERE parcel = 2 AND partition_date = '{DAY}'") == [(0,)]
    assert quarantined(bad) == []
    with pytest.raises(DataError, match="is not in quarantine"):
        replay(bad, csv((4, "1.5"))).run()


def test_a_row_cannot_be_mended_into_one_of_a_forgotten_person(bad: Toy) -> None:
    Forget(bad.pipeline, bad.lake, f"ship_date = '{DAY}' AND parcel = 7", timedelta(0)).run("somebody", "asked")
    with pytest.raises(ContrailError, match="of a person who was forgotten"):
        replay(bad, f"_file,_line,parcel,weight\nparcels/{DAY}.csv.gz,4,7,1\n").run()
    assert not bad.lake.exists("mended") or bad.sql("SELECT * FROM mended") == []


def test_a_personal_column_stays_as_it_landed_unless_it_is_asked_for(bad: Toy) -> None:
    toy = personal(bad)
    with pytest.raises(SpecError, match=r"depot is personal(.|\n)*--personal"):
        replay(toy, csv((4, "B"), column="depot")).run()
    with pytest.raises(SpecError, match="depot is personal"):
        replay(toy, sql="SELECT _file, _line, 'B' AS depot FROM quarantined").run()
    lines = list(rows_to_mend(toy.lake, toy.pipeline, "parcels"))
    assert lines[0] == "_file,_line,partition_date,ship_date,parcel,weight,booked_at,_rule,_detail\n"
    found = replay(toy, "".join(lines).replace("1x5", "1.5")).plan()
    assert (found.mended, found.passed) == (1, 1)
    shown = replay(toy, csv((4, "B"), (6, "Z"), column="depot"), personal=True).plan()
    assert all(both == (MASK, MASK) for row in shown.rows for both in row.changes.values())
    replay(toy, "".join(lines).replace("1x5", "1.5")).run()
    ((row, changes),) = toy.sql('SELECT "row", changes FROM mended')
    assert f'"depot":"{MASK}"' in row
    assert changes == '{"weight":["1x5","1.5"]}'


# ---- upkeep ----


def test_verify_and_recover_know_the_mends(bad: Toy) -> None:
    replay(bad, csv((4, "1.5"))).run()
    found = bad.lake.verify("mended")
    assert (found.files, found.damages) == (1, ())
    bad.lake.catalog.drop_table((bad.lake.namespace, "mended"))
    names = [one.name for one in recovery.recover(open_catalog(bad.settings), bad.settings.catalog, bad.lake.namespace)]
    assert names == ["mended"]
    assert bad.sql("SELECT line FROM mended") == [(4,)]


# ---- killed, and two at once ----


class Killed(BaseException):
    """Nothing catches it, as nothing catches a power cut."""


def contents(toy: Toy) -> dict[str, list[str]]:
    """The rows of every table, without who made them and when."""
    receipts = {"run_id", "replay", "mended_at", "quarantined_at", "corrected_at", "cause", "backfill"}
    return {
        name: sorted(
            map(
                str,
                toy.lake.scan(name, columns=[c for c in toy.lake.schema(name).names if c not in receipts]).to_pylist(),
            )
        )
        for name in toy.lake.table_names()
    }


def kill_after(patch: pytest.MonkeyPatch, commits: int) -> None:
    real, made = publisher.swap, list[int]()

    def deadly(*args: Any, **named: Any) -> int:
        made.append(real(*args, **named))
        if len(made) == commits:
            raise Killed
        return made[-1]

    patch.setattr(publisher, "swap", deadly)


@pytest.mark.slow
@pytest.mark.parametrize("next_run", ["replay", "late"])
def test_killed_after_any_commit_the_next_run_leaves_what_an_undisturbed_one_does(
    prepared: Prepare, monkeypatch: pytest.MonkeyPatch, next_run: str
) -> None:
    def work(toy: Toy) -> None:
        replay(toy, csv((4, "1.5"), (6, "-4"))).run()

    def end(toy: Toy) -> None:
        if next_run == "replay":
            work(toy)
        else:
            correct(Backfills(toy.pipeline, toy.settings, toy.lake), date(2024, 1, 9))

    toy = prepared(two_bad_rows)
    work(toy)
    undisturbed, commits = contents(toy), 0
    while True:
        toy, commits = prepared(two_bad_rows), commits + 1
        with monkeypatch.context() as patch:
            kill_after(patch, commits)
            try:
                work(toy)
            except Killed:
                pass
            else:
                break
        end(toy)
        assert contents(toy) == undisturbed, commits
    assert commits > 5, "it was killed after each commit"


def test_two_replays_at_once_do_both(bad: Toy) -> None:
    """Each in a thread of its own; locks of files count between threads as between processes."""
    errors: list[BaseException] = []

    def work(one: Replay) -> None:
        try:
            one.run()
        except BaseException as error:
            errors.append(error)

    first = replay(bad, csv((4, "1.5")))
    second = replay(bad, sql="SELECT _file, _line, '7' AS weight FROM quarantined WHERE _rule = 'weight_range'")
    threads = [threading.Thread(target=work, args=(one,)) for one in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert (parcels(bad), quarantined(bad)) == (60, [])
    assert bad.sql("SELECT line, mend FROM mended ORDER BY line") == [(4, 1), (6, 1)]
