"""The command for features: what each brings to a model, what it costs, and which to drop."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from contrail.cli import printing
from contrail.cli.help import MODELS, command
from contrail.cli.options import DATE, NAME, SWITCH, JsonOption, PipelineOption, lake_of
from contrail.cli.printing import cell, print_json, progress, say
from contrail.config.pipeline import load_pipeline
from contrail.imports import quick_imports
from contrail.partitions import Partitions

if TYPE_CHECKING:
    from contrail.operations.inspecting.results import InspectedFeature, Inspection

app = typer.Typer()
_STYLES = {"drop": "yellow", "uncertain": "dim", "keep": "green"}
_ROWS = 12  # a longer table is for --all, the page and JSON


@command(app, "inspect-features", MODELS)
def inspect_features(
    pipeline: PipelineOption,
    model: Annotated[
        str, typer.Option("--model", metavar="<version>", help="champion, challenger, latest or a version number.")
    ] = "champion",
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar=DATE, help="First partition. Default: the newest days after the training."),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar=DATE, help="Last partition. Default: the newest day with all labels.")
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option("--drop", metavar=NAME, help="Grow trees without this feature too. Give it again for others."),
    ] = None,
    thorough: Annotated[
        bool,
        typer.Option("--thorough", metavar=SWITCH, help="Grow trees without each feature, with four seeds for each."),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", metavar=SWITCH, help="Measure anew what earlier calls have kept.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", metavar=SWITCH, help="List every feature, also the useful ones.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="<file>", help="Write a page with all of it.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what each feature brings to a model, what it costs, and which to drop.

    It looks at labelled days after the training. For each feature it has the gain, the SHAP importance, and the loss that is
    added while the feature is shuffled. Trees grow again without features that look useless, and without all but one of
    those that say nearly the same. Each loss has an interval over days. The seconds are those of building a day.

    It ends with the features that may all go, and what that costs. Nothing is published. What was done is kept, so a second
    call only prints it. What it finds out of the champion counts on the score card.
    """
    with quick_imports():
        from contrail.operations.inspect_features import InspectOptions
        from contrail.operations.inspect_features import inspect_features as look
        from contrail.operations.inspecting.page import render

    loaded = load_pipeline(pipeline)
    printing.check_asked(html, "--html")
    first, last = (None if text is None else Partitions.parse(text).start for text in (from_, to))
    options = InspectOptions(
        model=model, first=first, last=last, drop=tuple(drop or ()), thorough=thorough, again=again
    )
    with progress(f"inspect-features {pipeline}") as show:
        found = look(loaded, lake_of(loaded), options, show)
    if html is not None:
        printing.write_asked(html, render(found), "--html")
    if as_json:
        print_json(found.as_dict())
    else:
        _print(found, every)


def _print(found: "Inspection", every: bool) -> None:
    features = [*found.by_worth()]
    useful = [one for one in features if one.verdict == "keep"]
    shown = useful if every else useful[:_ROWS]
    title = f"{found.pipeline} version {found.version}, {found.partitions}: added {found.metric_name}"
    table = Table(title=title, header_style="bold", box=SIMPLE, pad_edge=False, collapse_padding=True)
    for name in ("feature", "shuffled", "without", "SHAP", "gain", "cost", "odd", "missing", "verdict"):
        table.add_column(name, justify="left" if name in ("feature", "verdict") else "right")
    for one in [*shown, *(one for one in features if one.verdict != "keep")]:
        table.add_row(*_row(one))
    printing.out.print(table)
    if len(shown) < len(useful):
        say(f"{len(useful) - len(shown)} more to keep: --all lists them")
    _print_rest(found)


def _row(one: "InspectedFeature") -> list[RenderableType]:
    from contrail.operations.inspecting.results import signed

    return [
        cell(one.name),
        signed(one.shuffled.estimate),
        "–" if one.without is None else signed(one.without.estimate),
        f"{one.size:.3f}",
        f"{one.gain:.1%}",
        f"{one.seconds:.2f} s",
        f"{one.unusual_days}/{one.measured_days}" if one.measured_days else "–",
        f"{one.missing:.0%}",
        f"[{_STYLES[one.verdict]}]{one.verdict}[/]",
    ]


def _print_rest(found: "Inspection") -> None:
    for one in found.features:
        if one.verdict == "drop":
            say(f"[yellow]drop[/] [bold]{escape(one.name)}[/]: {escape(one.because)}")
    mark = "[yellow]![/]" if found.drop else "[green]✓[/]"
    say(f"{mark} {escape(found.pipeline)}: {escape(found.sentence)}")
    say(
        f"Loss: {found.metric_name} {found.loss:.4f} on {found.rows_of} of {found.days} days; predicting the mean has "
        f"{found.loss_of_mean:.4f}. What may go may add {found.margin:.2g} at most."
    )
    say(
        f"Trees grew {found.refits} times, {found.refit_seconds:.0f} processor seconds. Cost: {found.costs.unit} of the "
        f"feature's whole group in a build of {found.day}, which takes {found.costs.whole_seconds:.2f} s."
    )
    if found.left and not found.thorough:
        say(f"Not tried alone: {escape(', '.join(found.left))}. --thorough tries every feature.")
