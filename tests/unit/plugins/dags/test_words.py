"""The words that people read in Airflow: complete, filled, and with commands that exist."""

import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import typer
from jinja2 import UndefinedError
from tests.conftest import PROJECT
from tests.unit.plugins.dags.rendering import build_dags

from contrail.cli.app import app
from contrail.config.pipeline import load_pipeline, pipeline_names
from contrail.config.settings import AnalystsSettings, settings
from contrail.config.spec import PipelineSpec
from contrail_airflow.dags import words
from contrail_airflow.dags.words import words_of

STATIC = PROJECT / "plugins" / "contrail_airflow" / "page" / "static"

NAMES = ("daily", "score", "monitor", "train", "tune", "backfill", "replay", "rollback", "maintain")
# What a command in the words leaves to its reader.
GIVEN = {"DATE": "2024-01-01", "N": "3", "NAME": "a-backfill", "WHY": "why"}


@pytest.fixture
def dags(home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The DAGs where analysts have a warehouse: with every task that there may be."""
    analysts = AnalystsSettings(kind="bigquery", project="p", location="EU", dataset="d", views_dataset="v")
    current = settings().model_copy(update={"analysts": analysts})
    monkeypatch.setattr("contrail_airflow.dags.policy.settings", lambda: current)
    return {dag_id: dag for name in pipeline_names() for dag_id, dag in build_dags(name).items()}


def specs() -> list[PipelineSpec]:
    """The shipped pipelines, also with the other choice for each that the words mention."""
    shipped = [load_pipeline(name).spec for name in pipeline_names()]
    other = []
    for spec in shipped:
        late = "keep" if spec.score.late_data == "rescore" else "rescore"
        approval = "none" if spec.gate.approval == "person" else "person"
        score = spec.score.model_copy(update={"late_data": late})
        gate = spec.gate.model_copy(update={"approval": approval})
        other.append(spec.model_copy(update={"score": score, "gate": gate}))
    return [*shipped, *other]


def test_every_dag_leads_to_its_view_of_the_page(dags: dict[str, Any]) -> None:
    views = set(re.findall(r'id: "(\w+)"', (STATIC / "views.js").read_text()))
    for dag_id, dag in dags.items():
        pipeline = dag_id.partition("__")[0]
        (address,) = re.findall(r"\]\((plugin/[^)]+)\)", dag.doc_md)
        assert address.startswith(f"plugin/contrail/contrail/?pipeline={pipeline}&view=")
        assert address.rpartition("=")[2] in views
        assert "dags.html" not in dag.doc_md, "nobody publishes the site"


def test_a_published_site_is_linked(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    current = settings().model_copy(update={"docs_url": "https://docs.example.org/"})
    monkeypatch.setattr("contrail_airflow.dags.policy.settings", lambda: current)
    assert "(https://docs.example.org/docs/dags.html)" in build_dags("bike_demand")["bike_demand__daily"].doc_md


def test_every_dag_and_every_task_has_the_words_of_its_file(dags: dict[str, Any]) -> None:
    for dag_id, dag in dags.items():
        pipeline, _, name = dag_id.partition("__")
        spec = load_pipeline(pipeline).spec
        found = words_of(name, spec)
        assert found.dag in dag.doc_md
        assert dag.description == found.dag.splitlines()[0]
        assert spec.owner in dag.doc_md and spec.title in dag.doc_md
        assert {task.task_id: task.doc_md for task in dag.tasks} == found.tasks, "each section is of a task"
        assert all(found.tasks.values()), dag_id


def test_no_placeholder_is_left(home: Path) -> None:
    for spec in specs():
        for name in NAMES:
            found = words_of(name, spec)
            for text in (found.dag, *found.tasks.values()):
                assert not re.search(r"[{}]|\bNone\b", text), f"{name}: {text}"


def test_a_placeholder_that_names_nothing_is_an_error(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "daily.md").write_text("A day of {{ spec.name }}, at {{ spec.hour }}.\n")
    monkeypatch.setattr(words, "__file__", str(tmp_path / "words.py"))
    words._templates.cache_clear()
    try:
        with pytest.raises(UndefinedError, match="hour"):
            words_of("daily", load_pipeline("flight_delay").spec)
    finally:
        words._templates.cache_clear()


def test_the_words_say_what_the_pipeline_chose(home: Path) -> None:
    late = {spec.score.late_data: words_of("daily", spec).tasks["late"] for spec in specs()}
    assert "It scores those days again." in late["rescore"]
    assert "It leaves their predictions as they are." in late["keep"]
    asks = {spec.gate.approval: words_of("train", spec).dag for spec in specs()}
    assert "The gate asks for a person." in asks["person"]
    assert "The gate asks for no person, unless you choose one" in asks["none"]


def test_a_persons_commands_exist(home: Path) -> None:
    """Every option is known, and those that must be given are; what the reader fills in is written in capitals."""
    for name in NAMES:
        found = words_of(name, load_pipeline("flight_delay").spec)
        for task, text in found.tasks.items():
            commands = re.findall(r"`(contrail [^`]+)`", text)
            assert commands, f"{name}.{task} names no command"
            for command in commands:
                parse(command)
        for command in re.findall(r"`(contrail [^`]+ --[^`]+)`", found.dag):
            parse(command)


def parse(command: str) -> None:
    """Read a command as the command line does, without running it."""
    _, verb, *arguments = [GIVEN.get(word, word) for word in shlex.split(command)]
    group: Any = typer.main.get_command(app)
    with group.make_context("contrail", [], resilient_parsing=True) as context:
        asked = group.get_command(context, verb)
        assert asked, command
        with asked.make_context(verb, arguments, parent=context):
            pass


def test_the_wheel_has_the_words(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert {f"contrail_airflow/dags/{name}.md" for name in NAMES} <= set(zipfile.ZipFile(wheel).namelist())
