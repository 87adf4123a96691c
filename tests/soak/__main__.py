"""What ``make soak`` runs: both shipped pipelines through a running Airflow, day by day, with planted incidents.

Their first champions are judged on days of March, and 293 days follow. It goes on where it was stopped. It prints the story, and
its exit code is 1 when an incident met nothing or was not told once, when a run stays failed, or when a table is not that of
a calm year.
"""

import argparse
import sys
from itertools import zip_longest
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table

from contrail.config.settings import settings
from contrail.lake.lake import Lake
from contrail_airflow.local.processes import interruptible
from tests.soak.calm import compare
from tests.soak.ground import Ground
from tests.soak.judged import Record, growth, unexpected, unexplained, verdicts
from tests.soak.of_feeds import FEEDS
from tests.soak.of_machines import MACHINES
from tests.soak.of_people import PEOPLE
from tests.soak.year import Planted, live, plant, prepare

_FIGURES = ("seconds", "memory", "files", "lake_files", "megabytes", "dag_run_rows", "task_instance_rows", "log_rows")


def main() -> None:
    """Live the days, and judge them."""
    with interruptible():
        _main()


def _main() -> None:
    parser = argparse.ArgumentParser(prog="make soak", description=(__doc__ or "").split("\n\n")[-1])
    parser.add_argument("--folder", type=Path, default=Path("/tmp/contrail-soak"), help="where it lives (%(default)s)")
    parser.add_argument("--days", type=int, default=0, help="how many days (default: to the end of the year)")
    parser.add_argument("--stop-after", type=int, default=0, metavar="N", help="stop after N more days, to go on later")
    parser.add_argument(
        "--only", nargs="*", metavar="WORD", help="only the incidents whose names hold one of these words"
    )
    asked = parser.parse_args()
    console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 160)
    ground = Ground(asked.folder.resolve())
    days = asked.days or ground.longest
    kinds = [kind() for some in zip_longest(MACHINES, FEEDS, PEOPLE) for kind in some if kind]
    chosen = [one for one in kinds if not asked.only or any(word in one.name for word in asked.only)]
    try:
        planted = plant(chosen, days)
    except ValueError as error:
        parser.error(str(error))
    plan = {"days": days, "incidents": [one.name for one in chosen]}
    if any({name: line[name] for name in plan} != plan for line in ground.journal("plan")):
        parser.error(
            f"{ground.folder} has a soak of other days or incidents: go on with those, or name another --folder"
        )
    ground.once("plan", lambda: ground.write("plan", **plan))
    try:
        ground.embedded.stop()  # what a soak that was killed has left
        prepare(ground)
        done = max((line["day"] for line in ground.journal("day")), default=0)
        until = min(days, done + asked.stop_after) if asked.stop_after else days
        for day in range(done + 1, until + 1):
            live(ground, planted, day, lambda words, day=day: console.print(f"day {day}: {words}", markup=False))  # type: ignore[misc]
            console.print(f"day {day} of {days} took {ground.journal('day')[-1]['seconds']:.0f} s", style="dim")
    finally:
        ground.embedded.stop()
    if until < days:
        console.print(f"Stopped after day {until}. The same command without --stop-after goes on.")
        return
    sys.exit(judge(ground, planted, days, console))


def judge(ground: Ground, planted: list[Planted], days: int, console: Console) -> bool:
    """Print the story of the year. Return whether something in it is not as it must be."""
    lived, messages = ground.journal("day"), ground.messages()
    landed, struck, monthly = (ground.journal(kind) for kind in ("landed", "struck", "monthly"))
    record = Record(lived, landed, struck, monthly, messages, ground.date_of)
    found = verdicts(planted, record)
    story = Table("day", "what happened", "messages", "mended by", "and then")
    people = {one.incident.name: one.incident.person for one in planted}
    for one in found:
        person = people[one.incident]
        ended = "; ".join(one.wrong) or "as it must be"
        story.add_row(str(one.day), one.incident, str(len(one.told)), person or "itself", ended)
    console.print(story)
    besides = unexpected(planted, record)
    console.print(f"Messages of trouble that belong to no incident: {len(besides)}")
    for words in besides:
        console.print(f"  {words}", markup=False)
    console.print(f"Airflow was started again {len(ground.journal('started'))} times")
    sizes = Table("a day's mean", "first third", "second third", "last third")
    for name, (first, second, third) in growth(lived, _FIGURES).items():
        sizes.add_row(name.replace("_", " "), f"{first:,.0f}", f"{second:,.0f}", f"{third:,.0f}")
    console.print(sizes)
    console.print("Making the calm year …")
    differences = unexplained(compare(ground, days), _explained(ground))
    console.print(f"Tables that differ from the calm year without a reason: {len(differences)}")
    for words in differences:
        console.print(f"  {words}", markup=False)
    stuck = lived[-1]["failed"]
    console.print(f"Runs that stay failed: {', '.join(stuck) or 'none'}")
    return any(one.wrong for one in found) or bool(besides or differences or stuck)


def _explained(ground: Ground) -> dict[tuple[str, str], set[str]]:
    """The days of each table that may differ: those of raw rows that were mended later, and of predictions before late files."""
    days: dict[tuple[str, str], set[str]] = {}
    for line in ground.journal("spoilt"):
        days.setdefault((line["pipeline"], line["table"]), set()).add(line["day"])
    for name in ground.plans:
        lake = Lake(settings(), name)
        if lake.exists("corrections"):
            corrections = lake.scan("corrections")  # noqa: F841 - DuckDB reads it by its name
            found = duckdb.sql("SELECT DISTINCT partition_date::VARCHAR FROM corrections WHERE published = 'features'")
            days[name, "predictions"] = {str(day) for (day,) in found.fetchall()}
    return days


if __name__ == "__main__":
    main()
