"""A misspelt name of a pipeline, a sandbox or a choice: every command names it, and makes no file first."""

from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.test_cli import run

from contrail.cli.app import command
from contrail.cli.in_sandbox import MAKE, USE

# What a command needs beside a pipeline.
_VALUES = {
    **dict.fromkeys(("from_", "start", "on"), "2024-01-05"),
    **dict.fromkeys(("table", "path", "key", "reason", "id_", "file"), "x"),
    "to": "2024-01-05",
    "action": "compare",
}
_OTHERS = {"rollback": ("predictions", "--to", "1"), "sandbox": ("compare", "nope")}


def needed(name: str) -> list[str]:
    """The least that a command takes, without its pipeline."""
    found: list[str] = []
    for one in (one for one in command().commands[name].params if one.required and one.name != "pipeline"):
        value = _VALUES.get(one.name, "x")
        found += [value] if one.param_type_name == "argument" else [one.opts[0], value]
    return [*_OTHERS.get(name, found)]


def takes(option: str) -> list[str]:
    return [
        name
        for name, one in command().commands.items()
        if option in [text for param in one.params for text in param.opts]
    ]


def files(home: Path) -> list[Path]:
    return sorted(home.rglob("*")) if home.exists() else []


def refused(patch: pytest.MonkeyPatch, capsys: Any, *line: str) -> tuple[int, str]:
    code, out, err = run(patch, capsys, *line)
    assert out == ""
    return code, err


@pytest.mark.parametrize("sandbox", [(), ("--sandbox", "nope")], ids=["main", "sandbox"])
@pytest.mark.parametrize("name", takes("--pipeline"))
def test_a_misspelt_pipeline_is_named_with_those_that_there_are(
    toy_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, sandbox: tuple[str]
) -> None:
    if sandbox and name not in MAKE | USE:
        return
    before = files(toy_home)
    code, err = refused(monkeypatch, capsys, name, *needed(name), "-p", "toi", *sandbox)
    assert "SpecError: no pipeline 'toi' in " in err
    assert "toy" in err
    assert (code, files(toy_home)) == (2, before)


@pytest.mark.parametrize("name", sorted(USE))
def test_a_sandbox_that_is_not_there_is_named_and_no_folder_is_made(
    toy_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = files(toy_home)
    code, err = refused(monkeypatch, capsys, name, *needed(name), "-p", "toy", "--sandbox", "nope")
    assert "MissingInputError: there is no sandbox 'nope' of pipeline 'toy'. Sandboxes: none yet" in err
    assert (code, files(toy_home)) == (3, before)


@pytest.mark.parametrize("line", ["sandbox compare nope", "sandbox apply nope", "sandbox drop nope"])
def test_one_that_is_asked_for_from_outside_has_the_same_words(
    toy_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    code, err = refused(monkeypatch, capsys, *line.split())
    assert "MissingInputError: there is no sandbox 'nope'. Sandboxes: none yet" in err
    assert (code, [one for one in files(toy_home) if "nope" in str(one)]) == (3, [])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("sandbox lst", "'lst' is not one of 'list', 'compare', 'apply', 'drop'"),
        ("query -p toy x --format yml", "'yml' is not one of 'table', 'csv', 'json'"),
    ],
)
def test_a_wrong_choice_is_told_in_plain_words(
    toy_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, says: str
) -> None:
    code, err = refused(monkeypatch, capsys, *line.split())
    assert (code, "Value error" in err) == (2, False)
    assert says in " ".join(err.replace("│", " ").split())
