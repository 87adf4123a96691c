"""What is usual is learned from a table's own days, and said with numbers."""

import math
import statistics
from datetime import date, timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contrail.methods.usual_days import CONTENT, DayFigures, figures_of, judge, seconds_sql

TODAY = date(2024, 3, 1)


def days(values: list[float], name: str = "rows", unusual: tuple[int, ...] = ()) -> list[DayFigures]:
    """One day for each value; the last is yesterday."""
    first = TODAY - timedelta(days=len(values))
    return [
        DayFigures(first + timedelta(days=i), {name: value}, frozenset({name} if i in unusual else ()))
        for i, value in enumerate(values)
    ]


def words(value: float, earlier: list[DayFigures], name: str = "rows") -> str:
    (found,) = judge(DayFigures(TODAY, {name: value}), earlier)
    return found.words


WAVE = [900.0 + 40 * math.sin(i) for i in range(28)]


def test_half_of_the_rows_is_unusual_and_said_with_numbers() -> None:
    assert words(450, days([780.0, *WAVE[:26], 1010.0])) == "rows 450; usually 780 to 1,010 on the last 28 days"
    assert words(930, days(WAVE)) == ""


def test_nothing_is_unusual_until_there_are_enough_days() -> None:
    assert words(1, days(WAVE[:13])) == ""
    assert words(1, days(WAVE[:14])) != ""


def test_only_the_last_days_count() -> None:
    assert words(50, days([50.0] * 30 + WAVE)) != ""


def test_a_weekday_has_a_level_of_its_own() -> None:
    first = TODAY - timedelta(days=28)
    level = [100.0 if (first + timedelta(days=i)).weekday() == TODAY.weekday() else 400.0 + i % 3 for i in range(28)]
    assert words(104, days(level)) == ""
    assert words(40, days(level)) != ""


def test_an_unusual_day_does_not_widen_what_is_usual() -> None:
    assert words(455, days([*WAVE[:27], 450.0], unusual=(27,))) != ""
    assert words(455, days([*WAVE[:27], 450.0])) == ""


def test_a_new_level_is_usual_after_some_weeks() -> None:
    assert words(450, days([*WAVE[:10], *(value / 2 for value in WAVE[:18])], unusual=tuple(range(10, 28)))) == ""


@pytest.mark.parametrize(
    ("name", "usual", "value"),
    [("empty weight", 0.0, 1.0), ("hour p50", 18.0, 19.0), ("quiet hours", 8.0, 0.0), ("before due_at", 0.0, 1.0)],
)
def test_a_constant_figure_that_moves_is_unusual(name: str, usual: float, value: float) -> None:
    assert words(value, days([usual] * 28, name), name)
    assert not words(usual, days([usual] * 28, name), name)


def test_the_rows_of_an_earlier_day_are_known_again() -> None:
    content = days([float(i) for i in range(28)], CONTENT)
    assert words(27.0, content, CONTENT) == "its rows are those of 2024-02-29, with other dates"
    assert words(99.0, content, CONTENT) == ""
    assert words(7.0, days([7.0] * 28, CONTENT), CONTENT) == ""  # such a table has the same rows every day


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(-1e6, 1e6), min_size=14, max_size=28), pick=st.integers(0, 13))
def test_what_was_usual_once_is_usual(values: list[float], pick: int) -> None:
    assert words(values[pick], days(values)) == ""


def test_figures_without_a_value_are_left_out_and_rare_values_too() -> None:
    found = figures_of({"rows": 40, "link a b": math.nan, "mean a": None, "share d": {"A": 3, "B": 1}})
    assert found == {"rows": 40.0, "share d=A": 0.75, "share d=B": 0.25}
    assert figures_of({"rows": 51, "share d": {str(i): 1 for i in range(51)}}) == {"rows": 51.0}
    assert figures_of({"rows": 1, "mean a": 3.0, "p50 a": 3.0}) == {"rows": 1.0}


def test_the_seconds_between_instants_are_those_of_the_calendar_to_the_bit() -> None:
    ours = seconds_sql("a", "b")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SELECT setseed(0.5)")
        connection.execute("""
            CREATE TABLE made AS SELECT make_timestamptz(((random() - 0.5) * 1.6e16)::BIGINT) AS b,
                ((random() - 0.5) * 10 ** (i % 16))::BIGINT AS apart FROM range(20_000) numbers(i)""")
        connection.execute("CREATE TABLE t AS SELECT b, make_timestamptz(epoch_us(b) + apart) AS a FROM made")
        odd = connection.execute(f"SELECT a, b FROM t WHERE epoch(a - b) IS DISTINCT FROM {ours}").fetchall()
        assert odd == []
        # A plain division would round other numbers.
        plain = "(epoch_us(a) - epoch_us(b)) / 1000000"
        assert connection.execute(f"SELECT count(*) FROM t WHERE epoch(a - b) <> {plain}").fetchall() != [(0,)]


@given(
    st.lists(st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6)), min_size=14, max_size=30),
    st.integers(0, 6),
    st.sampled_from([0.0, 50.0, 1e4]),
)
@settings(max_examples=200, deadline=None)
def test_the_usual_range_is_as_defined(values: list[float], shift: int, weekly: float) -> None:
    """Of the day's weekday, where weekdays explain most of it; else of all days."""
    earlier = [
        DayFigures(day.day - timedelta(days=shift), {"mean x": day.values["mean x"] + weekly * day.day.weekday()})
        for day in days(values, "mean x")
    ]
    last = earlier[-28:]
    known = [day.values["mean x"] for day in last]
    groups = [[day.values["mean x"] for day in last if day.day.weekday() == n] for n in range(7)]
    least, most = min(known), max(known)
    if len(own := groups[TODAY.weekday()]) >= 3:
        around = [value - statistics.median(group) for group in groups for value in group]
        if max(around) - min(around) < 0.6 * (most - least):
            least, most = statistics.median(own) + min(around), statistics.median(own) + max(around)
    (found,) = judge(DayFigures(TODAY, {"mean x": known[-1]}), earlier)
    assert (found.least, found.most) == (least, most)
