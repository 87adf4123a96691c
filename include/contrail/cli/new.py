"""The desk of who begins: ``contrail new`` makes a pipeline of a file. What it takes for what is in ``operations.new``."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from contrail.cli import printing
from contrail.cli.help import HOUSEKEEPING, command
from contrail.cli.options import NAME, SWITCH
from contrail.cli.printing import cell, done, indented, say
from contrail.config.settings import settings

if TYPE_CHECKING:
    from contrail.operations.new import Made

app = typer.Typer()
_COLUMN = "<column>"


@command(app, "new", HOUSEKEEPING)
def new(
    name: Annotated[str, typer.Argument(metavar=NAME, help="Name of the pipeline: of its folder and its DAGs.")],
    sample: Annotated[
        list[str],
        typer.Option(
            metavar="<file>",
            help="CSV or Parquet, or table=file. Repeatable: files of one header are one table.",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    label: Annotated[str | None, typer.Option(metavar=_COLUMN, help="The outcome to predict.")] = None,
    task: Annotated[str | None, typer.Option(metavar="<task>", help="binary or regression.")] = None,
    time: Annotated[str | None, typer.Option(metavar=_COLUMN, help="The date or time of a row.")] = None,
    rows: Annotated[
        str | None,
        typer.Option(
            metavar="<kind>", help="planned: expected before their day begins. events: there once they happen."
        ),
    ] = None,
    known_at: Annotated[
        str | None, typer.Option(metavar=_COLUMN, help="The instant at which the outcome became known.")
    ] = None,
    label_after: Annotated[
        int | None, typer.Option(metavar="<days>", help="Days after a row's time at which its outcome is known.")
    ] = None,
    key: Annotated[list[str], typer.Option(metavar=_COLUMN, help="Tells rows apart. Repeatable.")] = [],  # noqa: B006
    known_ahead: Annotated[
        list[str], typer.Option(metavar=_COLUMN, help="Is known at the prediction. Repeatable.")
    ] = [],  # noqa: B006
    known_later: Annotated[
        list[str], typer.Option(metavar=_COLUMN, help="Is known only with the outcome. Repeatable.")
    ] = [],  # noqa: B006
    timezone: Annotated[
        str | None, typer.Option(metavar="<zone>", help="Where its days begin, as Europe/Berlin.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", metavar=SWITCH, help="Ask nothing; take each guess.")] = False,
) -> None:
    """Make a pipeline of a file: spec, contracts, features, a test, a README and its DAGs.

    It reads the sample, guesses what each column is, and says why. On a terminal it asks what the options leave out. The
    sample is copied into the folder, where git ignores it. It never writes over anything, and writes all of it or nothing.
    """
    from contrail.operations.new import check_name, new_pipeline
    from contrail.operations.scaffold.choices import options_of

    asks = sys.stdin.isatty() and not yes
    check_name(name, settings())
    if not sample and asks:
        sample = [os.path.expanduser(typer.prompt("Which file has the rows, CSV or Parquet?"))]  # noqa: PTH111
    given = {"label": label, "task": task, "time": time, "rows": rows, "known_at": known_at, "label_after": label_after}
    columns = {"key": tuple(key), "known_ahead": tuple(known_ahead), "known_later": tuple(known_later)}
    options = options_of({**given, **columns, "timezone": timezone})
    made = new_pipeline(name, sample, options, settings(), _ask if asks else None)
    _print(made)


def _ask(question: str, guess: str, answers: Sequence[str]) -> str:
    """Ask until the answer is one that there is."""
    if 1 < len(answers) <= 12:
        indented(answers, printing.err)
    while True:
        answer = str(typer.prompt(question, default=guess, err=True)).strip()
        if not answers or answer in answers:
            return answer
        say(f"[red]✗[/] There is no {escape(answer)}. There are: {escape(', '.join(answers))}", printing.err)


def _print(made: "Made") -> None:
    table = Table("what", "taken", "why", "could be", header_style="bold")
    for choice in made.choices:
        others = ", ".join(choice.others[:6])
        table.add_row(cell(choice.what), cell(choice.taken), cell(choice.why), cell(others))
    printing.out.print(table)
    default = "as by default" if made.min_rows == 1000 else "the default of 1,000 would refuse so short a sample"
    say(f"The gate needs {made.min_rows:,} labelled rows (gate.min_rows): {default}.")
    if decide := [choice.decide for choice in made.choices if choice.decide]:
        say("[bold]You decide[/], before you trust a number:")
        indented([f"{number}. {said}" for number, said in enumerate(decide, start=1)])
    done(f"{escape(made.name)}: {made.rows:,} rows read; wrote {escape(str(made.folder))} and {escape(str(made.dags))}")
    say("[bold]Next[/]:")
    indented([f"contrail check    -p {made.name} --thorough", *made.commands])
