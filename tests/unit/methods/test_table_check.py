"""The rules that every table has, on a handful of rows."""

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contrail.config.names import OF_LANDED, folded, quoted
from contrail.config.table_spec import ColumnSpec, TableSpec
from contrail.errors import SpecError
from contrail.methods import table_check
from contrail.methods.row_rules import profile_columns
from contrail.methods.table_check import TableCheck
from contrail.methods.usual_days import aggregates

COLUMNS = {
    "id": ColumnSpec(type="int"),
    "value": ColumnSpec(type="float", required=False),
    "at": ColumnSpec(type="timestamp"),
}
TABLE = TableSpec(key=("id",), known_at="at", columns=COLUMNS)
AHEAD = TableSpec(key=("id",), known_at="at", known_ahead=True, columns=COLUMNS)
NOON = "2024-01-05T17:00:00Z"  # in New York
DAY = date(2024, 1, 5)


def check(
    *rows: tuple[str | None, str | None, str | None],
    table: TableSpec = TABLE,
    cutoff: time = time(0),
    day: date = DAY,
    zone: str = "America/New_York",
) -> TableCheck:
    """Checked rows of a day, 5 January without another; the first is on line 2."""
    return opened(table, landed(list(COLUMNS), rows, day), zone, cutoff)


def landed(names: Sequence[str], rows: Sequence[Sequence[str | None]], day: date = DAY) -> pa.Table:
    return pa.table(
        {
            **{name: pa.array([row[i] for row in rows], pa.string()) for i, name in enumerate(names)},
            "partition_date": pa.array([day] * len(rows), pa.date32()),
            "_file": ["f"] * len(rows),
            "_line": pa.array(range(2, len(rows) + 2), pa.int64()),
            "_row": pa.array(range(len(rows)), pa.int64()),
        }
    )


def opened(table: TableSpec, rows: pa.Table, zone: str = "America/New_York", cutoff: time = time(0)) -> TableCheck:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("landed", rows)
    made = TableCheck(table, connection, zone, cutoff)
    made.check_rows()
    return made


def good(checked: TableCheck) -> pa.Table:
    count, rows = checked.good_rows([])
    found = rows.read_all()
    assert len(found) == count
    return found


def remember(checked: TableCheck, before: pa.Table, days: int, may_change: Sequence[str] = ()) -> None:
    checked.connection.register("before", before)
    checked.check_earlier("before", days, may_change)


def rows_of(checked: TableCheck, relation: str) -> list[dict[str, Any]]:
    return checked.connection.sql(f"FROM {relation}").to_arrow_table().to_pylist()


def bad(checked: TableCheck) -> dict[int, tuple[str, str]]:
    return {row["line"]: (row["rule"], row["detail"]) for row in checked.bad_rows().read_all().to_pylist()}


def test_good_rows_are_typed() -> None:
    rows = good(check(("1", None, NOON), ("2", "4.5", NOON))).sort_by("id").to_pylist()
    assert [(row["id"], row["value"]) for row in rows] == [(1, None), (2, 4.5)]


def test_a_wrong_type_names_column_and_text() -> None:
    assert bad(check(("1", "heavy", NOON), ("2", "1", NOON))) == {
        2: ("type:value", 'column value: "heavy" is not a number such as 4.2')
    }


def test_a_required_value_is_missing() -> None:
    rule, detail = bad(check((None, "1", NOON)))[2]
    assert rule == "not_null:id" and "column id" in detail


def test_a_bad_row_is_named_by_its_first_rule_and_the_others_are_told() -> None:
    rule, detail = bad(check((None, "heavy", "2024-01-09T17:00:00Z")))[2]
    assert rule == "not_null:id" or rule == "type:value"
    assert "also broke known_at_in_partition" in detail


@pytest.mark.parametrize(
    ("at", "is_bad"),
    [
        ("2024-01-05T04:59:59Z", True),  # still the 4th in New York
        ("2024-01-05T05:00:00Z", False),
        ("2024-01-06T04:59:59Z", False),
        ("2024-01-06T05:00:00Z", True),
    ],
)
def test_a_row_belongs_to_the_local_day_on_which_it_was_known(at: str, is_bad: bool) -> None:
    assert ("known_at_in_partition" in str(bad(check(("1", "1", at))))) == is_bad


@pytest.mark.parametrize(("at", "is_bad"), [("2024-01-05T04:59:59Z", False), ("2024-01-05T05:00:00Z", True)])
def test_what_is_known_ahead_is_known_before_the_cutoff(at: str, is_bad: bool) -> None:
    assert ("known_at_in_partition" in str(bad(check(("1", "1", at), table=AHEAD)))) == is_bad


