"""A newcomer follows docs/add-a-pipeline.md to the letter: writes its files, and runs its commands."""

import csv
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from tests.conftest import PROJECT

PAGE = PROJECT / "docs" / "add-a-pipeline.md"
# A block is a file when its fence names one, a command when it is a shell's, and else only for reading.
SHELL = "shell"
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("add-a-pipeline")]


def blocks() -> Iterator[tuple[str, str]]:
    """What each fenced block is for (a path, or ``shell``) and its text, in the order of the page."""
    for token in MarkdownIt().parse(PAGE.read_text()):
        language, _, path = token.info.partition(" ")
        if token.type == "fence" and (path or language == SHELL):
            yield path or SHELL, token.content


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty project, whose environment is the one of these tests."""
    folder = tmp_path_factory.mktemp("project")
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "dags").mkdir()
    (folder / "include").mkdir()
    (folder / "include" / "environments").symlink_to(PROJECT / "include" / "environments")
    return folder


@pytest.fixture(scope="module")
def environment(project: Path) -> dict[str, str]:
    own = {
        "CONTRAIL_PROJECT": str(project),
        "CONTRAIL_HOME": str(project / ".contrail"),
        "AIRFLOW_HOME": str(project / "airflow"),
        "PYTHONPATH": os.pathsep.join([str(PROJECT / "include"), str(PROJECT / "plugins")]),
    }
    return {**os.environ, **own}


@pytest.fixture(scope="module")
def printed(project: Path, environment: dict[str, str]) -> list[str]:
    """What each command of the page printed, in order."""
    found = []
    for purpose, text in blocks():
        if purpose == SHELL:
            found += [run(command, project, environment) for command in text.strip().splitlines()]
        else:
            (project / purpose).parent.mkdir(parents=True, exist_ok=True)
            (project / purpose).write_text(text)
    return found


def run(command: str, project: Path, environment: dict[str, str]) -> str:
    shell = ["bash", "-c", command]
    done = subprocess.run(shell, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_page_ends_with_predictions_of_its_own_data(printed: list[str]) -> None:
    rows = re.findall(r"2018-09-30 +│ (\d+) +│ (-?[\d.e+]+) +│ (\w+)", printed[-1])
    assert [int(hour) for hour, _, _ in rows] == list(range(24))
    night, rush_hour = float(rows[3][1]), float(rows[17][1])
    assert 0 < night < 1000 < 3000 < rush_hour
    assert {reason for _, _, reason in rows} <= {"hour", "day_of_week", "hour_cars_7d", "weekly_cars_28d"}


def test_the_model_has_passed_the_gate(printed: list[str], project: Path, environment: dict[str, str]) -> None:
    command = ".venv/bin/contrail query -p traffic 'SELECT alias, version_after FROM model_history' --format csv"
    moves = list(csv.DictReader(io.StringIO(run(command, project, environment))))
    assert {"alias": "champion", "version_after": "1"} in moves


def test_the_page_names_dags_that_airflow_loads(printed: list[str], project: Path, environment: dict[str, str]) -> None:
    load = (
        "from airflow.dag_processing.dagbag import DagBag; bag = DagBag('dags'); "
        "print(bag.import_errors, *sorted(bag.dag_ids))"
    )
    ids = [f"traffic__{name}" for name in ("backfill", "daily", "monitor", "score", "train")]
    assert run(f'.venv/bin/python -c "{load}"', project, environment).splitlines()[-1] == " ".join(["{}", *ids])


def test_a_reader_sees_each_file_of_the_folder_on_the_page() -> None:
    shown = [path for path, _ in blocks() if path != SHELL]
    names = ["pipeline.yaml", "source.py", "expectations.py", "features.py"]
    assert shown == [*(f"include/pipelines/traffic/{name}" for name in names), "dags/traffic.py"]
