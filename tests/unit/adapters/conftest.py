import pytest
from tests.toy_tables import copy_empty_registry
from tests.unit.methods.test_model_package import package  # noqa: F401

from contrail.adapters import training_runs
from contrail.adapters.training_runs import TrainingLog, TrainingSet
from contrail.config.settings import settings


@pytest.fixture
def current(home):
    copy_empty_registry(settings())
    return settings()


@pytest.fixture
def logged(current, package, tmp_path):  # noqa: F811
    """A logged training run, and a function that registers it."""
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    (artifacts / "note.txt").write_text("hello")
    package.save(tmp_path / "package")
    metrics = {
        "validation/auc": 0.7,
        "by_segment/depot/A :26 B/auc": 0.6,
        **{f"many/{i}": float(i) for i in range(950)},
    }
    params = {"eta": 0.1, **{f"p{i}": i for i in range(120)}}
    data = (TrainingSet("training_set", "abc", "dvc"),)
    log = TrainingLog("a run", params, metrics, {"code_revision": "r1"}, artifacts, data)
    return training_runs.log_training(current, "toy", log, tmp_path / "package", "probability")
