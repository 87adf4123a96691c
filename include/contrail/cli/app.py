"""The command ``contrail``: every desk under one name, and how an error ends it."""

import os
import sys
from functools import cache
from typing import Any

import typer
from rich.markup import escape
from typer.main import get_command

from contrail.adapters.google_errors import google_errors
from contrail.adapters.machine_errors import machine_errors, quiet_libraries
from contrail.cli import (
    backfills,
    bills,
    doctor,
    forget,
    housekeeping,
    inspecting,
    leaks,
    models,
    new,
    printing,
    queries,
    replay,
    reproduce,
    sandboxes,
    score_cards,
    stages,
    stopped,
    tables,
    tuning,
    unexpected,
    upkeep,
    whys,
)
from contrail.cli.help import help_text
from contrail.config.settings import settings
from contrail.errors import ContrailError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    help="Batch machine learning, a partition at a time: landed files in, a prediction table out.",
    epilog=help_text("Start with `contrail status -p flight_delay`. `contrail COMMAND --help` has examples."),
)
for desk in (
    stages, backfills, queries, whys, replay, tables, upkeep, forget, models, tuning, reproduce, sandboxes, leaks, inspecting,
    score_cards, new, housekeeping, bills, doctor,
):  # fmt: skip
    app.add_typer(desk.app)


@cache
def command() -> Any:
    """The Click command that Typer makes of all desks. It makes another one at each call of the app."""
    return get_command(app)


def main() -> None:
    """Run the command line, and print an error without its traceback, which a file keeps if nobody expected it."""
    quiet_libraries()
    try:
        with stopped.stoppable(), machine_errors(), google_errors():
            if sys.argv[1:2] != ["doctor"]:  # which says itself what is wrong with them
                settings()  # before any library is imported: it switches off their calls home
            code = command()(standalone_mode=False)  # Click returns the code of an Exit, and raises none
        if code == stopped.INTERRUPTED:  # of Typer, which caught it
            raise KeyboardInterrupt
        if code:
            raise SystemExit(code)
    except ContrailError as error:
        # Messages quote landed text, which may look like markup.
        printing.say(f"[red]✗[/] {type(error).__name__}: {escape(str(error))}", printing.err)
        raise SystemExit(error.exit_code) from None
    except typer.Abort:  # at a question
        raise SystemExit(stopped.INTERRUPTED) from None
    except KeyboardInterrupt:
        printing.say(f"[red]✗[/] {stopped.tell(stopped.INTERRUPTED)}", printing.err)
        raise SystemExit(stopped.INTERRUPTED) from None
    except BrokenPipeError:  # `contrail query … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:
        if hasattr(error, "show"):  # click's usage errors
            usage: Any = error
            usage.message = getattr(error, "message", "").replace("Value error, ", "")  # a word of Typer's own library
            error.show()
            raise SystemExit(getattr(error, "exit_code", 2)) from None
        printing.say(f"[red]✗[/] {escape(unexpected.tell(error))}", printing.err)
        raise SystemExit(ContrailError.exit_code) from None
