"""The fork server: a command sees its own surroundings and today's code, and no command is lost with the server."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contrail_airflow.local.processes import start_time, wait_until
from contrail_airflow.operators.forked_process import FORK_SERVER, forked
from contrail_airflow.operators.stage_process import StageProcess

# In place of contrail, its children run a script with what the module `tale` says.
_SERVER = """
import importlib, pathlib, sys
from contrail_airflow.operators.fork_server import become_next_command
become_next_command(pathlib.Path(sys.argv[1]), lambda: importlib.import_module("tale"))
exec(sys.argv[1])
"""


def _command(script: str) -> list[str]:
    return [sys.executable, "-m", "contrail", script]


def _told(folder: Path, script: str) -> str | None:
    """What a script prints in a fork, or None when the server did not take it."""
    with tempfile.TemporaryFile("w+") as output:
        process = forked(_command(script), {**os.environ, "OWN": "mine"}, str(folder), output)
        if process is None:
            return None
        assert process.wait() == 0, process.stderr.read()
        output.seek(0)
        return output.read()


@contextmanager
def _serving(folder: Path, *command: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, *command, str(folder)], env={**os.environ, **environment}) as server:
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture
def tale(tmp_path: Path) -> Path:
    module = tmp_path / "tale.py"
    module.write_text("TOLD = 'one'")
    return module


@pytest.fixture
def server(tmp_path: Path, tale: Path) -> Iterator["subprocess.Popen[bytes]"]:
    path = os.pathsep.join([str(tale.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep), *_paths()])
    with _serving(tmp_path, "-c", _SERVER, PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1") as process:
        assert wait_until(lambda: _told(tmp_path, "pass") is not None, 20)
        yield process


def _paths() -> list[str]:
    return [path for path in sys.path if path.endswith(("include", "plugins"))]


def test_a_command_has_its_own_arguments_environment_and_folder(
    server: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    script = (
        "import os; print(os.getcwd(), os.environ['OWN'], os.getsid(0) == os.getpid(), os.listdir('/proc/self/fd'))"
    )
    where, own, leads, *files = (_told(tmp_path, script) or "").split()
    assert (where, own, leads) == (str(folder), "mine", "True")
    assert len(files) == 4, "the three of every process, and the list itself"


def test_a_list_of_processes_shows_a_command_by_its_name(server: object, tmp_path: Path) -> None:
    script = "import pathlib; print(pathlib.Path('/proc/self/cmdline').read_text())"
    assert (_told(tmp_path, script) or "").startswith("contrail import pathlib")


def test_a_command_sees_the_code_that_is_there_now(server: object, tmp_path: Path, tale: Path) -> None:
    script = "import tale; print(tale.TOLD)"
    assert _told(tmp_path, script) == "one\n"
    tale.write_text("TOLD = 'two, and longer'")
    assert _told(tmp_path, script) is None, "the command starts in the usual way, while the server reads the code"
    assert wait_until(lambda: _told(tmp_path, script) is not None, 20)
    assert _told(tmp_path, script) == "two, and longer\n"


def test_a_command_ends_with_its_server(
    server: "subprocess.Popen[bytes]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FORK_SERVER, str(tmp_path))
    mark = tmp_path / "pid"
    script = f"import os, pathlib, sys, time; pathlib.Path({str(mark)!r}).write_text(str(os.getpid())); time.sleep(300)"
    stage = StageProcess(_command(script), {})
    assert wait_until(lambda: mark.exists() and mark.read_text() != "", 20)
    server.send_signal(signal.SIGKILL)
    code, _, _ = stage.wait(lambda line: None)
    assert code == -9
    assert wait_until(lambda: start_time(int(mark.read_text())) is None, 20)


def test_without_a_server_nothing_is_forked(tmp_path: Path) -> None:
    assert _told(tmp_path, "pass") is None
    with tempfile.TemporaryFile("w+") as output:
        assert forked(_command("pass"), {}, None, output) is None
        assert forked([sys.executable, "-c", "pass"], {}, str(tmp_path), output) is None


@pytest.mark.slow
def test_a_forked_command_says_what_a_new_one_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real server with the real command: a result, and an error with its exit code."""

    def said(*arguments: str) -> tuple[int, list[str], str]:
        return StageProcess([sys.executable, "-m", "contrail", *arguments], {}).wait(lambda line: None)

    commands = [
        ("pipelines",),
        ("ingest", "-p", "toi", "--from", "2024-01-01", "--to", "2024-01-01"),
        ("--hlp",),
    ]
    wanted = [said(*command) for command in commands]
    with _serving(tmp_path, "-m", "contrail_airflow.operators.fork_server"):
        monkeypatch.setenv(FORK_SERVER, str(tmp_path))
        started = time.monotonic()
        while _told(tmp_path, "pipelines") is None:
            assert time.monotonic() - started < 120
            time.sleep(0.2)
        assert [said(*command) for command in commands] == wanted
    assert [code for code, _, _ in wanted] == [0, 2, 2]
