"""Patterns of names: what they read, what they write, and which are refused."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrail.config.file_names import FileNames, pattern_problem

PATTERNS = [
    "{date}.csv.gz",
    "{date}/part-*.parquet",
    "dt={date}/*.jsonl",
    "orders_{date:%Y%m%d}_*.csv.gz",
    "{date:%d.%m.%Y}.csv.zst",
]


@pytest.mark.parametrize("pattern", PATTERNS)
@given(
    day=st.dates(date(1900, 1, 1), date(2200, 1, 1)),
    number=st.integers(1, 999),
    part=st.from_regex("[a-z0-9]{1,5}", fullmatch=True),
)
def test_what_is_written_is_read_back(pattern: str, day: date, number: int, part: str) -> None:
    layout = FileNames(pattern, daily=True)
    name = layout.written(str(day), number).replace("*", part)
    found = layout.read(name)
    assert found is not None and (found.stem, found.number) == (str(day), number)
    assert pattern_problem(pattern, daily=True) is None


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("{date}/part-*.parquet", "2024-02-20/part-1.csv"),
        ("{date}/part-*.parquet", "2024-02-20/more/part-1.parquet"),
        ("{date}/part-*.parquet", "part-1.parquet"),
        ("{date}.csv.gz", "2024-02-30.csv.gz"),
        ("{date}.csv.gz", "x2024-02-20.csv.gz"),
        ("a.{date}.csv", "ab2024-02-20.csv"),
    ],
)
def test_other_names_are_not_read(pattern: str, name: str) -> None:
    assert FileNames(pattern, daily=True).read(name) is None


def test_a_reference_tables_number_stands_before_the_suffix() -> None:
    layout = FileNames("airports.parquet", daily=False)
    assert layout.written("reference", 3) == "airports.3.parquet"
    found = layout.read("airports.3.parquet")
    assert found is not None and (found.stem, found.number) == ("reference", 3)
    assert layout.read("airports.parquet") and not layout.read("airports.x.parquet")


def test_the_form_of_a_name_is_shown_without_a_day() -> None:
    assert FileNames("o_{date:%Y%m%d}_*.csv", daily=True).written() == "o_<YYYYMMDD>_*.csv"


@pytest.mark.parametrize(
    ("pattern", "daily", "said"),
    [
        ("all.csv", True, "use {date} once"),
        ("{date}/{date}.csv", True, "use {date} once"),
        ("{date}.csv", False, "a reference table has no days"),
        ("{day}.csv", True, "{day} stands for nothing"),
        ("{date:%Y%m}.csv", True, "must have %Y, %m and %d once each"),
        ("{date:%Y%m%d%H}.csv", True, "must have %Y, %m and %d once each"),
        ("{date:%Y/%m/%d}.csv", True, "a day's form has no / in it"),
        ("{date.csv", True, "a brace is not closed"),
        ("a/{date}/b.csv", True, "in one folder below it"),
        ("/{date}.csv", True, "in one folder below it"),
        ("../{date}.csv", True, "never read"),
        ("_{date}.csv", True, "never read"),
        ("{date}/", True, "in one folder below it"),
        ("*/{date}.csv", True, "only in the name of a file"),
        ("{date}*.csv", True, "put something between {date} and *"),
    ],
)
def test_a_pattern_that_cannot_work_is_refused(pattern: str, daily: bool, said: str) -> None:
    assert said in (pattern_problem(pattern, daily=daily) or "")
