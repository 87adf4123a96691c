"""Time zones and crons of a spec: whether Airflow, DuckDB and Spark will understand them.

Airflow reads a cron with the library that is used here. When a DAG runs belongs to its timetable.
"""

import difflib
import re
import zoneinfo
from datetime import date, datetime, time, timedelta
from itertools import pairwise

# Airflow's own; croniter knows others, which Airflow does not.
_PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}
_UNUSABLE = {"localtime", "Factory"}  # they mean something else on each machine
_YEAR = 366
_DAYS_TRIED = 35  # a month and each of its weekdays
_DAILY = "it must run once each day, at the cut-off or later"


def zone_problem(name: str) -> str | None:
    """What is wrong with a time zone; None when nothing is."""
    try:
        zoneinfo.ZoneInfo(name)
        known = name not in _UNUSABLE and not name.startswith(("posix/", "right/"))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = False
    if known:
        return None
    known_zones = sorted(zoneinfo.available_timezones() - _UNUSABLE)
    near = difflib.get_close_matches(name, known_zones, n=1, cutoff=0.4)
    return f"there is no time zone '{name[:60]}'; " + (
        f"did you mean '{near[0]}'?" if near else "write it as Europe/Berlin"
    )


def cron_problem(cron: str) -> str | None:
    """What is wrong with a cron expression; None when nothing is."""
    try:
        _runs(cron, date(2024, 1, 1), 1)
    except ValueError as error:
        return str(error)
    return None


def daily_problem(cron: str, cutoff: time, start: date) -> str | None:
    """What is wrong with the cron of the DAG ``daily``: it runs once a day, when the day's cut-off has come."""
    try:
        runs = _runs(cron, start, _DAYS_TRIED)
    except ValueError as error:
        return str(error)
    right = f"'{cutoff.minute} {cutoff.hour} * * *'"
    by_day = [[run for run in runs if run.date() == start + timedelta(days=n)] for n in range(_DAYS_TRIED)]
    wrong = next(((n, found) for n, found in enumerate(by_day) if len(found) != 1), None)
    if wrong:
        return f"'{cron}' runs {_times(len(wrong[1]))} on {start + timedelta(days=wrong[0])}; {_DAILY}, as {right} does"
    early = next((run for run in runs if run.time() < cutoff.replace(second=0)), None)
    if early:
        return f"'{cron}' runs at {early:%H:%M}, before the cut-off at {cutoff:%H:%M}; {_DAILY}, as {right} does"
    return None


def longest_pause(cron: str, start: date) -> int:
    """The longest time between two runs in the year from ``start``, in whole days; a year when it runs less often.

    Raises:
        ValueError: as ``cron_problem`` says.
    """
    runs = _runs(cron, start, _YEAR)
    pauses = [later - run for run, later in pairwise(runs)]
    return max(pauses).days if pauses else _YEAR


def _times(count: int) -> str:
    return {0: "not", 1: "once"}.get(count, f"{count} times" if count < _MOST_RUNS else "many times")


_MOST_RUNS = 1_000


def _runs(cron: str, start: date, days: int) -> list[datetime]:
    """The first runs in so many days from ``start``, a thousand at most.

    Raises:
        ValueError: for an expression that Airflow would refuse, or that never runs.
    """
    from croniter import croniter

    first = datetime.combine(start, time())
    found: list[datetime] = []
    try:
        if re.search(r"\b[RH]\b", cron.upper()):
            raise ValueError("R and H choose a time by chance")
        # From a second earlier, so that midnight of the first day counts.
        each = croniter(_PRESETS.get(cron, cron), first - timedelta(seconds=1))
        while len(found) < _MOST_RUNS:
            run: datetime = each.get_next(datetime)
            found.append(run)
            if run >= first + timedelta(days=days):
                return found[:-1]
    except (ValueError, KeyError, AttributeError) as error:  # croniter's errors are ValueErrors
        reason = str(error).rstrip(".")
        raise ValueError(
            f"'{cron[:60]}' is no cron expression: {reason}. Write minute, hour, day, month and weekday, for example "
            "'0 6 1 * *': at 6:00 on the first of each month"
        ) from error
    return found
