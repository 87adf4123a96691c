"""The command for bills of materials."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from contrail.cli import printing
from contrail.cli.help import HOUSEKEEPING, command
from contrail.cli.options import NAME
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.errors import SpecError

app = typer.Typer()
_NAMED = 3  # libraries of a rare licence, which somebody may want to look at


@command(app, "sbom", HOUSEKEEPING)
def sbom(
    version: Annotated[
        str | None,
        typer.Argument(
            metavar="[VERSION]",
            help="With --pipeline: a version, champion, challenger or latest.",
            show_default="champion",
        ),
    ] = None,
    pipeline: Annotated[
        str | None,
        typer.Option("--pipeline", "-p", metavar=NAME, help="The bill of a model. Default: that of the environment."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="<file>", help="Write it here, not to standard output.")
    ] = None,
) -> None:
    """Write a software bill of materials (SBOM) in CycloneDX's form: what something was made of, and its licences.

    Without a pipeline it lists the locked libraries. With one it lists what a registered version was made of: its files,
    parameters, training set and snapshots, code, and the libraries of its own lock. A table of licences goes to standard
    error.
    """
    from contrail.operations.bills import environment_bill, model_bill

    if version is not None and pipeline is None:
        raise SpecError(
            f"VERSION {version} needs --pipeline: without it the bill is the environment's. Nothing was written"
        )
    printing.check_asked(output, "--output", in_new_folder=True)
    loaded = load_pipeline(pipeline) if pipeline else None
    found = model_bill(settings(), loaded, version or "champion") if loaded else environment_bill(settings())
    text = json.dumps(found, indent=1) + "\n"
    _print_licences(found)
    if output is None:
        typer.echo(text, nl=False)
    else:
        printing.write_asked(output, text, "--output", in_new_folder=True)


def _print_licences(bill: dict[str, Any]) -> None:
    from contrail.operations.bills import licences

    table = Table("licence", "libraries", "which", title="Licences, as the installed libraries say")
    for licence, names in licences(bill).items():
        which = ", ".join(names) if len(names) <= _NAMED or not licence else ""
        table.add_row(escape(licence) or "not said, or not installed here", str(len(names)), escape(which))
    printing.err.print(table)
