"""A newcomer follows docs/add-a-pipeline.md to the letter: writes its files, and runs its commands."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from tests.conftest import PROJECT
from tests.tutorials import SHELL, SHOWN, blocks, fork_server, make_project, run

PAGE = PROJECT / "docs" / "add-a-pipeline.md"
NOTEBOOKS = PROJECT / "docs" / "notebooks.md"
PYTHON = "python"
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("add-a-pipeline")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty project."""
    folder = make_project(tmp_path_factory.mktemp("project"))
    with fork_server(folder):
        yield folder


@pytest.fixture(scope="module")
def printed(project: Path) -> list[str]:
    """What each command of the page printed, in order."""
    found = []
    for purpose, text in blocks(PAGE):
        if purpose == SHELL:
            found += [run(command, project) for command in text.strip().splitlines()]
        elif purpose != SHOWN:
            (project / purpose).parent.mkdir(parents=True, exist_ok=True)
            (project / purpose).write_text(text)
    return found


def test_the_page_ends_with_predictions_of_its_own_data(printed: list[str]) -> None:
    rows = re.findall(r"2018-09-30 +│ (\d+) +│ (-?[\d.e+]+) +│ (\w+)", printed[-1])
    assert [int(hour) for hour, _, _ in rows] == list(range(24))
    night, rush_hour = float(rows[3][1]), float(rows[17][1])
    assert 0 < night < 1000 < 3000 < rush_hour
    assert {reason for _, _, reason in rows} <= {"hour", "day_of_week", "hour_cars_7d", "weekly_cars_28d"}


def test_the_model_has_passed_the_gate(printed: list[str], project: Path) -> None:
    command = ".venv/bin/contrail query -p traffic 'SELECT alias, version_after FROM model_history' --format csv"
    moves = list(csv.DictReader(io.StringIO(run(command, project))))
    assert {"alias": "champion", "version_after": "1"} in moves


def test_the_page_names_dags_that_airflow_loads(printed: list[str], project: Path) -> None:
    load = (
        "from airflow.dag_processing.dagbag import DagBag; bag = DagBag('dags'); "
        "print(bag.import_errors, *sorted(bag.dag_ids))"
    )
    names = ("backfill", "daily", "maintain", "monitor", "replay", "rollback", "score", "train", "tune")
    ids = [f"traffic__{name}" for name in names]
    assert run(f'.venv/bin/python -c "{load}"', project).splitlines()[-1] == " ".join(["{}", *ids])


def test_a_reader_sees_each_file_of_the_folder_on_the_page() -> None:
    shown = [path for path, _ in blocks(PAGE) if path not in (SHELL, SHOWN)]
    names = ["pipeline.yaml", "source.py", "expectations.py", "features.py"]
    assert shown == [*(f"include/pipelines/traffic/{name}" for name in names), "dags/traffic.py"]


def test_a_notebook_reads_what_the_page_has_made(printed: list[str], project: Path) -> None:
    found = (token for token in MarkdownIt().parse(NOTEBOOKS.read_text()) if token.type == "fence")
    code = [token.content for token in found if token.info == PYTHON]
    facts = (
        "print(len(september.pandas()), rows, len(errors), champion.version, receipt.same, busiest.fetchall()[0][0])"
    )
    (project / "notebook.py").write_text("\n".join([*code, facts]))
    said = run(".venv/bin/python notebook.py", project).splitlines()[-1].split()
    assert said[:5] == ["720", "720", "24", "1", "True"]
    assert 14 <= int(said[5]) <= 18, "the busiest hour"
