"""What commands share: their options, and how a word on the command line becomes a value.

The options of a stage are its own, in ``contrail.stages.options``.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from contrail.cli import printing
from contrail.cli.printing import say
from contrail.config.pipeline import Pipeline
from contrail.config.settings import settings
from contrail.errors import SpecError
from contrail.files import checked_name

if TYPE_CHECKING:
    from contrail.lake.lake import Lake


def _run_name(name: str | None) -> str | None:
    return name and checked_name(name, "--run-id")


NAME, DATE, TEXT, SWITCH = "<name>", "<date>", "<text>", ""
SCRIPTS = "For scripts"
PipelineOption = Annotated[
    str, typer.Option("--pipeline", "-p", metavar=NAME, help="Folder name under include/pipelines.", show_default=False)
]
AnyPipelineOption = Annotated[
    str | None,
    typer.Option(
        "--pipeline", "-p", metavar=NAME, help="Folder name under include/pipelines.", show_default="flight_delay"
    ),
]
FromOption = Annotated[
    str, typer.Option("--from", metavar=DATE, help="First partition, YYYY-MM-DD.", show_default=False)
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar=DATE, help="Last partition, inclusive. Default: the same as --from.")
]
NewestOption = Annotated[
    str | None,
    typer.Option(
        "--from", metavar=DATE, help="First partition. Default: the newest days that features and labels allow."
    ),
]
ToNewestOption = Annotated[
    str | None,
    typer.Option(
        "--to", metavar=DATE, help="Last partition, inclusive. Default: the last day that a training now may read."
    ),
]
OnOption = Annotated[str, typer.Option("--on", metavar=DATE, help="The day, YYYY-MM-DD.", show_default=False)]
RunOption = Annotated[
    str | None,
    typer.Option(
        "--run-id", metavar=NAME, callback=_run_name, help="Name of this run in the records.", rich_help_panel=SCRIPTS
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", metavar=SWITCH, help="Print the result as one line of JSON.", rich_help_panel=SCRIPTS)
]


class Format(StrEnum):
    """How rows are printed."""

    table = "table"
    csv = "csv"
    json = "json"


def lake_of(pipeline: Pipeline) -> "Lake":
    """The lake of a pipeline."""
    from contrail.lake.lake import Lake  # 1.5 s of imports, which --help does not need

    return Lake(settings(), pipeline.name)


def not_with(option: str, others: Mapping[str, object], why: str) -> None:
    """Refuse what has no effect beside an option, so that nobody believes it was heard.

    Raises:
        SpecError: naming them.
    """
    if given := [name for name, value in others.items() if value not in (None, False)]:
        raise SpecError(f"{option} does not take {' or '.join(given)}: {why}. Nothing was changed")


def end_changes(verb: str, pipeline: Pipeline) -> None:
    """End the change of models that a killed command has left, before this command reads models."""
    from contrail.stages.runner import finish_changes

    finish_changes(verb, pipeline, lambda line: say(f"  {escape(line)}", printing.err))


def parse_set(given: list[str]) -> dict[str, Any]:
    """Read ``["max_depth=8 eta=0.1"]`` or ``['{"max_depth": 8}']``. Values are JSON, else text.

    Raises:
        SpecError: for anything else.
    """
    found: dict[str, Any] = {}
    for text in given:
        found |= _json_object(text) if text.startswith("{") else dict(map(_pair, text.split() or [text]))
    return found


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise SpecError(f"--set {text}: write it as name=value, for example --set max_depth=8")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def _json_object(text: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:
        raise SpecError(
            f"--set {text}: no valid JSON ({error}). Write name=value, for example --set max_depth=8"
        ) from error
    return found
