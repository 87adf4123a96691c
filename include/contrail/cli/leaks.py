"""The desk of proofs: does anything that was not known at the cut-off reach a pipeline's features or its models?"""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from contrail.cli import printing
from contrail.cli.help import MODELS, command
from contrail.cli.options import DATE, JsonOption, PipelineOption, lake_of
from contrail.cli.printing import cell, done, indented, print_json, progress, say
from contrail.config.pipeline import load_pipeline
from contrail.errors import DataError, SpecError
from contrail.imports import quick_imports
from contrail.partitions import Partitions

if TYPE_CHECKING:
    from contrail.operations.leaks.findings import Finding, Leaks

app = typer.Typer()
_STATES = {"clean": "[green]clean[/]", "found": "[red]found[/]", "not checked": "[yellow]not checked[/]"}


@command(app, "check-leaks", MODELS)
def check_leaks(
    pipeline: PipelineOption,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar=DATE, help="First partition. Default: the newest 28 days with all outcomes."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar=DATE, help="Last partition, inclusive. Default: the newest day with all outcomes."
        ),
    ] = None,
    cutoffs: Annotated[
        int,
        typer.Option(metavar="<days>", min=1, max=366, help="Days, chosen at random, whose future is taken away."),
    ] = 3,
    seed: Annotated[int, typer.Option(metavar="<number>", min=0, help="Chooses these days, and sampled rows.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Prove that no feature knows the future, and warn of what looks as if it did.

    It builds the features of the range in a scratch folder, by the pipeline's own code. Then it builds days again without
    the rows that were not known at their cut-off, and with absurd values in them. It names each feature that moves, with
    rows. It also looks at what each feature alone tells of the outcome, at the clocks of sources, at corrected values, and
    at the splits and encodings of trainings.

    Nothing is published. The exit code is 3 when a leak is found; warnings do not change it.
    """
    with quick_imports():
        from contrail.operations.leaks.check import check_leaks, days_to_check

    loaded = load_pipeline(pipeline)
    lake = lake_of(loaded)
    first, last = (None if text is None else Partitions.parse(text).start for text in (from_, to))
    if last is not None and first is None:
        raise SpecError("--to needs --from: give both days, or neither")
    days = days_to_check(loaded, lake, first, last)
    with progress(f"check-leaks {pipeline} {days}") as show:
        found = check_leaks(loaded, lake, days, cutoffs=cutoffs, seed=seed, progress=show)
    if as_json:
        print_json(found.as_dict())
    else:
        _print(found)
    if found.of("leak"):
        raise typer.Exit(DataError.exit_code)


def _print(found: "Leaks") -> None:
    from contrail.operations.leaks.findings import CHECKS

    table = Table(
        "check", "question", "state", "what was looked at", header_style="bold", title=f"{found.pipeline}: leaks"
    )
    for one in found.checks:
        table.add_row(one.check, CHECKS[one.check], _STATES[one.state], cell(one.says))
    printing.out.print(table)
    leaks, warnings = found.of("leak"), found.of("warning")
    for mark, several in (("[red]✗ leak[/]", leaks), ("[yellow]! warning[/]", warnings)):
        for finding in several:
            _print_finding(mark, finding)
    of = f"{found.rows:,} rows of {found.partitions}"
    if leaks:
        count = len({one.subject for one in leaks})
        say(f"[red]✗[/] {escape(found.pipeline)}: {count} {'thing leaks' if count == 1 else 'things leak'}, in {of}.")
        say("Mend features.py, the source or the training; docs/leaks.md says how. Nothing was published.")
    else:
        done(f"{escape(found.pipeline)}: no leak found in {of}{_warned(len(warnings))}")


def _warned(count: int) -> str:
    return f", {count} warning{'s' if count > 1 else ''}" if count else ""


def _print_finding(mark: str, finding: "Finding") -> None:
    rows = f" ({finding.rows:,} rows)" if finding.examples else ""
    say(f"{mark} [bold]{escape(finding.subject)}[/] {escape(finding.says)}{rows}")
    names = ("known", "reported") if finding.check == "clock" else ("as built", "must be")
    indented(
        f"{row.partition} {', '.join(f'{name}={value}' for name, value in row.key.items())}: "
        f"{names[0]} {row.value}, {names[1]} {row.other}"
        for row in finding.examples
    )
