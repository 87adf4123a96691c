"""What --help shows: every text in full, a panel for each desk, in a terminal of usual width."""

import inspect
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from contrail.cli.app import app
from contrail.cli.help import PANELS, help_text

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def shown(*arguments: str) -> str:
    """Help as a terminal of 100 columns has it."""
    done = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "100", "TERMINAL_WIDTH": "100"})
    assert done.exit_code == 0
    return done.output


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_the_commands_are_in_the_panels_of_the_desks() -> None:
    lines = shown().splitlines()
    at = [next(i for i, line in enumerate(lines) if f"─ {panel} ─" in line) for panel in PANELS]
    assert at == sorted(at)
    chain = [line.split()[1] for line in lines[at[0] + 1 : at[1]] if line.startswith("│ ") and line[2] != " "]
    assert chain == [
        "land", "ingest", "validate", "features", "train", "promote", "score", "drift", "performance", "publish",
    ]  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_that_is_written_is_lost(name: str) -> None:
    """Neither an asterisk nor a bracket is taken for markup."""
    text = one_line(shown(name))
    assert one_line(inspect.cleandoc(COMMANDS[name].callback.__doc__).replace("`", "")) in text
    for param in COMMANDS[name].params:
        assert not set("*[]`") & set(param.help), "an option's help is markup to Typer"


def test_brackets_and_asterisks_are_text() -> None:
    assert help_text("raw_*, validated_* and [bold]\n\n`a [b]`") == (
        "raw_*, validated_* and \\[bold]\n\n[bold cyan]a \\[b][/]"
    )


def test_a_command_has_the_options_of_its_own_stage_alone() -> None:
    train, score = shown("train"), shown("score")
    assert "--set" in train
    assert "--register" in train
    assert "--model" in score
    for other in ("--set", "--approval", "--report", "--each-partition", "--backfill"):
        assert other not in score


def test_a_default_that_is_not_a_value_is_said_in_words() -> None:
    assert "[default: (approved, by you)]" in shown("promote")
