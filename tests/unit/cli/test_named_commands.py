"""Every command that the project names, in a message, a page or a DAG, is one that a person can type."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.advised import COMMANDS, FILLED, advised, blocks, refused, shown
from tests.conftest import PROJECT

from contrail.cli.help import EXAMPLES, PANELS

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
SHOWN = (
    "include/**/*.py",
    "plugins/**/*.py",
    "plugins/**/*.js",
    "plugins/**/*.md",
    "include/**/*.md",
    "include/**/*.j2",
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


def test_every_advised_command_can_be_typed() -> None:
    """With all that it needs, and values that it takes. `help.py` has examples, which are read below."""
    found = [
        (one, f"{path.relative_to(PROJECT)}: {refused(one)}")
        for path in files(*SHOWN)
        if path.name != "help.py"
        for text in shown(path)
        for one in advised(text)
    ]
    assert len(found) > 150
    assert {said for one, said in found if refused(one)} == set()


def test_every_command_of_a_page_can_be_typed() -> None:
    found = [
        (path.name, one)
        for path in files("*.md", "docs/**/*.md", "benchmarks/*.md", "terraform/*.md")
        for block in blocks(path.read_text(encoding="utf-8"))
        for one in advised(block)
    ]
    assert len(found) > 200
    assert {f"{name}: {said}" for name, one in found if (said := refused(one, may_mean_default=True))} == set()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no table. Run: contrail ingest -p X", "contrail ingest -p X: needs --from"),
        ("contrail rollback-model -p X --dry-run", "contrail rollback-model -p X --dry-run: needs --reason"),
        ("what it was (`contrail history`)", "contrail history: needs table"),
        ("what it was (`contrail why KEY` says more)", "contrail why KEY: needs --pipeline"),
        (
            "contrail rollback features --to 4",
            "contrail rollback features --to 4: names no pipeline, so it would be flight_delay",
        ),
        ("Run: contrail promote", "contrail promote: needs --pipeline"),
        (f"contrail features -p {FILLED} --from {FILLED}, then train", ""),
        (f"contrail backfill -p {FILLED} {FILLED} --stages score", ""),
        ("contrail score-card finds nothing. contrail promote judges", ""),
        ("`contrail tune` looks for better parameters", ""),
    ],
)
def test_what_an_advised_command_lacks_is_found(text: str, said: str) -> None:
    assert "".join(map(refused, advised(text))) == said


def test_a_value_beyond_its_range_is_found() -> None:
    (one,) = advised("contrail doctor --seconds 700")
    assert "less than or equal to 600" in refused(one)


def test_what_a_string_is_put_together_of_is_read(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text(
        '"""A docstring: contrail score --here"""\n'
        'days = f"-p {name} --from {day}"\n'
        'say(f"contrail land {days}" + (" --to X" if more else ""), f"contrail {verb} {days}")\n'
    )
    script = tmp_path / "code.js"
    script.write_text("command(`contrail land -p ${one.name}`, 'contrail status')")
    read = [str(one) for path in (code, script) for text in shown(path) for one in advised(text)]
    assert read == [
        "contrail land -p … --from … --to X",
        "contrail land -p … --from …",
        "contrail land -p …",
        "contrail status",
    ]


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
