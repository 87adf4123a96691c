"""The command for the score card: how ready a pipeline and its project are, by what can be shown."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from contrail.cli import printing
from contrail.cli.help import MODELS, command
from contrail.cli.options import JsonOption, PipelineOption, lake_of
from contrail.cli.printing import cell, print_json, progress, say
from contrail.config.pipeline import load_pipeline

if TYPE_CHECKING:
    from contrail.operations.score_card.card import ScoreCard
    from contrail.operations.score_card.claims import Section

app = typer.Typer()
_STYLES = {0.0: "red", 0.5: "yellow", 1.0: "green"}


@command(app, "score-card", MODELS)
def score_card(
    pipeline: PipelineOption,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="<file>", help="Write a page: HTML, or Markdown where the name ends in .md."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score a pipeline by the ML Test Score: 28 tests of data, model, infrastructure and monitoring.

    Each test is run now, or cited from recorded evidence: 0, 0.5 or 1 point. What cannot be shown has no point. A section's
    score is the sum of its seven tests, and the final score is the least of the four. The page and `--json` have the
    evidence of each test, with its place and time.

    Nothing is published.
    """
    from contrail.operations.score_card.card import score_card as look
    from contrail.operations.score_card.page import render, text

    loaded = load_pipeline(pipeline)
    printing.check_asked(output, "--output")
    with progress(f"score-card {pipeline}") as show:
        card = look(lake_of(loaded), loaded, show)
    if output is not None:
        printing.write_asked(output, text(card) if output.suffix == ".md" else render(card), "--output")
    if as_json:
        print_json(card.as_dict())
    elif output is None:
        _print(card)


def _print(card: "ScoreCard") -> None:
    for section in card.sections:
        _print_section(section)
    totals = ", ".join(f"{one.name.lower()} {one.points:g}" for one in card.sections)
    say(f"[bold]{escape(card.pipeline)}: {card.score:g} of 7[/], the least of {totals}")
    say(f"To see the evidence of each test: contrail score-card -p {escape(card.pipeline)} --output card.html")


def _print_section(section: "Section") -> None:
    title = f"{section.name}: {section.points:g} of {len(section.tests)}"
    table = Table("test", "points", "depends on", "why not more", title=title, header_style="bold")
    for one in section.tests:
        points = f"[{_STYLES[one.points]}]{one.points:g}[/]"
        table.add_row(cell(f"{one.number} {one.name}"), points, one.about, cell(one.missing))
    printing.out.print(table)
