"""What a person sees: consoles, progress and the tables that more than one command prints.

Results go to standard output, progress and errors to standard error. The commands decide what to print.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from upath import UPath

from contrail.errors import SpecError
from contrail.files import write_whole

# A landed text must not move the cursor, change colours or name the window.
_WIDEST = 1_000_000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_LARGE, _HUGE = 10_000, 1e15
_LOG_WIDTH = 140  # where there is no terminal to ask
out = Console(width=None if sys.stdout.isatty() else _LOG_WIDTH)
err = Console(stderr=True, width=None if sys.stderr.isatty() else _LOG_WIDTH)


@contextmanager
def progress(label: str) -> Iterator[Callable[[str], None]]:
    """A spinner with the elapsed time on a terminal; plain lines in a log."""
    if not err.is_terminal:
        started = time.monotonic()
        yield lambda line: err.print(
            f"{time.monotonic() - started:6.1f} s  {label}: {_harmless(line)}",
            highlight=False, markup=False, emoji=False, soft_wrap=True,
        )  # fmt: skip
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(label)

        def show(line: str) -> None:
            line = _harmless(line)
            bar.update(task, description=f"{label}: {escape(line)}")
            bar.console.print(f"  {escape(line)}", highlight=False, emoji=False)

        yield show


def say(line: str, console: Console | None = None) -> None:
    """Print one line with markup, and leave it whole: a person may copy a path or a command from it."""
    (console or out).print(_harmless(line), highlight=False, emoji=False, soft_wrap=True)


def done(line: str, console: Console | None = None) -> None:
    """Print that something has been done."""
    say(f"[green]✓[/] {line}", console)


def indented(lines: Iterable[str], console: Console | None = None) -> None:
    """Print lines that belong to the one before, as they are."""
    for line in lines:
        say(f"  {escape(line)}", console)


def check_asked(path: Path | None, option: str, *, in_new_folder: bool = False) -> None:
    """Check, before any work, that a file can be written where a person wants it. None: nobody wants one.

    Raises:
        SpecError: when it cannot, naming the option.
    """
    if path is not None and (why := _unwritable(path, in_new_folder)):
        raise SpecError(f"{option} {path} cannot be written: {why}. Name a file in a folder that you may write to.")


def _unwritable(path: Path, in_new_folder: bool) -> str | None:
    try:
        if path.is_dir():
            return "it is a folder"
        folder = path.parent
        while in_new_folder and not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            return f"there is no folder {folder}"
        with TemporaryFile(dir=folder):  # permissions alone do not tell of a file system that is read only, or full
            return None
    except (OSError, ValueError) as error:
        return _reason(error)


def _reason(error: OSError | ValueError) -> str:
    """What was wrong, without the name of an unfinished file."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def write_asked(path: Path, text: str, option: str, *, in_new_folder: bool = False) -> None:
    """Write what a person asked to have in a file, whole or not at all, and say where it is.

    Only with ``in_new_folder`` a missing folder is made.

    Raises:
        SpecError: when it cannot be written there, naming the option.
    """
    check_asked(path, option, in_new_folder=in_new_folder)
    try:
        write_whole(UPath(path), text.encode())
    except (OSError, ValueError) as error:
        raise SpecError(f"{option} {path} cannot be written: {_reason(error)}") from error
    done(f"it is in {escape(str(path))}", err)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON, for a script."""
    typer.echo(json.dumps(value, default=plain))


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]], limit: int) -> None:
    """Print rows as a table, or one value a line where the table would be too wide to read."""
    texts = [[_text(value) for value in row] for row in rows[:limit]]
    if not rows:
        out.print(cell(f"0 rows of {', '.join(columns)}"), soft_wrap=True)
        return
    table = Table(header_style="bold")
    for name in columns:
        table.add_column(cell(name))
    for row in texts:
        table.add_row(*map(cell, row))
    if table.__rich_measure__(out, out.options.update(max_width=_WIDEST)).maximum <= out.width:
        out.print(table)
    else:
        longest = max(map(len, columns))
        for number, row in enumerate(texts, start=1):
            out.print(cell(f"─ row {number} "), style="dim")
            for name, value in zip(columns, row, strict=True):
                out.print(Text.assemble((f"{name:{longest}}  ", "bold"), cell(value)), soft_wrap=True)
    if len(rows) > limit:
        err.print(f"Only the first {limit} rows are shown; --limit shows more, --format csv all.")


def cell(value: Any) -> Text:
    """A value as it is: neither markup, nor an emoji's name, nor a command to the terminal."""
    return Text(_text(value))


def _text(value: Any) -> str:
    return _harmless(_float(value) if isinstance(value, float) else "" if value is None else str(value))


def _float(value: float) -> str:
    """Four digits, or the whole part of a large number, which a power of ten would hide."""
    return f"{value:.1f}" if _LARGE <= abs(value) < _HUGE else f"{value:.4g}"


def _harmless(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def plain(value: Any) -> Any:
    """A value that JSON does not know, as text."""
    if isinstance(value, date | datetime):
        return value.isoformat()
    return str(value)


def number(value: int | None) -> str:
    """A count with separators, or a question mark where it is not known."""
    return "?" if value is None else f"{value:,}"
