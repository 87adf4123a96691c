"""Days that keep their contract and are wrong all the same, on the toy pipeline with twenty days of history."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import Prepare, Toy
from tests.landed import lines_of, write_lines

from contrail.errors import PartitionRefusedError

FIRST, YESTERDAY, DAY = "2024-01-01", "2024-01-20", "2024-01-21"


def _twenty_days(toy: Toy) -> None:
    toy.land(FIRST, DAY)
    toy.run("ingest", FIRST, YESTERDAY)
    toy.run("validate", FIRST, YESTERDAY)


@pytest.fixture
def known(prepared: Prepare) -> Toy:
    """Twenty validated days, and one more that is landed."""
    return prepared(_twenty_days)


def spoil(toy: Toy, table: str, change: Callable[[list[list[str]]], list[list[str]]]) -> None:
    """Deliver the new day with other rows."""
    header, *lines = lines_of(toy, table, DAY)
    write_lines(toy, table, DAY, [header, *(",".join(row) for row in change([line.split(",") for line in lines]))])


def column(at: int, change: Callable[[str], object]) -> Callable[[list[list[str]]], list[list[str]]]:
    return lambda rows: [[*row[:at], str(change(row[at])), *row[at + 1 :]] for row in rows]


def found(toy: Toy) -> str:
    toy.run("ingest", DAY)
    return "\n".join(toy.run("validate", DAY).details.unusual)


def test_a_good_day_is_not_unusual(known: Toy) -> None:
    assert found(known) == ""
    assert known.sql("SELECT count(*) FROM profiles WHERE unusual IS NOT NULL") == [(0,)]


@pytest.mark.parametrize(
    ("table", "change", "words"),
    [
        ("deliveries", lambda rows: rows[::2], "rows 30; usually 60 to 60 on the last 20 days"),
        ("parcels", column(3, lambda text: float(text) * 1000 / 60), "p50 weight"),
        ("parcels", column(3, lambda _: ""), "empty weight 1; usually 0 to 0"),
        ("parcels", column(2, lambda _: "A"), "share depot=A 1; usually"),
        ("parcels", column(4, lambda at: at.replace("T23:", "T18:")), "hours after ship_date -11; usually -6 to -6"),
        ("deliveries", column(2, lambda text: float(text) + 60), "mean label 1; usually"),
        ("deliveries", column(2, lambda text: -float(text)), "p10 delay"),
        ("deliveries", column(2, lambda _: 12), "varied delay 0.01667; usually"),
        ("deliveries", column(3, lambda _: f"{DAY}T23:30:00Z"), "quiet hours 23; usually"),
    ],
    ids=["half", "unit", "empty", "category", "an early zone", "an hour", "negated", "constant", "one hour"],
)
def test_a_plausible_but_wrong_day_is_told(
    known: Toy, table: str, change: Callable[[list[list[str]]], list[list[str]]], words: str
) -> None:
    spoil(known, table, change)
    said = found(known)
    assert words in said and f"{table} {DAY}: " in said
    ((unusual,),) = known.sql("SELECT count(*) > 0 FROM profiles WHERE unusual IS NOT NULL")
    assert unusual


def test_the_rows_of_yesterday_with_todays_dates_are_told(known: Toy) -> None:
    rows = [
        line.replace("2024-01-20", DAY).replace("2024-01-19", YESTERDAY)
        for line in lines_of(known, "parcels", YESTERDAY)
    ]
    write_lines(known, "parcels", DAY, rows)
    assert "its rows are those of 2024-01-20, with other dates" in found(known)


def with_mode(toy: Toy, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    source = toy.spec.tables["deliveries"].model_copy(update={"unusual": mode})
    spec = toy.spec.model_copy(update={"tables": {**toy.spec.tables, "deliveries": source}})
    monkeypatch.setattr("contrail.stages.runner.load_pipeline", lambda _: replace(toy.pipeline, spec=spec))


def test_an_unusual_day_is_refused_by_choice_and_taken_by_choice(known: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(known, "deliveries", lambda rows: rows[::2])
    with_mode(known, monkeypatch, "refuse")
    with pytest.raises(
        PartitionRefusedError, match=r"deliveries 2024-01-21: unusual: .*rows 30; .*set tables.deliveries.unusual"
    ):
        found(known)
    published = "SELECT (SELECT count(*) FROM validated_deliveries WHERE partition_date = '2024-01-21'), "
    profiled = "(SELECT count(*) FROM profiles WHERE table_name = 'deliveries' AND partition_date = '2024-01-21')"
    assert known.sql(published + profiled) == [(0, 0)]
    with_mode(known, monkeypatch, "off")
    assert found(known).count("deliveries") == 0
    assert known.sql(published + "0") == [(30, 0)]


def test_the_report_shows_what_is_unusual(known: Toy) -> None:
    spoil(known, "deliveries", lambda rows: rows[::2])
    known.run("ingest", DAY)
    text = Path(known.run("validate", DAY).reports[0]).read_text()
    assert "rows 30; usually 60 to 60" in text and "Unlike the table" in text


def test_days_of_one_range_are_judged_as_one_by_one(known: Toy) -> None:
    before = known.sql("SELECT * FROM profiles ORDER BY ALL")
    for start, end in ((FIRST, "2024-01-18"), ("2024-01-19", "2024-01-19"), (YESTERDAY, YESTERDAY)):
        known.run("validate", start, end)
    assert known.sql("SELECT * FROM profiles ORDER BY ALL") == before
