"""Whatever a person types, a command does its work or says what is wrong; nobody sees a traceback."""

import io
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import click
import pytest
from tests.conftest import Prepare, Toy
from tests.toy_tables import publish_toy
from tests.unit.cli.test_cli import run
from tests.unit.cli.test_named_commands import COMMANDS

from contrail.operations import bills

TEXTS = (
    "", " ", ".", "..", "../../etc", "/", "a/b", "-1", "--", "é", "[/x]", "a'b", 'a"b', "a;b", "a\nb", "\x1b[2J", "%s", "{x}",
    "$(id)", "None", "nan", "1e999", "x" * 300, "\u202e", "0", "99999999999999999999", "{", '{"a": {', "a=", "=b", "a=b=c",
)  # fmt: skip
DAYS = (
    "", "yesterday", "2024-02-30", "2024-2-1", "20240201", "2024-02-01T00:00", " 2024-02-01", "0001-01-01", "9999-12-31",
    "0000-00-00", "2024-01-01..2024-01-02", "-2024-01-01", "٢٠٢٤-٠١-٠١", "2024-01-01\x00",
)  # fmt: skip
GIVEN = {"pipeline": "toy", "from_": "2024-01-02", "to": "2024-01-02", "on": "2024-01-02", "table": "features",
         "sql": "SELECT 1", "backfill_id": "b1", "id": "b1", "name": "own"}  # fmt: skip
pytestmark = pytest.mark.slow
# Each would wait or read much; a range that no pipeline has must be refused before.
SECONDS = 20
KNOWN = {0, 2, 3, 4, 5, 75}


def some_days(toy: Toy) -> None:
    publish_toy(toy, "2024-01-01", "2024-01-03")


@pytest.fixture
def filled(prepared: Prepare) -> Toy:
    return prepared(some_days)


def cases() -> Iterator[tuple[str, str]]:
    for name, command in COMMANDS.items():
        for parameter in command.params:
            if parameter.name != "help" and not getattr(parameter, "is_flag", False):
                yield name, str(parameter.name)


def arguments(command: Any, hostile: str, value: str) -> list[str]:
    """A call of a command, complete, with one value replaced."""
    found: list[str] = []
    for parameter in command.params:
        wanted = parameter.name == hostile
        if not (
            wanted or parameter.required or parameter.name == "sql"
        ):  # without one, a shell reads this test's input
            continue
        text = value if wanted else GIVEN.get(str(parameter.name), "1")
        found += (
            [text]
            if isinstance(parameter, click.Argument) or not parameter.opts[0].startswith("-")
            else [parameter.opts[0], text]
        )
    return found


@pytest.fixture
def limited() -> Iterator[None]:
    def stop(_: int, __: FrameType | None) -> None:
        raise RuntimeError(f"it took longer than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(("name", "parameter"), list(cases()))
def test_no_value_is_a_traceback(
    filled: Toy, limited: None, name: str, parameter: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)  # a value may be the name of a file
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr(bills, "lock_text", lambda *_: "duckdb==1.0.0\n")  # a bill of all libraries takes seconds
    is_day = parameter in ("from_", "to", "on", "as_of", "effective_from")
    wrong = []
    for value in DAYS if is_day else TEXTS:
        signal.alarm(SECONDS)
        code, out, err = run(monkeypatch, capsys, name, *arguments(COMMANDS[name], parameter, value))
        signal.alarm(0)
        if code not in KNOWN or "Traceback" in err or "\x1b[2J" in out + err:
            wrong.append((value[:40], code, err.strip()[-600:]))
    assert wrong == []
