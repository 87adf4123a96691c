"""A stranger brings a file, and sees first predictions: by the commands that ``contrail new`` prints, without an edit.

Where only a person can decide, one edit that the command has named is enough.
"""

import csv
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import strangers
from tests.conftest import PROJECT
from tests.tutorials import environment, fork_server, make_project, run

from contrail_airflow.operators.fork_server import SOCKET

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("new-pipeline")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a server that forks for each command, of whatever project."""
    folder = make_project(tmp_path_factory.mktemp("server"))
    with fork_server(folder):
        yield folder / SOCKET


@pytest.fixture
def project(tmp_path: Path, server: Path) -> Path:
    """A project without pipelines. Its commands are forks: each would take seconds to load its libraries."""
    made = make_project(tmp_path)
    (made / SOCKET).symlink_to(server)
    return made


def made(project: Path, sample: Path, *options: str) -> list[str]:
    """Make the pipeline ``own``; the commands that lead to its first predictions."""
    said = run(f".venv/bin/contrail new own --sample '{sample}' {' '.join(options)}", project)
    commands = said.split("Next:")[1].strip().splitlines()
    assert commands[0].split() == ["contrail", "check", "-p", "own", "--thorough"]
    return [f".venv/bin/{command.strip()}" for command in commands]


def predictions(project: Path) -> list[dict[str, str]]:
    query = ".venv/bin/contrail query -p own 'SELECT * FROM predictions_latest' --format csv"
    return list(csv.DictReader(io.StringIO(run(query, project))))


def champion(project: Path) -> str:
    query = ".venv/bin/contrail query -p own 'SELECT version_after FROM model_history' --format csv"
    return run(query, project).splitlines()[-1]


@pytest.mark.parametrize(
    ("make", "column", "rows"),
    [(strangers.sales, "prediction", 3), (strangers.tickets, "probability", 1), (strangers.umsatz, "prediction", 4)],
    ids=["sales", "tickets", "umsatz"],
)
def test_a_file_becomes_predictions_without_an_edit(
    project: Path, make: Callable[[Path], Path], column: str, rows: int
) -> None:
    commands = made(project, make(project))
    for command in commands:
        printed = run(command, project)
    assert "No rows" not in printed
    assert champion(project) == "1", "the model is better than the mean of its training"
    found = predictions(project)
    assert len(found) >= rows
    assert all(float(row[column]) for row in found)
    quarantine = ".venv/bin/contrail query -p own 'SELECT count(*) FROM quarantine' --format csv"
    assert run(quarantine, project).split()[-1] == "0", "the contract of a sample holds for the sample"
    pytest_own = ".venv/bin/python -m pytest -q -p no:cacheprovider --import-mode=importlib include/pipelines/own/tests"
    assert "2 passed" in run(pytest_own, project)


def test_one_named_edit_is_enough_where_a_person_decides(project: Path) -> None:
    commands = made(project, strangers.tickets(project, closed=False))
    source = project / "include" / "pipelines" / "own" / "source.py"
    assert "DECIDE: when churned is really known: LABEL_AFTER in" in " ".join(
        source.read_text().replace("#", "").split()
    )
    source.write_text(source.read_text().replace("LABEL_AFTER = 1", "LABEL_AFTER = 2"))
    for command in commands[:-2]:
        run(command, project)
    label = (
        "SELECT min(date_diff('hour', a.opened_at, o.outcome_known_at)) FROM validated_asked a "
        "JOIN validated_outcomes o USING (ticket_id)"
    )
    assert run(f'.venv/bin/contrail query -p own "{label}" --format csv', project).split()[-1] == "48"
    run(commands[-2], project)
    assert predictions(project)


def test_what_is_written_has_types(project: Path) -> None:
    for name, make in (("shop", strangers.sales), ("tickets", strangers.tickets), ("power", strangers.power)):
        sample = make(project)
        run(f".venv/bin/contrail new {name} --sample '{sample}'", project)
    own = {**environment(project), "MYPYPATH": os.pathsep.join([str(project / "include"), str(PROJECT / "plugins")])}
    # With what `make check` has found of the libraries, if it has run: a cache of this test's own would take a minute.
    check = [sys.executable, "-m", "mypy", "--config-file", str(PROJECT / "pyproject.toml")]
    files = [project / "include" / "pipelines", project / "dags"]
    done = subprocess.run([*check, *files], cwd=PROJECT, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
