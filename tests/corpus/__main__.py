"""What ``make corpus`` runs: every kind of bad file in every format, and what became of each.

Each kind lands beside good days in a home of its own, and goes through every stage to predictions. The command fails for
a kind that ends otherwise than its table says, in a traceback, in rows that no good file has, or beyond its bounds.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.corpus.alone import Result, run
from tests.corpus.forms import FORMS
from tests.corpus.kind import HARMLESS, QUARANTINED, REFUSED
from tests.corpus.table import kinds
from tests.corpus.together import sample


def main() -> None:
    """Try the kinds, and print a table of what became of them."""
    parser = argparse.ArgumentParser(prog="make corpus", description=(__doc__ or "").split("\n\n")[-1])
    parser.add_argument("names", nargs="*", metavar="kind", help="kinds whose names hold these words (default: all)")
    parser.add_argument("--forms", nargs="*", choices=[*FORMS], help="formats (default: all)")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many of the kinds")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    parser.add_argument("--dear", action="store_true", help="only bombs, and other kinds that take much")
    parser.add_argument("--results", type=Path, help="gets every result as a line of JSON")
    asked = parser.parse_args()
    chosen = [
        kind
        for kind in kinds().values()
        if (not asked.names or any(words in kind.name for words in asked.names)) and (kind.dear or not asked.dear)
    ]
    if not chosen:
        parser.error("no kind has such a name")
    chosen = sample(chosen, asked.sample, asked.seed) if asked.sample else chosen
    cases = [(kind, form) for name, form in FORMS.items() for kind in chosen if name in kind.forms]
    cases = [(kind, form) for kind, form in cases if not asked.forms or str(form) in asked.forms]
    console, found = Console(soft_wrap=True), list[Result]()
    with tempfile.TemporaryDirectory(prefix="contrail-corpus-") as place:
        for result in run(Path(place), cases):
            found.append(result)
            console.print(_line(result), markup=False, highlight=False)
            for wrong in result.found.wrong:
                console.print(f"    ✗ {wrong}", markup=False, highlight=False)
            if asked.results:
                with asked.results.open("a") as lines:
                    lines.write(json.dumps(result.as_dict()) + "\n")
    console.print(_table(found))
    sys.exit(any(result.found.wrong for result in found))


def _line(result: Result) -> str:
    rules = " ".join([result.found.outcome, *result.found.rules])
    told = result.found.told.encode("unicode_escape").decode()[:110]
    return f"{result.form:9} {result.kind}: {rules} ({result.seconds:.1f} s, {result.megabytes:,.0f} MB) {told}"


def _table(found: list[Result]) -> Table:
    """How many kinds ended in which way, by format."""
    shown = Table("format", "kinds", REFUSED, QUARANTINED, HARMLESS, "wrong", "longest", "most memory")
    for form in [*dict.fromkeys(result.form for result in found), "all"]:
        own = [result for result in found if form in (result.form, "all")]
        counts = Counter(result.found.outcome for result in own)
        shown.add_row(
            form,
            str(len({result.kind for result in own})),
            *(str(counts[outcome]) for outcome in (REFUSED, QUARANTINED, HARMLESS)),
            str(sum(bool(result.found.wrong) for result in own)),
            f"{max((result.seconds for result in own), default=0):.1f} s",
            f"{max((result.megabytes for result in own), default=0):,.0f} MB",
        )
    return shown


if __name__ == "__main__":
    main()
