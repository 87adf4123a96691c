"""What ``make chaos`` runs: trials of killed commands.

It kills commands at their steps, makes the machine fail under them, and says what was lost, doubled or half seen.
Each scenario runs in processes of its own, two scenarios at a time. A trial that did not survive makes the exit code 1.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.chaos.preload import library
from tests.chaos.scenarios import SCENARIOS
from tests.conftest import PROJECT

_USAGE = """make chaos ARGS="[OPTION ...] [SCENARIO ...]"
       make chaos ARGS="ingest 'first train' --kills 10 --seed 1\""""
WRONGS = ("lost", "doubled", "half_seen", "blocked", "other")
Trials = list[dict[str, Any]]


def main() -> None:
    """Run the scenarios that are asked for, and print what became of each."""
    parser = argparse.ArgumentParser(prog="make chaos", usage=_USAGE, description=(__doc__ or "").split("\n\n")[-1])
    parser.add_argument("names", nargs="*", metavar="scenario", help=f"default: all of {', '.join(SCENARIOS)}")
    parser.add_argument("--kills", type=int, default=30, help="kills of a scenario (default: %(default)s)")
    parser.add_argument("--faults", type=int, default=6, help="faults of the machine (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of steps (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="scenarios at a time (default: %(default)s)")
    parser.add_argument("--results", type=Path, help="gets every trial as a line of JSON")
    asked = parser.parse_args()
    if min(asked.kills, asked.faults, asked.jobs - 1) < 0:
        parser.error("--kills and --faults need 0 or more, --jobs 1 or more")
    if unknown := set(asked.names) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    console = Console()

    def one(name: str) -> tuple[int, Trials]:
        steps, trials = run(name, asked.kills, asked.faults, asked.seed)
        bad = [trial for trial in trials if any(trial[wrong] for wrong in WRONGS)]
        console.print(f"{name}: {len(trials)} trials at {steps} steps, {len(trials) - len(bad)} survived")
        for trial in bad:
            console.print(f"  [red]✗[/] {trial['how']} at step {trial['step']}", highlight=False)
            console.print(f"    {trial['at']}", markup=False, highlight=False)
            for wrong in WRONGS:
                for told in trial[wrong][:3]:
                    console.print(f"    {wrong}: {told}", markup=False, highlight=False)
        return steps, trials

    names = asked.names or list(SCENARIOS)
    with ThreadPoolExecutor(asked.jobs) as pool:
        found = dict(zip(names, pool.map(one, names), strict=True))
    console.print(table(found))
    if asked.results:
        asked.results.write_text("".join(f"{json.dumps(t)}\n" for _, trials in found.values() for t in trials))
    sys.exit(any(trial[wrong] for _, trials in found.values() for trial in trials for wrong in WRONGS))


def run(name: str, kills: int, faults: int, seed: int, plants: Iterable[str] = ()) -> tuple[int, Trials]:
    """Run the trials of a scenario. Return the number of its steps, and the trials."""
    command = [sys.executable, "-m", "tests.chaos.one", name, "--kills", str(kills), "--faults", str(faults)]
    environment = os.environ | {
        "LD_PRELOAD": str(library()),
        "PYTHONPATH": os.pathsep.join(str(PROJECT / folder) for folder in ("include", "plugins", "")),
    }
    command += [part for plant in plants for part in ("--plant", plant)]
    done = subprocess.run(
        [*command, "--seed", str(seed)], env=environment, cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"scenario {name} could not be tried:\n{done.stderr[-3000:]}")
    first, *trials = [json.loads(line) for line in done.stdout.splitlines()]
    return int(first["steps"]), trials


def table(found: dict[str, tuple[int, Trials]]) -> Table:
    """What became of all trials, a row for each scenario."""
    shown = Table("scenario", "steps", "trials", "survived", *(wrong.replace("_", " ") for wrong in WRONGS))
    for name, (steps, trials) in found.items():
        shown.add_row(name, f"{steps:,}", *map(str, counts(trials)))
    shown.add_section()
    shown.add_row("all", "", *map(str, counts(trial for _, trials in found.values() for trial in trials)))
    return shown


def counts(trials: Iterable[dict[str, Any]]) -> list[int]:
    """Count trials, those that survived, and those with each wrong."""
    kept = list(trials)
    survived = sum(not any(trial[wrong] for wrong in WRONGS) for trial in kept)
    return [len(kept), survived, *(sum(bool(trial[wrong]) for trial in kept) for wrong in WRONGS)]


if __name__ == "__main__":
    main()
