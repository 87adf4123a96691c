"""The form of help: the panels of ``contrail --help``, the text of a command and its examples.

A command's docstring says what it does. The definition of an option says what it means.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import typer
from rich.markup import escape
from typer.core import TyperCommand

from contrail.cli.in_sandbox import in_sandbox

CHAIN, BACKFILL, TABLES, MODELS, HOUSEKEEPING = "Chain", "Backfill", "Tables", "Models", "Housekeeping"
PANELS = (CHAIN, BACKFILL, TABLES, MODELS, HOUSEKEEPING)

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "land": ("contrail land -p flight_delay --from 2013-01-01 --to 2013-12-31",),
    "ingest": ("contrail ingest -p flight_delay --from 2013-01-01 --to 2013-12-31",),
    "validate": ("contrail validate -p flight_delay --from 2013-01-01 --to 2013-12-31",),
    "features": ("contrail features -p flight_delay --from 2013-10-01 --to 2013-10-31",),
    "train": (
        "contrail train -p flight_delay --from 2013-01-01 --to 2013-08-31",
        "contrail train -p flight_delay --from 2013-01-01 --to 2013-08-31 --set max_depth=8 --no-register",
    ),
    "tune": (
        "contrail tune -p flight_delay --from 2013-01-01 --to 2013-08-31 --trials 30",
        "contrail tune -p flight_delay --from 2013-01-01 --to 2013-08-31 --budget-seconds 1800 --no-register --html tuning.html",
    ),
    "promote": (
        'contrail promote -p flight_delay --model 3 --reason "new carrier"',
        "contrail promote -p flight_delay --from 2013-09-03 --to 2013-09-30",
    ),
    "score": (
        "contrail score -p flight_delay --from 2013-11-01",
        "contrail score -p flight_delay --from 2013-11-01 --to 2013-11-30 --model 2",
    ),
    "drift": ("contrail drift -p flight_delay --from 2013-11-01 --to 2013-11-30 --report always",),
    "performance": ("contrail performance -p flight_delay --from 2013-11-01 --to 2013-11-30 --only-stale",),
    "publish": ("contrail publish -p flight_delay --from 2013-11-01 --to 2013-11-30",),
    "backfill": (
        "contrail backfill -p flight_delay --from 2013-10-01 --to 2013-12-31 --dry-run",
        "contrail backfill -p flight_delay --from 2013-10-01 --to 2013-12-31 --stages score --model 2",
        "contrail backfill -p flight_delay --from 2013-01-01 --to 2013-12-31 --commits chunk",
    ),
    "difference": ("contrail difference -p flight_delay --id october",),
    "late": ("contrail late -p flight_delay --on 2013-11-03",),
    "quarantine": (
        "contrail quarantine -p flight_delay --table weather",
        "contrail quarantine -p flight_delay --table weather --rule plausible_wind_speed --from 2013-02-12",
    ),
    "replay": (
        'contrail replay -p flight_delay --table weather --file rows.csv --reason "the mast was broken" --dry-run',
        'contrail replay -p flight_delay --table weather --file rows.csv --reason "the mast was broken"',
        'contrail replay -p flight_delay --table weather --reason "the mast was broken" --sql "SELECT _file, _line, NULL AS '
        "wind_speed FROM quarantined WHERE _rule = 'plausible_wind_speed'\"",
    ),
    "query": (
        'contrail query "SELECT * FROM predictions_latest ORDER BY probability DESC LIMIT 10"',
        'contrail query "SELECT rule, count(*) FROM quarantine GROUP BY rule" --format json',
        'contrail query "DESCRIBE predictions"',
        "contrail query -p flight_delay",
    ),
    "why": (
        "contrail why UA,15,EWR -p flight_delay --on 2013-12-01",
        "contrail why carrier=UA,flight=15,origin=EWR -p flight_delay --html why.html",
        "contrail why UA,15,EWR -p flight_delay --on 2013-12-01 --as-of 2013-12-01T06:00",
    ),
    "what-if": (
        "contrail what-if UA,15,EWR dest_delay_1d=40 carrier=AA -p flight_delay --on 2013-12-01",
        "contrail what-if UA,15,EWR -p flight_delay --on 2013-12-01",
    ),
    "attach": ("contrail attach lake.duckdb -p flight_delay",),
    "status": (
        "contrail status -p flight_delay",
        "contrail status -p flight_delay --from 2013-11-01 --to 2013-11-30",
    ),
    "describe": ("contrail describe", "contrail describe predictions"),
    "history": ("contrail history predictions",),
    "rollback": ("contrail rollback predictions --to 4242424242424242424",),
    "move-away": ("contrail move-away features -p flight_delay",),
    "verify": (
        "contrail verify -p flight_delay",
        "contrail verify -p flight_delay --give-up governor",
    ),
    "recover": ("contrail recover -p flight_delay",),
    "maintain": ("contrail maintain -p flight_delay --dry-run", "contrail maintain -p flight_delay --grace-days 7"),
    "forget": (
        'contrail forget -p flight_delay --where "tailnum = \'N14228\'" --reason "request of 12 May" --dry-run',
        "contrail forget -p flight_delay --where \"tailnum IN ('N14228', 'N24211')\" --reason \"request of 12 May\"",
        'contrail forget -p flight_delay --reason "old files were delivered again"',
    ),
    "summary": ("contrail summary -p flight_delay",),
    "champions": (
        "contrail champions -p flight_delay --on 2013-11-03",
        'contrail query "SELECT * FROM model_history ORDER BY moved_at"',
    ),
    "model-card": (
        "contrail model-card -p flight_delay",
        "contrail model-card -p flight_delay 2 --html card.html",
        "contrail model-card -p flight_delay latest --markdown",
    ),
    "reproduce": (
        "contrail reproduce -p flight_delay",
        "contrail reproduce -p flight_delay 1 --environment",
    ),
    "rollback-model": (
        'contrail rollback-model -p flight_delay --to 2 --reason "wrong weather feed" --dry-run',
        'contrail rollback-model -p flight_delay --to 2 --reason "wrong weather feed"',
    ),
    "govern": (
        "contrail govern -p flight_delay --on 2013-11-03",
        'contrail govern -p flight_delay --on 2013-11-03 --reason "new carrier"',
    ),
    "check-leaks": (
        "contrail check-leaks -p flight_delay",
        "contrail check-leaks -p flight_delay --from 2013-10-01 --to 2013-10-28 --cutoffs 10 --seed 7",
    ),
    "inspect-features": (
        "contrail inspect-features -p flight_delay --html features.html",
        "contrail inspect-features -p flight_delay --model 2 --from 2013-12-01 --drop weather_humid",
    ),
    "score-card": (
        "contrail score-card -p flight_delay",
        "contrail score-card -p flight_delay --output card.html",
    ),
    "new": (
        "contrail new sales --sample sales.csv",
        "contrail new sales --sample sales.csv --sample stores.csv --label revenue --timezone Europe/Berlin --yes",
    ),
    "pipelines": ("contrail pipelines",),
    "check": ("contrail check -p flight_delay", "contrail check --thorough"),
    "cost": (
        "contrail cost -p flight_delay --month 2026-11",
        "contrail cost -p flight_delay --assume features=30x4 --assume train=1x10",
    ),
    "sandbox": (
        "contrail features -p flight_delay --from 2013-10-01 --to 2013-10-31 --sandbox deeper_trees",
        "contrail sandbox list",
        "contrail sandbox compare deeper_trees",
        "contrail sandbox apply deeper_trees --yes",
        "contrail sandbox drop deeper_trees",
    ),
    "sbom": ("contrail sbom --output environment.cdx.json", "contrail sbom champion -p flight_delay"),
    "doctor": ("contrail doctor", "contrail doctor --json"),
}

Function = TypeVar("Function", bound=Callable[..., None])
_CODE = re.compile(r"`([^`]+)`")


class _Command(TyperCommand):
    """A command that shows --help like its other switches, without a type beside it."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)
        if option:
            option.metavar = ""
        return option


def command(app: typer.Typer, name: str, panel: str) -> Callable[[Function], Function]:
    """Register a function as a command; its docstring is the help, and ``EXAMPLES`` has its examples."""

    def register(function: Function) -> Function:
        text, examples = help_text(function.__doc__ or ""), _epilog(EXAMPLES[name])
        made = in_sandbox(name, function)
        app.command(name, cls=_Command, rich_help_panel=panel, help=text, epilog=examples)(made)
        return function

    return register


def help_text(text: str) -> str:
    """Turn a docstring into Rich's markup, one line a paragraph. Escape whatever looks like markup."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(_CODE.sub(r"[bold cyan]\1[/]", escape(" ".join(part.split()))) for part in paragraphs)


def _epilog(examples: tuple[str, ...]) -> str:
    # The tag stands before the spaces. Otherwise Typer would remove them as indentation of the whole text.
    return "\n".join(["[bold]Examples[/]", *(f"[cyan]  {escape(line)}[/]" for line in examples)])
