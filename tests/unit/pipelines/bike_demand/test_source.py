from pathlib import Path

import pandas as pd
import pytest
from upath import UPath

from contrail.config.pipeline import load_pipeline
from contrail.partitions import Partitions


@pytest.fixture
def land(home: Path):  # type: ignore[no-untyped-def]
    """Land a range; the landing folder."""
    folder = UPath(home / "landing")
    source = load_pipeline("bike_demand").module("source")

    def call(start: str, end: str | None = None) -> tuple[int, UPath]:
        return source.land(folder, Partitions.parse(start, end)), folder

    return call


def rows(folder: UPath, table: str, day: str) -> pd.DataFrame:
    return pd.read_csv(folder / table / f"{day}.csv.gz")


def test_an_ordinary_day(land) -> None:  # type: ignore[no-untyped-def]
    written, folder = land("2018-06-12")
    assert written == 3
    hours = rows(folder, "hours", "2018-06-12")
    assert hours["hour"].tolist() == list(range(24))
    assert hours["starts_at"].tolist()[:2] == ["2018-06-12T04:00:00Z", "2018-06-12T05:00:00Z"]
    assert set(hours["published_at"]) == {"2018-06-11T22:00:00Z"}
    assert "rides" not in hours, "the count of a day to come"
    weather = rows(folder, "weather", "2018-06-12")
    assert weather.columns.tolist() == ["weather_date", "temp_min", "temp_max", "precipitation", "observed_at"]
    assert weather["observed_at"].tolist() == ["2018-06-13T03:59:00Z"]


def test_a_count_lands_on_the_day_on_which_its_hour_is_over(land) -> None:  # type: ignore[no-untyped-def]
    _, folder = land("2018-06-12", "2018-06-13")
    counts = rows(folder, "counts", "2018-06-13")
    assert counts.iloc[0].tolist()[:2] == ["2018-06-12", 23]
    assert counts.iloc[0]["counted_at"] == "2018-06-13T04:00:00Z"
    assert counts["hour"].tolist() == [23, *range(23)]


def test_the_hour_that_spring_skips_is_left_out(land) -> None:  # type: ignore[no-untyped-def]
    _, folder = land("2019-03-10")
    hours = rows(folder, "hours", "2019-03-10")
    assert hours["hour"].tolist() == [0, 1, *range(3, 24)]
    counts = rows(folder, "counts", "2019-03-10").set_index("hour")
    assert 2 not in counts.index
    assert counts.loc[1, "counted_at"] == "2019-03-10T07:00:00Z" == hours["starts_at"][2]


def test_the_hour_that_autumn_repeats_is_one_row_of_two_hours(land) -> None:  # type: ignore[no-untyped-def]
    _, folder = land("2018-11-04")
    hours = rows(folder, "hours", "2018-11-04")
    assert hours["hour"].tolist() == list(range(24))
    assert hours["starts_at"][1] == "2018-11-04T05:00:00Z"
    counts = rows(folder, "counts", "2018-11-04").set_index("hour")
    assert counts.loc[1, "counted_at"] == "2018-11-04T07:00:00Z"


def test_holidays_are_federal(land) -> None:  # type: ignore[no-untyped-def]
    _, folder = land("2018-07-03", "2018-07-04")
    assert not rows(folder, "hours", "2018-07-03")["is_holiday"].any()
    assert rows(folder, "hours", "2018-07-04")["is_holiday"].all()


def test_landing_again_writes_nothing(land) -> None:  # type: ignore[no-untyped-def]
    assert land("2018-06-12", "2018-06-14")[0] == 9
    assert land("2018-06-12", "2018-06-15")[0] == 3


def test_the_feed_ends_with_august(land) -> None:  # type: ignore[no-untyped-def]
    written, folder = land("2019-08-31", "2019-09-03")
    assert written == 3
    assert {path.name for path in folder.glob("*/*")} == {"2019-08-31.csv.gz"}
    assert land("2019-09-01") == (0, folder)
