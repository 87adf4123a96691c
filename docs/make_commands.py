"""Write docs/commands.md: every command with its options, read from the commands themselves.

``python docs/make_commands.py`` writes the page. A test compares it with the commands, so that it cannot fall behind.
"""

import inspect
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer

from contrail.cli.app import app
from contrail.cli.help import EXAMPLES, PANELS

PAGE = Path(__file__).with_name("commands.md")
_HEAD = """# Commands

`contrail --help` and `contrail COMMAND --help` say the same in a terminal. `python docs/make_commands.py` writes this page
from the commands. Do not edit it by hand.
"""


def page() -> str:
    """The whole page, a section for each panel of ``contrail --help``."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    parts = [_HEAD]
    for panel in PANELS:
        parts.append(f"## {panel}\n")
        parts += ["\n".join(_section(command)) for command in commands.values() if command.rich_help_panel == panel]
    return "\n".join(parts)


def _section(command: Any) -> Iterator[str]:
    yield f"### contrail {command.name}\n"
    text = inspect.cleandoc(command.callback.__doc__)
    yield "\n\n".join(" ".join(part.split()) for part in text.replace("*", r"\*").split("\n\n")) + "\n"
    if command.params:
        yield from ("| option | meaning | default |", "|---|---|---|")
        context = typer.Context(command)
        yield from (f"| {_names(one)} | {_meaning(one, context)} | {_default(one)} |" for one in command.params)
        yield ""
    yield "\n".join(["```", *EXAMPLES[command.name], "```", ""])


def _names(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"`{param.name.upper()}`"
    return ", ".join(f"`{name}`" for name in [*param.opts, *param.secondary_opts])


def _meaning(param: Any, context: typer.Context) -> str:
    choices = str(param.display_type(context)).strip("<>").split("|")
    return f"{param.help} One of {', '.join(f'`{one}`' for one in choices)}." if len(choices) > 1 else param.help


def _default(param: Any) -> str:
    if param.required:
        return "required"
    if isinstance(param.show_default, str):
        return param.show_default
    if isinstance(param.default, bool):
        on_or_off = param.opts if param.default else param.secondary_opts
        return f"`{on_or_off[0]}`" if param.secondary_opts else ""
    value = param.default.value if isinstance(param.default, Enum) else param.default
    return f"`{value}`" if value not in (None, [], ()) else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} is written\n")