@pytest.mark.parametrize(
    ("at", "cutoff", "visible"),
    [
        ("2024-01-05T05:00:00Z", time(0), date(2024, 1, 6)),  # midnight itself is not before the cut-off
        ("2024-01-06T04:59:00Z", time(0), date(2024, 1, 6)),
        ("2024-01-05T10:59:00Z", time(6), date(2024, 1, 5)),
        ("2024-01-05T11:00:00Z", time(6), date(2024, 1, 6)),
    ],
)
def test_visible_from_the_first_cutoff_after_it_was_known(at: str, cutoff: time, visible: date) -> None:
    (row,) = good(check(("1", "1", at), cutoff=cutoff)).to_pylist()
    assert row["visible_from"] == visible


def test_equal_rows_of_a_key_leave_the_first() -> None:
    checked = check(("1", "1", NOON), ("2", None, NOON), ("1", "1.0", NOON), ("2", None, NOON))
    assert bad(checked) == {
        4: ("unique_key", "the same row as line 2"),
        5: ("unique_key", "the same row as line 3"),
    }


def test_different_rows_of_a_key_are_all_bad() -> None:
    found = bad(check(("1", "1", NOON), ("2", "1", NOON), ("1", "7", NOON)))
    assert set(found) == {2, 4}
    assert found[4] == ("unique_key", "key id=1 occurs more than once with different values, first on line 2")


def earlier(*days: date) -> pa.Table:
    return pa.table({"partition_date": pa.array(days, pa.date32()), "id": pa.array([1] * len(days), pa.int64())})


def test_a_key_of_a_partition_before_is_bad() -> None:
    checked = check(("1", "1", NOON), ("2", "1", NOON))
    remember(checked, earlier(date(2024, 1, 3)), 3)
    assert bad(checked) == {2: ("unique_key", "the key is in partition 2024-01-03 already")}


@pytest.mark.parametrize("day", [date(2024, 1, 1), date(2024, 1, 5), date(2024, 1, 6)])
def test_a_key_of_another_partition_is_not(day: date) -> None:
    checked = check(("1", "1", NOON))
    remember(checked, earlier(day), 3)
    assert bad(checked) == {}


@pytest.mark.parametrize(("days", "is_bad"), [(3, False), (7, True)])
def test_a_key_is_remembered_for_as_many_days_as_asked(days: int, is_bad: bool) -> None:
    checked = check(("1", "1", NOON))
    remember(checked, earlier(date(2023, 12, 30)), days)
    assert bool(bad(checked)) == is_bad


def test_a_row_that_differs_from_the_newest_of_its_key_corrects_it() -> None:
    checked = check(("1", "2.5", NOON), ("2", None, NOON), ("3", "1", NOON))
    days = [date(2024, 1, 2), date(2024, 1, 4), date(2024, 1, 4)]
    before = {"partition_date": pa.array(days, pa.date32()), "id": [1, 1, 2], "value": [2.5, 9.0, None]}
    remember(checked, pa.table(before), 7, ["value"])
    assert bad(checked) == {3: ("unique_key", "the key is in partition 2024-01-04 already")}


def test_rows_from_which_no_label_can_be_made_are_set_aside() -> None:
    checked = check(("1", "2", NOON), ("2", "0", NOON), ("3", None, NOON), ("4", "x", NOON))
    checked.check_label("1 / value", binary=False)
    assert bad(checked)[3] == ("label", "label.expression gives inf, and a label is a finite number")
    assert set(bad(checked)) == {3, 5}
    checked = check(("1", "1", NOON), ("2", "0.5", NOON))
    checked.check_label("value", binary=True)
    assert bad(checked) == {3: ("label", "label.expression gives 0.5, and a label is 0 or 1")}


def test_a_row_at_which_the_labels_query_stops_is_found_alone() -> None:
    checked = check(*((str(n), "-1" if n in (3, 17) else "4", NOON) for n in range(20)))
    checked.check_label("CAST(value AS UTINYINT)", binary=False)
    found = bad(checked)
    assert set(found) == {5, 19} and "label.expression has no value: " in found[5][1]
    checked = check(*((str(n), "-1", NOON) for n in range(21)))
    with pytest.raises(SpecError, match="has no value for more than 20 rows"):
        checked.check_label("CAST(value AS UTINYINT)", binary=False)
    with pytest.raises(SpecError, match=r"label.expression \(valeu\) does not fit its table"):
        checked.check_label("valeu", binary=False)


def test_the_rows_of_a_refused_partition_are_not_good() -> None:
    count, rows = check(("1", "1", NOON)).good_rows([DAY])
    assert (count, len(rows.read_all())) == (0, 0)


def test_a_bad_row_is_kept_as_it_was_landed() -> None:
    (row,) = check(("1", ' heavy, "very"', None)).bad_rows().read_all().to_pylist()
    assert row["row"] == '{"id":"1","value":" heavy, \\"very\\"","at":null}'
    assert (row["file"], row["line"], row["partition_date"]) == ("f", 2, DAY)


