"""What ``make corpus`` runs: every kind of bad file in every format, and what became of each.

Each kind lands beside good days in a home of its own, and goes through every stage to predictions. The command fails for
a kind that ends otherwise than its table says, in a traceback, in rows that no good file has, or beyond its bounds.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.corpus import together
from tests.corpus.alone import Result, run
from tests.corpus.forms import FORMS, Form
from tests.corpus.kind import HARMLESS, QUARANTINED, REFUSED, Kind
from tests.corpus.table import kinds
from tests.corpus.together import Judged, sample

_A_HOME = 100  # kinds, each with a good day after it


def main() -> None:
    """Try the kinds, and print a table of what became of them."""
    parser = argparse.ArgumentParser(prog="make corpus", description=(__doc__ or "").split("\n\n")[-1])
    parser.add_argument("names", nargs="*", metavar="kind", help="kinds whose names hold these words (default: all)")
    parser.add_argument("--forms", nargs="*", choices=[*FORMS], help="formats (default: all)")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many of the kinds")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    parser.add_argument("--dear", action="store_true", help="only bombs, and other kinds that take much")
    parser.add_argument(
        "--together",
        action="store_true",
        help="each on a day of its own in one home, from landing to validation: quick, without the dear kinds",
    )
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
    if asked.together:
        sys.exit(_together(cases, console))
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


def _together(cases: Iterable[tuple[Kind, Form]], console: Console) -> bool:
    """Try kinds many in a home. Print what became of them, by format, and say whether anything was wrong."""
    shown = Table("format", "kinds", REFUSED, QUARANTINED, HARMLESS, "not judged", "wrong")
    failed = False
    for name in FORMS:
        own = [kind for kind, form in cases if str(form) == name and not kind.dear and not kind.alone]
        judged, wrong = list[Judged](), list[str]()
        for part in (own[begin : begin + _A_HOME] for begin in range(0, len(own), _A_HOME)):
            with tempfile.TemporaryDirectory(prefix="contrail-corpus-") as place:
                told = together.run(Path(place), name, part)
            judged += told.judged
            wrong += [*told.wrong, *(f"{one.kind.name}: {each}" for one in told.judged for each in one.wrong)]
        for each in wrong:
            console.print(f"{name}: ✗ {each}", markup=False, highlight=False)
        counts = Counter(one.found.outcome for one in judged)
        outcomes = [counts[outcome] for outcome in (REFUSED, QUARANTINED, HARMLESS)]
        shown.add_row(name, *map(str, (len(own), *outcomes, len(own) - len(judged), len(wrong))))
        failed = failed or bool(wrong)
    console.print(shown)
    return failed


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
