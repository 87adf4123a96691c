"""What a person sees: consoles, progress and the tables that more than one command prints.

Results go to standard output, progress and errors to standard error. The commands decide what to print.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

_LOG_WIDTH = 140  # where there is no terminal to ask
out = Console(width=None if sys.stdout.isatty() else _LOG_WIDTH)
err = Console(stderr=True, width=None if sys.stderr.isatty() else _LOG_WIDTH)


@contextmanager
def progress(label: str) -> Iterator[Callable[[str], None]]:
    """A spinner with the elapsed time on a terminal; plain lines in a log."""
    if not err.is_terminal:
        started = time.monotonic()
        yield lambda line: err.print(
            f"{time.monotonic() - started:6.1f} s  {label}: {line}", highlight=False, markup=False, soft_wrap=True
        )
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(label)

        def show(line: str) -> None:
            bar.update(task, description=f"{label}: {escape(line)}")
            bar.console.print(f"  {escape(line)}", highlight=False)

        yield show


def say(line: str, console: Console | None = None) -> None:
    """Print one line with markup, and leave it whole: a person may copy a path or a command from it."""
    (console or out).print(line, highlight=False, soft_wrap=True)


def done(line: str, console: Console | None = None) -> None:
    """Print that something has been done."""
    say(f"[green]✓[/] {line}", console)


def indented(lines: Iterable[str], console: Console | None = None) -> None:
    """Print lines that belong to the one before, as they are."""
    for line in lines:
        say(f"  {escape(line)}", console)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON, for a script."""
    typer.echo(json.dumps(value, default=plain))


def plain(value: Any) -> Any:
    """A value that JSON does not know, as text."""
    if isinstance(value, date | datetime):
        return value.isoformat()
    return str(value)


def number(value: int | None) -> str:
    """A count with separators, or a question mark where it is not known."""
    return "?" if value is None else f"{value:,}"