def test_the_profile_of_a_partition() -> None:
    checked = check(("1", "2", NOON), ("2", None, "2024-01-05T23:30:00Z"), ("3", "x", NOON), ("4", "4", NOON))
    wanted = ["rows", "bad_share", "known_from_hour", "known_to_hour", "null_share_value", "distinct_id", "mean_value"]
    (row,) = rows_of(checked, checked.profile(wanted))
    assert row == {
        "day": str(DAY),
        "rows": 4,
        "bad_share": 0.25,
        "known_from_hour": 12.0,
        "known_to_hour": 18.5,
        "null_share_value": 0.5,
        "distinct_id": 4,
        "mean_value": 3.0,
    }


ZONES = ["America/New_York", "Europe/London", "Australia/Lord_Howe", "America/Santiago", "Africa/Cairo", "Asia/Kolkata"]
CHANGES = st.sampled_from(
    [date(2024, 3, 10), date(2024, 11, 3), date(2024, 10, 6), date(2024, 4, 7), date(2024, 10, 27)]
)


@settings(max_examples=40, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    day=CHANGES | st.dates(date(2000, 1, 1), date(2035, 12, 31)),
    minutes=st.lists(st.integers(0, 24 * 60 - 1), min_size=1, max_size=5),
)
@example(zone="America/New_York", day=date(2024, 3, 10), minutes=[20 * 60])
@example(zone="America/New_York", day=date(2024, 11, 3), minutes=[20 * 60])
def test_the_hours_of_knowledge_are_those_of_the_local_clock(zone: str, day: date, minutes: list[int]) -> None:
    """A day on which the clock changes has 23 or 25 hours, and 20:00 is 20 on it all the same."""
    midnight, local = datetime.combine(day, time(0)), ZoneInfo(zone)
    instants = [(midnight + timedelta(minutes=each)).replace(tzinfo=local).astimezone(UTC) for each in minutes]
    # A time that the clock skips is read as the hour after it.
    clocks = [(at.astimezone(local).replace(tzinfo=None) - midnight) / timedelta(hours=1) for at in instants]
    checked = check(*((str(i), None, at.isoformat()) for i, at in enumerate(instants)), day=day, zone=zone)
    (row,) = rows_of(checked, checked.profile(["known_from_hour", "known_to_hour"]))
    assert (row["known_from_hour"], row["known_to_hour"]) == pytest.approx((min(clocks), max(clocks)))


def test_contract_verdicts_come_after_the_rules_of_every_table() -> None:
    checked = check(("1", "heavy", NOON), ("2", "1", NOON))
    checked.mark(0, "mine", {0: "bad for me", 1: "bad for me"})
    assert [rule for rule, _ in bad(checked).values()] == ["type:value", "mine"]
    assert checked.bad_by_rule() == {"mine": 1, "type:value": 1}
    assert checked.first_bad(DAY) == 'f, line 2: type:value: column value: "heavy" is not a number such as 4.2'


# ---- one bad value never stops the others ----

EVERY_TYPE = TableSpec(
    key=("id",),
    known_at="at",
    columns={
        **COLUMNS,
        "name": ColumnSpec(type="string", required=False),
        "flag": ColumnSpec(type="bool", required=False),
        "born": ColumnSpec(type="date", required=False),
        "count": ColumnSpec(type="int", required=False),
    },
)
GOOD = ("-7", "1", NOON, "a", "true", "2024-01-05", "1")
INSTANTS = st.datetimes().map(lambda at: f"{at.isoformat()}Z") | st.sampled_from([NOON, "9999-12-31T23:59:59-05:00"])
VALUES = (
    st.none() | st.text(max_size=8) | st.floats().map(repr) | st.integers().map(str) | st.dates().map(str) | INSTANTS
)
ROWS = st.lists(st.tuples(*[VALUES] * len(GOOD)), max_size=20, unique_by=lambda row: row[0])


@given(ROWS, st.booleans())
@example([("2", "9" * 400, NOON, "\0%s'\"\u202e", "t", "9999-12-31", "9223372036854775808")], False)
@example([("2", "1", "0001-01-01T00:00:00Z", "a", "1", "0001-01-01", "1")], False)
@example([("2", "1", "9999-12-31T23:59:59Z", "a", "1", None, "1")], True)
@settings(max_examples=8, deadline=None)
def test_no_value_of_one_row_stops_the_others(rows: list[tuple[str | None, ...]], ahead: bool) -> None:
    table = EVERY_TYPE.model_copy(update={"known_ahead": ahead})
    every = [row for row in rows if row[0] != GOOD[0]] + [GOOD]
    checked = opened(table, landed(list(table.columns), every), cutoff=time(23, 59))
    remember(checked, earlier(DAY), 3)
    kept, aside = good(checked), checked.bad_rows().read_all()
    assert -7 in kept["id"].to_pylist()
    assert len(kept) + len(aside) == len(every)
    assert len(rows_of(checked, checked.profile(profile_columns(table)))) == 1


