"""The desk of whoever asks for the same model again."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from contrail.cli import printing
from contrail.cli.help import MODELS, command
from contrail.cli.options import SWITCH, JsonOption, PipelineOption
from contrail.cli.printing import cell, done, print_json, progress, say
from contrail.config.settings import settings
from contrail.errors import DataError

if TYPE_CHECKING:
    from contrail.operations.reproducing.results import Reproduction

app = typer.Typer()
_STATES = {"same": "[green]same[/]", "differs": "[red]differs[/]", "unknown": "[yellow]unknown[/]"}
_SHORT = 12


@command(app, "reproduce", MODELS)
def reproduce(
    pipeline: PipelineOption,
    version: Annotated[
        str, typer.Argument(metavar="[VERSION]", help="A version, champion, challenger or latest.")
    ] = "champion",
    environment: Annotated[
        bool,
        typer.Option(
            "--environment", metavar=SWITCH, help="Install the model's own lock with uv for this run, and fit with it."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a registered model again, and say whether its bytes are the same or what differs first.

    It takes the rows from the remote of data versions and the code from the model's git revision, in a worktree of its own.
    An empty home will do. Before the fit it compares what the training recorded with what is here: data, code, pipeline,
    parameters, threads, lock, libraries and hardware.

    Nothing is published. The exit code is 3 when the bytes differ or there can be no fit.
    """
    from contrail.operations.reproduce import reproduce as make_again

    with progress(f"reproduce {pipeline} {version}") as show:
        found = make_again(settings(), pipeline, version, environment=environment, progress=show)
    if as_json:
        print_json(found.as_dict())
    else:
        _print(found)
    if found.outcome != "same bytes":
        raise typer.Exit(DataError.exit_code)


def _print(found: "Reproduction") -> None:
    title = f"{found.pipeline} version {found.version}: {found.rows:,} rows of {found.start}..{found.end}"
    table = Table("what", "recorded", "here", "", header_style="bold", title=escape(title))
    for one in found.compared:
        table.add_row(one.what, cell(one.recorded), cell(one.here), _STATES[one.state])
    printing.out.print(table)
    for one in found.compared:
        if one.says:
            say(f"  {one.what}: {escape(one.says)}")
    name = f"{escape(found.pipeline)} version {found.version}"
    if found.outcome == "same bytes":
        digest = found.recorded_sha256[:_SHORT]
        done(f"{name}: the same bytes again (SHA-256 {digest}…), {found.rounds} rounds in {found.seconds} s")
        if found.after:
            say(f"  The {' and the '.join(found.after)} after the trees: the same again.")
        if found.left_out:
            say(f"  [yellow]The trees only.[/] The {' and the '.join(found.left_out)} after them: not made again.")
            say(f"  {escape(found.left_out_why)}")
        return
    how = "other bytes" if found.outcome == "other bytes" else "there can be no fit"
    cause = f"the first difference is in {found.cause.what}" if found.cause else "nothing that was recorded differs"
    if found.cause and found.cause.state == "unknown":
        cause = f"nothing that is known differs; {found.cause.what} cannot be compared"
    say(f"[red]✗[/] {name}: {how}; {cause}. Nothing was published.")
    if found.difference:
        say(f"  {escape(found.difference)}")
    if found.libraries_differ and not found.environment:
        again = f"contrail reproduce -p {found.pipeline} {found.version} --environment"
        say(f"  With the libraries of its own lock: {escape(again)}")
