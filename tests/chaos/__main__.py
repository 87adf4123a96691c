"""What ``make chaos`` runs: trials of killed commands, and of commands on a machine that fails.

It kills commands at their steps, makes the machine fail under them, and says what was lost, doubled or half seen.
Each scenario runs in processes of its own, two scenarios at a time. A trial that did not survive makes the exit code 1.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.chaos.machine.kinds import KINDS
from tests.chaos.preload import environment
from tests.chaos.scenarios import SCENARIOS
from tests.conftest import PROJECT

_USAGE = """make chaos ARGS="[OPTION ...] [SCENARIO ...]"
       make chaos ARGS="ingest 'first train' --kills 10 --seed 1"
       make chaos ARGS="--machine"
       make chaos ARGS="clock 'object store' --tries 5\""""
WRONGS = ("lost", "doubled", "half_seen", "blocked", "other")
Trials = list[dict[str, Any]]


def main() -> None:
    """Run the scenarios that are asked for, and print what became of each."""
    parser = argparse.ArgumentParser(prog="make chaos", usage=_USAGE, description=(__doc__ or "").split("\n\n")[-1])
    parser.add_argument(
        "names",
        nargs="*",
        metavar="scenario",
        help=f"default: all of {', '.join(SCENARIOS)}. Kinds of faults of the machine: {', '.join(KINDS)}",
    )
    parser.add_argument("--machine", action="store_true", help="all kinds of faults of the machine")
    parser.add_argument("--tries", type=int, default=0, help="of each command of a kind (default: each case once)")
    parser.add_argument("--kills", type=int, default=30, help="kills of a scenario (default: %(default)s)")
    parser.add_argument("--faults", type=int, default=6, help="faults of the machine (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of steps (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="scenarios at a time (default: %(default)s)")
    parser.add_argument("--results", type=Path, help="appends each trial as a line of JSON")
    asked = parser.parse_args()
    if min(asked.kills, asked.faults, asked.tries, asked.jobs - 1) < 0:
        parser.error("--kills, --faults and --tries need 0 or more, --jobs 1 or more")
    if unknown := set(asked.names) - {*SCENARIOS, *KINDS}:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join([*SCENARIOS, *KINDS])}")
    console = Console()

    def one(name: str) -> tuple[int, Trials]:
        if name in KINDS:
            steps, trials = run_machine(name, asked.tries, asked.seed)
        else:
            steps, trials = run(name, asked.kills, asked.faults, asked.seed)
        if asked.results:
            with asked.results.open("a") as lines:  # one write, as others end meanwhile
                lines.write("".join(f"{json.dumps(trial)}\n" for trial in trials))
        bad = [trial for trial in trials if any(trial[wrong] for wrong in WRONGS)]
        console.print(f"{name}: {len(trials)} trials at {steps} steps, {len(trials) - len(bad)} survived")
        for trial in bad:
            console.print(f"  [red]✗[/] {trial['scenario']}: {trial['how']}, step {trial['step']}", highlight=False)
            console.print(f"    {trial['at']}", markup=False, highlight=False)
            for wrong in WRONGS:
                for told in trial[wrong][:3]:
                    console.print(f"    {wrong}: {told}", markup=False, highlight=False)
        return steps, trials

    names = list(dict.fromkeys(asked.names + list(KINDS) * asked.machine)) or list(SCENARIOS)
    with ThreadPoolExecutor(asked.jobs) as pool:
        found = dict(zip(names, pool.map(one, names), strict=True))
    console.print(table(found))
    sys.exit(any(trial[wrong] for _, trials in found.values() for trial in trials for wrong in WRONGS))


Started = Callable[..., "subprocess.CompletedProcess[str]"]


def apart(module: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run a module with options, in a process of its own, to its end."""
    command = [sys.executable, "-m", module, *options]
    return subprocess.run(command, env=environment(), cwd=PROJECT, capture_output=True, text=True, check=False)


def run(
    name: str, kills: int, faults: int, seed: int, plants: Iterable[str] = (), start: Started = apart
) -> tuple[int, Trials]:
    """Run the trials of a scenario. Return the number of its steps, and the trials. ``start`` says in which process."""
    planted = [part for plant in plants for part in ("--plant", plant)]
    return _run(start, "tests.chaos.one", name, "--kills", kills, "--faults", faults, "--seed", seed, *planted)


def run_machine(
    name: str, tries: int, seed: int, how: str = "", only: str = "", start: Started = apart
) -> tuple[int, Trials]:
    """Run the trials of a kind of fault. Return the number of steps of its commands, and the trials.

    Args:
        name: One of ``KINDS``.
        tries: Of each command; 0: each case once.
        seed: Of the choice of steps.
        how: Only these cases, as a pattern.
        only: Only these commands, as a pattern.
        start: Runs a module, in a process of its own or in one of a ``Server``.
    """
    chosen = (*_given("--how", how), *_given("--only", only))
    return _run(start, "tests.chaos.machine.one", name, "--tries", tries, "--seed", seed, *chosen)


def _given(option: str, value: str) -> list[str]:
    return [option, value] if value else []


def _run(start: Started, module: str, name: str, *options: object) -> tuple[int, Trials]:
    done = start(module, name, *map(str, options))
    if done.returncode:
        raise RuntimeError(f"scenario {name} could not be tried:\n{done.stderr[-3000:]}")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]  # servers print more
    return sum(line["steps"] for line in lines if "steps" in line), [line for line in lines if "how" in line]


def table(found: dict[str, tuple[int, Trials]]) -> Table:
    """What became of all trials, a row for each scenario."""
    shown = Table("scenario", "steps", "trials", "survived", "told", *(wrong.replace("_", " ") for wrong in WRONGS))
    for name, (steps, trials) in found.items():
        shown.add_row(name, f"{steps:,}", *map(str, counts(trials)))
    shown.add_section()
    shown.add_row("all", "", *map(str, counts(trial for _, trials in found.values() for trial in trials)))
    return shown


def counts(trials: Iterable[dict[str, Any]]) -> list[int]:
    """Count trials, those that survived, those that ended in a clear message, and those with each wrong."""
    kept = list(trials)
    survived = sum(not any(trial[wrong] for wrong in WRONGS) for trial in kept)
    told = sum(bool(trial["told"]) for trial in kept)
    return [len(kept), survived, told, *(sum(bool(trial[wrong]) for trial in kept) for wrong in WRONGS)]


if __name__ == "__main__":
    main()