def test_a_number_too_large_is_set_aside_with_its_reason() -> None:
    found = bad(check(("1", "9" * 400, NOON), ("9223372036854775808", "1", NOON), ("3", "1e-100", NOON)))
    assert found[2] == ("type:value", f'column value: "{"9" * 80}" cannot be kept: it is outside -1.8e308 to 1.8e308')
    assert found[3][1].endswith("it is outside -9223372036854775808 to 9223372036854775807")
    assert set(found) == {2, 3}


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-05:00"])
def test_a_year_beyond_any_calendar_is_set_aside(at: str) -> None:
    checked = check(("1", "1", NOON), ("2", "1", at))
    assert bad(checked) == {3: ("type:at", f'column at: "{at}" cannot be kept: it is outside the years 1678 to 2261')}
    assert good(checked)["id"].to_pylist() == [1]


OURS = "order select day rule rank bad row midnight cutoff first_line least most detail rules first_detail rows k t l d b c"
NAMES = (
    st.sampled_from(
        [*OURS.split(), "a b", "ä", 'a"b', "a'b", "a;b", "a.b", "%s", "%", "{}", "--", "/*", "日付", "x" * 128]
    )
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
).filter(lambda name: folded(name) not in OF_LANDED)


@settings(deadline=None, max_examples=30)
@given(st.lists(NAMES, min_size=3, max_size=3, unique_by=folded))
def test_columns_of_any_name_are_checked_alike(names: list[str]) -> None:
    """The table of the other tests, with other names: every rule finds the same rows."""
    key, value, at = names
    columns = dict(zip(names, COLUMNS.values(), strict=True))
    table = TableSpec(key=(key,), known_at=at, columns=columns)
    rows = [
        ("1", "1", NOON),
        ("2", "heavy", NOON),
        (None, "1", NOON),
        ("4", "1", "2024-01-09T17:00:00Z"),
        ("1", "2", NOON),
    ]
    made = opened(table, landed(names, rows))
    remember(made, pa.table({"partition_date": [DAY - timedelta(days=1)], key: [2]}), 3)
    with closing(made.connection):
        found = bad(made)
        assert {line: rule for line, (rule, _) in found.items()} == {
            2: "unique_key", 3: f"type:{value}", 4: f"not_null:{key}", 5: "known_at_in_partition", 6: "unique_key",
        }  # fmt: skip
        assert found[2][1] == f"key {key}=1 occurs more than once with different values, first on line 2"
        assert found[3][1].startswith(f'column {value}: "heavy" is not a number')
        assert good(made).column_names == ["partition_date", key, value, at, "visible_from"]
        columns_asked = {name: f"t.{quoted(name)}" for name in (key, value)}
        assert made.judge(columns_asked, {}) == "judged"
        assert made.connection.table("judged").columns == ["_row", key, value]
        assert made.by_day(aggregates(table)).num_rows == 0  # no row is good
        asked = [f"null_share_{value}", f"distinct_{key}", "known_from_hour", "bad_share"]
        (profile,) = rows_of(made, made.profile(asked))
        assert (profile[f"null_share_{value}"], profile[f"distinct_{key}"], profile["bad_share"]) == (0.2, 3, 1.0)
        assert sum(made.bad_by_rule(DAY).values()) == 5
        assert made.first_bad(DAY).startswith("f, line 2: unique_key") and len(made.examples()) == 4


@pytest.mark.parametrize(("few", "queries"), [(1_000_000, 1), (4, 3), (1, 5)])
def test_the_figures_of_days_are_found_a_few_days_at_a_time(
    monkeypatch: pytest.MonkeyPatch, few: int, queries: int
) -> None:
    days = [DAY + timedelta(days=n) for n in range(5)]
    parts = [
        landed(list(COLUMNS), [(str(10 * n + i), str(i), f"{day}T17:00:00Z") for i in range(2)], day)
        for n, day in enumerate(days)
    ]
    rows = pa.concat_tables(parts)
    rows = rows.set_column(rows.column_names.index("_row"), "_row", pa.array(range(len(rows)), pa.int64()))
    made = opened(TABLE, rows)
    together = made.by_day(aggregates(TABLE))
    asked: list[str] = []
    arrow = made._arrow
    monkeypatch.setattr(made, "_arrow", lambda query: asked.append(query) or arrow(query))
    monkeypatch.setattr(table_check, "_FEW_ROWS", few)
    assert made.by_day(aggregates(TABLE)).to_pylist() == together.to_pylist()
    assert len(asked) == queries and together.num_rows == 5
