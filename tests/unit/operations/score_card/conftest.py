"""The toy pipeline with evidence for each test of the score card, and a repository of its own that can lose some."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import PROJECT, TOY_PIPELINES, Prepare, Toy
from tests.toy_tables import copy_empty_registry, skip_what_only_train_needs

from contrail.adapters import data_versions, mlflow_store
from contrail.config.settings import settings
from contrail.config.spec import PipelineSpec
from contrail.operations.kept_checks import BENEFITS, COSTS, LEAKS, REPRODUCED, keep
from contrail.operations.score_card import model
from contrail.operations.score_card.repository import Repository
from contrail.operations.score_card.state import State

FIRST, TRAINED, LAST = "2024-01-01", "2024-02-09", "2024-03-10"
GATE, STRETCH = ("2024-02-11", "2024-02-24"), ("2024-02-25", "2024-03-07")
DAYS = ("2024-03-08", "2024-03-09", "2024-03-10")
_FILES = (
    ".github/workflows/ci.yaml", ".ci/run", "Makefile", "pyproject.toml", "docs/add-a-pipeline.md",
    "tests/integration/test_forget.py", "tests/integration/test_add_a_pipeline.py", "tests/integration/test_evolution.py",
    "tests/integration/test_chain.py", "tests/unit/stages/test_train.py", "tests/unit/operations/test_why.py",
    "tests/unit/operations/test_rollback_model.py", "tests/unit/notify/test_messages.py", "tests/unit/lake/test_audit.py",
)  # fmt: skip
FEATURE_TESTS = "tests/unit/pipelines/toy/test_features.py"


def evidence(toy: Toy) -> None:
    """The chain, a day at a time in the end, with all that is recorded of it."""
    copy_empty_registry(settings())
    toy.land(FIRST, LAST)
    for verb in ("ingest", "validate", "features"):
        toy.run(verb, FIRST, LAST)
    toy.run("train", FIRST, TRAINED, params={"nthread": 1})
    toy.run("promote", *GATE)
    toy.run("score", STRETCH[0], LAST)
    toy.run("drift", *STRETCH)
    for day in DAYS:
        toy.run("drift", day)
    toy.run("performance", STRETCH[0], "2024-03-09")
    toy.run("govern", LAST)
    for check in (LEAKS, COSTS, BENEFITS, REPRODUCED):
        numbers = dict.fromkeys(toy.spec.features.columns, 0.1)
        keep(toy.pipeline, toy.settings, check, passed=True, says="so it was", version="1", numbers=numbers)
    _trials()
    kept = evidence_file(data_versions.folders(settings())[1])
    kept.parent.mkdir(parents=True)
    kept.write_text("rows")


def _trials() -> None:
    client = mlflow_store.client(settings())
    experiment = client.get_experiment_by_name("toy").experiment_id
    for depth in (2, 3, 4):
        run = client.create_run(experiment)
        for name in ("max_depth", "eta"):
            client.log_param(run.info.run_id, name, depth)


@pytest.fixture(scope="session")
def whole_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the score card cites of this repository, with the toy as a shipped pipeline, committed."""
    root = tmp_path_factory.mktemp("repository")
    for name in _FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, root / name)
    makefile = (root / "Makefile").read_text()
    (root / "Makefile").write_text(
        makefile.replace('"flight_delay 2013', '"toy 2024-01-01 2024-02-01" "flight_delay 2013')
    )
    (root / ".github" / "CODEOWNERS").write_text("/include/pipelines/ @reviewers\n")
    (root / ".ci" / "run").write_text((root / ".ci" / "run").read_text() + "make bench\n")
    features = root / FEATURE_TESTS
    features.parent.mkdir(parents=True)
    features.write_text('def test_all():\n    assert "depot weight distance late_rate_7d"\n')
    folder = root / "include" / "pipelines" / "toy"
    shutil.copytree(TOY_PIPELINES / "toy", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "README.md").write_text("## Personal data\n\nParcels have no names.\n")
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *arguments], check=True)
    return root


@pytest.fixture
def repository(whole_repository: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(whole_repository, tmp_path / "repository"))


@pytest.fixture
def shown(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The toy pipeline with evidence for every test. Its few days are enough."""
    from contrail.config import pipeline

    skip_what_only_train_needs(monkeypatch)
    load = pipeline.load_spec

    def fuller(*given: Any, **how: Any) -> PipelineSpec:
        spec = load(*given, **how)
        retrain = spec.retrain.model_copy(update={"performance_margin": 5.0, "performance_days": 10})
        schedule = spec.schedule.model_copy(update={"train": "0 6 1 * *"})
        return spec.model_copy(update={"sensitive": ("depot",), "retrain": retrain, "schedule": schedule})

    monkeypatch.setattr(pipeline, "load_spec", fuller)
    monkeypatch.setattr(model, "RECENT_DAYS", 5)
    monkeypatch.setattr(model, "_LEAST_DAYS", 10)
    return prepared(evidence)


def state_of(toy: Toy, root: Path) -> State:
    """The state of the toy pipeline, as a pipeline of that repository."""
    state = State(toy.lake, replace(toy.pipeline, folder=root / "include" / "pipelines" / "toy"))
    state.repository = Repository(root)
    return state


def evidence_file(remote: Any) -> Any:
    """Where DVC would have the training set of a training without DVC."""
    return remote / "00" / ("0" * 30)
