"""Time zones and crons are those that Airflow, DuckDB and Spark understand."""

from datetime import date, time

import duckdb
import pytest
from airflow.sdk import CronTriggerTimetable
from airflow.timetables.trigger import CronPartitionTimetable
from airflow.utils.dates import cron_presets

from contrail.config.schedules import _PRESETS, cron_problem, daily_problem, longest_pause, zone_problem

START = date(2024, 1, 1)


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("America/NewYork", "did you mean 'America/New_York'?"),
        ("america/new_york", "did you mean 'America/New_York'?"),
        ("Berlin", "did you mean 'Europe/Berlin'?"),
        ("", "write it as Europe/Berlin"),
        ("/etc/localtime", "there is no time zone '/etc/localtime'"),
        ("America", "there is no time zone 'America'"),
        ("posix/UTC", "there is no time zone 'posix/UTC'"),
        ("localtime", "there is no time zone 'localtime'"),
        ("a\0b", "there is no time zone"),
        ("é" * 300, "there is no time zone"),
    ],
)
def test_a_wrong_zone_names_the_nearest(zone: str, words: str) -> None:
    assert words in str(zone_problem(zone))


def test_every_zone_that_is_taken_is_one_of_duckdb() -> None:
    import zoneinfo

    with duckdb.connect() as connection:
        known = {name for (name,) in connection.sql("SELECT name FROM pg_timezone_names()").fetchall()}
    assert {zone for zone in zoneinfo.available_timezones() if not zone_problem(zone)} <= known


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("0 25 * * *", "is no cron expression: [0 25 * * *] is not acceptable, out of range"),
        ("0 0 * *", "Exactly 5, 6 or 7 columns"),
        ("0 0 31 2 *", "failed to find next date"),
        ("@reboot", "is no cron expression"),
        ("R 0 * * *", "R and H choose a time by chance"),
        ("", "Write minute, hour, day, month and weekday, for example '0 6 1 * *'"),
    ],
)
def test_a_wrong_cron_says_why(cron: str, words: str) -> None:
    assert words in str(cron_problem(cron))
    assert words in str(daily_problem(cron, time(0), START))


@pytest.mark.parametrize(
    "cron", ["0 0 * * *", "@daily", "0 6 1 * *", "@monthly", "*/5 * * * *", "0 0 * * mon", "0 0 L * *"]
)
def test_a_cron_that_is_taken_is_one_of_airflow(cron: str) -> None:
    assert cron_problem(cron) is None
    CronTriggerTimetable(cron, timezone="UTC").validate()  # type: ignore[no-untyped-call]
    CronPartitionTimetable(cron, timezone="UTC").validate()


def test_the_presets_are_those_of_airflow() -> None:
    assert cron_presets == _PRESETS


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        (
            "0 */6 * * *",
            "runs 4 times on 2024-01-01; it must run once each day, at the cut-off or later, as '0 6 * * *' does",
        ),
        ("0 7 * * 1-5", "runs not on 2024-01-06"),
        ("* * * * *", "runs many times on 2024-01-01"),
        ("0 0 * * *", "runs at 00:00, before the cut-off at 06:00"),
        ("0 6 * * *", None),
        ("30 23 * * *", None),
    ],
)
def test_the_daily_dag_runs_once_a_day_after_the_cutoff(cron: str, words: str | None) -> None:
    said = daily_problem(cron, time(6), START)
    assert said is None if words is None else words in str(said)


@pytest.mark.parametrize(
    ("cron", "days"), [("0 6 1 * *", 31), ("0 0 * * 1", 7), ("@daily", 1), ("0 0 29 2 *", 366), ("0 0 1,10 * *", 22)]
)
def test_the_longest_pause_between_two_runs(cron: str, days: int) -> None:
    assert longest_pause(cron, START) == days
