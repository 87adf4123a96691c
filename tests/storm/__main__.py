"""What ``make storm`` runs: writers and readers on one home, which choose what they do by chance.

It says what was lost, doubled, torn, or told to a person in another way than "try again". Any of these makes the exit code 1.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from tests.storm.ground import Ground, Size
from tests.storm.judge import WRONGS, Verdict
from tests.storm.planted import PLANTED, no_turns

OUTCOMES = {"done": "done", "again": "try again", "refused": "refused", "wrong": "wrong"}


def main() -> None:
    """Run the storm that is asked for, and print what became of it."""
    parser = argparse.ArgumentParser(prog="make storm", description=(__doc__ or "").split("\n\n")[-1])
    default = "default: %(default)s"
    for name, kind, value, meaning in (
        ("seconds", float, 120, "end after so long"),
        ("operations", int, 10**9, "or after so many operations"),
        ("writers", int, 8, "processes that write"),
        ("readers", int, 8, "processes that read"),
        ("commands", float, 0.02, "share of operations that are commands on a pipeline with models"),
        ("grace", float, 15, "seconds that upkeep leaves alone"),
        ("seed", int, 0, "of what is chosen"),
    ):
        parser.add_argument(
            f"--{name}", type=kind, default=value, metavar=name[0].upper(), help=f"{meaning} ({default})"
        )
    parser.add_argument("--catalog", choices=("sqlite", "postgres"), default="sqlite", help=default)
    parser.add_argument("--apart", action="store_true", help="writers take no turns, as on several machines")
    parser.add_argument("--plant", choices=PLANTED, help="a fault that the storm must find")
    parser.add_argument("--results", type=Path, help="gets the counts and what was wrong, as JSON")
    asked = parser.parse_args()
    if min(asked.writers, asked.readers) < 0 or asked.writers + asked.readers < 1:
        parser.error("--writers and --readers need 0 or more, and one of them 1 or more")
    if not 0 <= asked.commands <= 1 or min(asked.seconds, asked.operations, asked.grace) <= 0:
        parser.error("--commands is from 0 to 1; --seconds, --operations and --grace are more than 0")
    size = Size(asked.writers, asked.readers, asked.seconds, asked.operations, asked.commands, asked.grace, asked.seed)
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="contrail-storm-") as folder:
        if asked.apart:
            no_turns()
        ground = Ground(Path(folder), size, asked.catalog, console.print)
        verdict = ground.storm(PLANTED[asked.plant] if asked.plant else None)
    result = as_dict(verdict, ground.seconds)
    Console().print(table(verdict), summary(result))
    for wrong in WRONGS:
        for told in verdict.wrong[wrong][:5]:
            console.print(f"{wrong}: {told}", markup=False, highlight=False)
    if asked.results:
        asked.results.write_text(json.dumps(result, indent=1))
    sys.exit(any(verdict.wrong.values()))


def table(verdict: Verdict) -> Table:
    """What became of the operations, a row for each kind."""
    shown = Table("operation", *(Column(name, justify="right") for name in OUTCOMES.values()))
    for kind, counts in sorted(verdict.counts.items()):
        shown.add_row(kind.replace("_", " "), *(f"{counts[outcome]:,}" for outcome in OUTCOMES))
    return shown


def as_dict(verdict: Verdict, seconds: float) -> dict[str, Any]:
    """The counts, and all that was wrong."""
    return {
        "operations": verdict.operations,
        "seconds": round(seconds, 1),
        "commits": verdict.commits,
        "reads": verdict.reads,
        "again": sum(counts["again"] for counts in verdict.counts.values()),
        "kinds": {kind: dict(counts) for kind, counts in sorted(verdict.counts.items())},
        "wrong": verdict.wrong,
    }


def summary(result: dict[str, Any]) -> str:
    """The counts in one line."""
    wrongs = ", ".join(f"{len(told):,} {wrong}" for wrong, told in result["wrong"].items())
    return (
        f"{result['operations']:,} operations in {result['seconds']:,} s, {result['commits']:,} commits, {result['reads']:,} "
        f"reads of tagged tables, {result['again']:,} told to try again; {wrongs}"
    )


if __name__ == "__main__":
    main()
