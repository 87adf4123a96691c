"""What ``make fuzz`` runs: examples for readers, settings, options, questions and pages, for as long as you say.

Each target runs in rounds of other examples. A round with a fault shows its smallest example, and makes the exit code 1.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.fuzz.rounds import NAMES, Rounds, ground, tried

_ROUND = 200


def main() -> None:
    """Fuzz, and print what was tried and what was wrong."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=(__doc__ or "").split("\n\n")[-1])
    parser.add_argument("names", nargs="*", metavar="target", help=f"default: all of {', '.join(NAMES)}")
    parser.add_argument("--minutes", type=float, default=60, help="for all targets together (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="of the first round (default: by chance)")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(NAMES):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if asked.minutes <= 0:
        parser.error("--minutes needs more than 0")
    number = random.randrange(1 << 32) if asked.seed is None else asked.seed  # noqa: S311 - which examples, no secret
    console = Console(soft_wrap=True)
    console.print(f"seed {number}")
    ends, found = time.monotonic() + 60 * asked.minutes, {name: Rounds(name) for name in asked.names or NAMES}
    with tempfile.TemporaryDirectory(prefix="contrail-fuzz-") as place, ground(Path(place)) as targets:
        while time.monotonic() < ends:
            # The target that had the least time: a question costs a hundred times what a text of YAML does.
            least = min(found.values(), key=lambda one: one.seconds)
            known = set(least.faults)
            tried(targets[least.name], number, _ROUND, least)
            for where in set(least.faults) - known:
                console.print(f"[red]✗[/] {least.name}, seed {number}: ", end="")
                console.print(f"{where}\n{least.faults[where]}", markup=False, highlight=False)
            number += 1
    shown = Table("target", "examples", "seconds", "faults")
    for one in found.values():
        shown.add_row(one.name, f"{one.examples:,}", f"{one.seconds:,.0f}", str(len(one.faults)))
    total = sum(one.examples for one in found.values())
    shown.add_section()
    shown.add_row(
        "all",
        f"{total:,}",
        f"{sum(one.seconds for one in found.values()):,.0f}",
        str(sum(len(one.faults) for one in found.values())),
    )
    console.print(shown)
    sys.exit(any(one.faults for one in found.values()))


if __name__ == "__main__":
    main()
