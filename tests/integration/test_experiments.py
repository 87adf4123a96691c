"""``dvc exp run`` as a scientist types it: the real DVC, in a repository of its own, in a sandbox."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.conftest import PROJECT, TOY_PIPELINES, Prepare, Toy
from tests.toy_tables import copy_empty_registry
from tests.unit.stages.test_sandboxed import files_of

from contrail.adapters import mlflow_store
from contrail.operations import sandboxes

pytestmark = pytest.mark.slow


def fill(toy: Toy) -> None:
    toy.land("2024-01-01", "2024-02-10")
    for verb in ("ingest", "validate"):
        toy.run(verb, "2024-01-01", "2024-02-10")
    copy_empty_registry(toy.settings)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The shipped dvc.yaml and params.yaml, for the toy pipeline and a window of its own."""
    folder = tmp_path / "repository"
    shutil.copytree(TOY_PIPELINES / "toy", folder / "include" / "pipelines" / "toy")
    (folder / "experiments").mkdir()
    (folder / ".venv").symlink_to(PROJECT / ".venv")
    (folder / ".gitignore").write_text(".venv\n")
    stages = (PROJECT / "dvc.yaml").read_text().replace("pipeline: flight_delay", "pipeline: toy")
    (folder / "dvc.yaml").write_text(stages)
    given = (
        (PROJECT / "params.yaml").read_text().replace("2013-01-01", "2024-01-01").replace("2013-08-31", "2024-02-10")
    )
    (folder / "params.yaml").write_text(given)
    return folder


def call(folder: Path, home: Path, *line: str) -> str:
    # As a checkout has it: the package that is tested, not the one that is installed.
    own = {"PYTHONPATH": f"{PROJECT}/include:{PROJECT}/plugins:{PROJECT}", "CONTRAIL_HOME": str(home)}
    people = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(line, cwd=folder, env={**os.environ, **own, **people}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_experiment_leaves_the_main_lake_as_it_is(prepared: Prepare, repository: Path) -> None:
    toy = prepared(fill)
    home = toy.settings.home_path
    before = files_of(home)
    for line in ("git init -q", "git add -A", "git commit -qm begin"):
        call(repository, home, *line.split())
    dvc = str(PROJECT / ".venv" / "bin" / "dvc")
    call(repository, home, dvc, "init", "-q")
    call(repository, home, "git", "commit", "-qam", "dvc")
    call(repository, home, dvc, "exp", "run", "-S", "train.max_depth=3")
    assert files_of(home) == before
    (line,) = sandboxes.listed(toy.settings)
    assert (line.name, line.pipeline) == ("experiments", "toy")
    assert {"features"} <= set(line.changed)
    metrics = json.loads((repository / "experiments" / "metrics.json").read_text())
    assert metrics["validation"]
    mlflow = mlflow_store.client(toy.settings)
    own = mlflow.get_experiment_by_name("sandbox_experiments__toy")
    assert own
    assert [run.data.params["max_depth"] for run in mlflow.search_runs([own.experiment_id])] == ["3"]
    assert mlflow.get_experiment_by_name("toy") is None
    sandboxes.drop(toy.settings, "experiments")
    assert files_of(home) == before
