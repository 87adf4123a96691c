"""Pages that are followed to the letter: their fenced blocks, and their commands as a shell runs them."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

from markdown_it import MarkdownIt

from contrail_airflow.local.processes import wait_until
from contrail_airflow.operators.fork_server import SOCKET
from contrail_airflow.operators.forked_process import forked
from tests.conftest import PROJECT

SHELL, SHOWN = "shell", "text"
_CONTRAIL = ".venv/bin/contrail"
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
        "CONTRAIL_HOME": str(project / ".contrail"),
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
    """The lines of a page that a command did not print. A number stands for any, ``…`` for anything."""
    printed = " ".join(printed.split())
    return [line for line in shown.splitlines() if line.strip() and not re.search(_pattern(line), printed)]


def _pattern(line: str) -> str:
    signs = {"…": ".*"}
    parts = re.split(r"(\d[\d,.]*|…|\s+)", line.strip())
    numbers = (r"\d[\d,.]*" if part[:1].isdigit() else part for part in parts)
    return "".join(
        part if part.startswith(r"\d") else r"\s+" if part.isspace() else signs.get(part, re.escape(part))
        for part in numbers
    )
