"""A shell for questions in SQL: it reads statements up to their semicolon. What answers them does not belong here."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from rich.markup import escape

from contrail.cli import printing
from contrail.cli.printing import say
from contrail.errors import ContrailError

_HELP = """End a question with a semicolon. It may have several lines.
  .tables            list the tables
  .describe <table>  document a table
  .quit              leave, as Ctrl-D does; Ctrl-C takes back what you have written, or stops a question"""


def run(name: str, answer: Callable[[str], None], describe: Callable[[str | None], None]) -> None:
    """Read questions until the end of the input, and answer each. An error ends the question, not the shell."""
    with suppress(ImportError):
        import readline  # noqa: F401 - gives input() a history and keys to edit a line

    say(f"{name}: questions in SQL, ended by a semicolon. .help lists what else there is.", printing.err)
    for line in _statements(f"{name}> "):
        started = time.monotonic()
        try:
            if line.startswith("."):
                _order(line, describe)
            else:
                answer(line)
                say(f"{time.monotonic() - started:.2f} s", printing.err)
        except ContrailError as error:
            say(f"[red]✗[/] {escape(str(error))}", printing.err)
        except KeyboardInterrupt:
            say("Stopped.", printing.err)


def _order(line: str, describe: Callable[[str | None], None]) -> None:
    words = line.removesuffix(";").split()
    if words[0] == ".tables":
        describe(None)
    elif words[0] == ".describe" and len(words) == 2:
        describe(words[1])
    else:
        say(escape(_HELP), printing.err)


def _statements(prompt: str) -> Iterator[str]:
    """Yield each statement that ends with a semicolon, and each line that begins with a full stop."""
    lines: list[str] = []
    while True:
        try:
            line = input(f"{' ' * (len(prompt) - 2)}> " if lines else prompt)
        except EOFError:
            sys.stderr.write("\n")
            return
        except KeyboardInterrupt:
            sys.stderr.write("\n")
            lines = []
            continue
        if not lines and line.strip() in (".quit", ".exit"):
            return
        if not lines and line.lstrip().startswith("."):
            yield line.strip()
        elif lines or line.strip():
            lines.append(line)
            if line.rstrip().endswith(";"):
                yield "\n".join(lines)
                lines = []
