"""Pages that are followed to the letter: their fenced blocks, and their commands as a shell runs them."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt

from tests.conftest import PROJECT

SHELL, SHOWN = "shell", "text"


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


def run(command: str, project: Path) -> str:
    """Run a command in the project's folder; what it printed."""
    shell = ["bash", "-c", command]
    done = subprocess.run(
        shell, cwd=project, env=environment(project), stdout=-1, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}"
    return done.stdout


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
