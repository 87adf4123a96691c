"""Every command that the project names, in a message, a page or a DAG, is one that a person can type."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.conftest import PROJECT

from contrail.cli.app import app
from contrail.cli.help import EXAMPLES, PANELS

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
SOURCES = ("include/**/*.py", "plugins/**/*.py", "dags/*.py", "benchmarks/*.py")
PAGES = (
    "*.md",
    "docs/**/*.md",
    "include/**/*.md",
    "plugins/**/*.md",
    "terraform/*.md",
    "benchmarks/*.md",
    "dvc.yaml",
    "Makefile",
)
GOLDEN = sorted((PROJECT / "tests" / "unit" / "plugins" / "dags" / "golden").glob("*.txt"))
# A command ends with its line, its code span, its sentence, or where another begins.
NAMED = re.compile(r"(?<![\w.@:-])contrail +(?P<verb>[a-z][\w-]*)(?P<rest>(?:(?!contrail )[^`\n;])*)")
SENTENCE = re.compile(r"[.:] +[A-Z]")
FLAG = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
OF_GOOGLE = re.compile(r"^\s*gcloud .*$", re.MULTILINE)  # there `contrail` is the name of a machine or a database
HISTORY = {"CHANGELOG.md"}  # it names what a command was called before


def named(text: str) -> Iterator[tuple[str, list[str]]]:
    """The commands that a text names, with their flags."""
    for found in NAMED.finditer(OF_GOOGLE.sub("", re.sub(r"\\\n\s*", " ", text))):
        rest = SENTENCE.split(re.sub(r'"[^"]*"', "QUOTED", found["rest"]))[0]
        yield found["verb"].rstrip("-"), FLAG.findall(rest)


def strings(source: str) -> Iterator[str]:
    """The strings of a module; what is filled in becomes a word."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def texts(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    yield from strings(text) if path.suffix == ".py" else [text]


def wrong(verb: str, flags: list[str]) -> str:
    """What a person would be told who types it; nothing when it is right."""
    if verb not in COMMANDS:
        return f"contrail {verb}: no such command"
    known = {name for one in COMMANDS[verb].params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
    return ", ".join(f"contrail {verb} has no {flag}" for flag in flags if flag not in known)


def files(*patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in PROJECT.glob(pattern) if path.name not in HISTORY)


def test_every_named_command_and_flag_is_there() -> None:
    found = {
        f"{path.relative_to(PROJECT)}: {said}"
        for path in files(*SOURCES, *PAGES)
        for text in texts(path)
        for verb, flags in named(text)
        if (said := wrong(verb, flags))
    }
    assert found == set()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Run: contrail feature --pipeline X", "contrail feature: no such command"),
        ("as `contrail score -p X --modle 3` does", "contrail score has no --modle"),
        ("contrail train -p X \\\n   --sett a=1", "contrail train has no --sett"),
        ("contrail backfill -p X --publish chunk. Then `contrail late`", "contrail backfill has no --publish"),
        ("contrail history predictions --no-such", "contrail history has no --no-such"),
    ],
)
def test_a_command_that_nobody_can_type_is_found(text: str, said: str) -> None:
    verb, flags = next(named(text))
    assert wrong(verb, flags) == said


@pytest.mark.parametrize(
    "text",
    [
        "Use contrail promote or contrail rollback-model.",
        'contrail query -p X "SELECT --1"',
        "Run: contrail features -p X --from X. Then --from is known",
        "from contrail import api",
        "python -m contrail_airflow.local.embedded up",
    ],
)
def test_prose_around_a_command_is_not_taken_for_flags(text: str) -> None:
    assert [said for verb, flags in named(text) if (said := wrong(verb, flags)) and verb != "import"] == []


@pytest.mark.parametrize("line", [line for examples in EXAMPLES.values() for line in examples])
def test_every_example_parses(line: str) -> None:
    _, verb, *arguments = shlex.split(line)
    COMMANDS[verb].make_context(verb, arguments)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_command_of_a_dag_parses(path: Path) -> None:
    """Values too: a DAG may only choose what the command offers."""
    lines = [line.partition(": contrail ")[2] for line in path.read_text().splitlines() if ": contrail " in line]
    assert lines
    for verb, *arguments in map(str.split, lines):
        COMMANDS[verb].make_context(verb, arguments)


def test_every_command_has_a_panel_and_examples() -> None:
    assert set(EXAMPLES) == set(COMMANDS)
    assert [one.rich_help_panel for one in COMMANDS.values()] == sorted(
        (one.rich_help_panel for one in COMMANDS.values()), key=PANELS.index
    )
