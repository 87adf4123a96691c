"""Pages that are followed to the letter: their fenced blocks, and their commands as a shell runs them."""

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from contrail.config.settings import settings
from contrail_airflow.local.processes import wait_until
from contrail_airflow.operators.fork_server import SOCKET
from contrail_airflow.operators.forked_process import forked
from tests.commands import contrail
from tests.conftest import PROJECT

SHELL, SHOWN = "shell", "text"
HOME = "practice"  # as docs/tutorials/practice.md has it
_CONTRAIL = ".venv/bin/contrail"
_FAILS = ' || echo "exit status $?"'
_ONLY_A_SHELL_KNOWS = {"|", "||", "&&", ";", ">", "<", "&"}


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """What each fenced block is for and its text, in the order of the page.

    It is a file when its fence names a path, commands when it is a shell's, and what they print when it is ``text``. Other
    blocks are for reading.
    """
    for token in MarkdownIt().parse(page.read_text()):
        language, _, path = token.info.partition(" ")
        if token.type == "fence" and (path or language in (SHELL, SHOWN)):
            yield path or language, token.content


def make_project(folder: Path) -> Path:
    """A project without pipelines, whose virtual environment is the one of these tests."""
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "dags").mkdir()
    (folder / "include" / "pipelines").mkdir(parents=True)
    (folder / "include" / "environments").symlink_to(PROJECT / "include" / "environments")
    return folder


def environment(project: Path) -> dict[str, str]:
    """The environment of its commands."""
    own = {
        "CONTRAIL_PROJECT": str(project),
        "CONTRAIL_HOME": str(project / HOME),
        "AIRFLOW_HOME": str(project / "airflow"),
        "COLUMNS": "200",
        "PYTHONPATH": os.pathsep.join([str(PROJECT / "include"), str(PROJECT / "plugins")]),
    }
    return {**os.environ, **own}


@contextmanager
def fork_server(project: Path) -> Iterator[None]:
    """Let a project's commands be forks of a process that has loaded the libraries: each would take seconds for that."""
    command = [sys.executable, "-m", "contrail_airflow.operators.fork_server", str(project)]
    with subprocess.Popen(command, env=environment(project)) as server:
        try:
            assert wait_until((project / SOCKET).exists, 60)
            yield
        finally:
            server.kill()


def run(command: str, project: Path) -> str:
    """Run a command in the project's folder; what it printed."""
    words = shlex.split(command)
    alone = words[0] == _CONTRAIL and not _ONLY_A_SHELL_KNOWS & set(words) and "$" not in command
    code, printed = (alone and _forked(words[1:], project)) or _in_a_shell(command, project)
    assert code == 0, f"$ {command}\n{printed}"
    return printed


def run_here(command: str, project: Path) -> str:
    """The same in this process, where it is a command of Contrail alone; the caller has set the environment."""
    line = command.removesuffix(_FAILS)
    words = shlex.split(line)
    if words[0] != _CONTRAIL or _ONLY_A_SHELL_KNOWS & set(words) or "$" in line:
        return run(command, project)
    printed = io.StringIO()
    settings.cache_clear()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), redirect_stderr(printed), chdir(project):
        code = contrail(patch, line)
    assert bool(code) is (line != command), f"$ {command}\n{printed.getvalue()}"
    return printed.getvalue() + (f"exit status {code}\n" if code else "")


def _in_a_shell(command: str, project: Path) -> tuple[int, str]:
    shell = ["bash", "-c", command]
    done = subprocess.run(
        shell, cwd=project, env=environment(project), stdout=-1, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.returncode, done.stdout


def _forked(words: list[str], project: Path) -> tuple[int, str] | None:
    """The exit code and what was printed; None where there is no fork server, or it reads changed code first."""
    with tempfile.TemporaryFile("w+") as output, chdir(project):
        command = [sys.executable, "-m", "contrail", *words]
        process = forked(command, environment(project), str(project), output)
        if process is None:
            return None
        with process.stderr:
            told = process.stderr.read()
        code = process.wait()
        output.seek(0)
        return code, output.read() + told


def missing(shown: str, printed: str) -> list[str]:
    """The lines of a page that a command did not print; ``…`` stands for anything.

    Whole numbers are compared as they are. A fraction may differ in its last digits, as it does on another processor.
    """
    printed = " ".join(printed.split())
    return [line for line in shown.splitlines() if line.strip() and not _printed(line, printed)]


def _printed(line: str, printed: str) -> bool:
    parts = re.split(r"(\d[\d,]*\.\d+|\d+|…|\s+)", line.strip())
    wanted = [float(part.replace(",", "")) for part in parts if "." in part and part[:1].isdigit()]
    found = re.finditer("".join(map(_pattern, parts)), printed)
    return any(all(map(_near, wanted, (float(one.replace(",", "")) for one in each.groups()))) for each in found)


def _pattern(part: str) -> str:
    if part == "…":
        return ".*?"
    if part[:1].isdigit():
        number = r"(\d[\d,]*\.\d+)" if "." in part else part
        return rf"(?<!\d)(?<!\d\.){number}(?!\d)"
    return r"\s+" if part.isspace() else re.escape(part)


def _near(wanted: float, found: float) -> bool:
    return abs(wanted - found) <= max(0.02 * abs(wanted), 0.0005)
