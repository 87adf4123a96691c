import sqlite3

import pytest

from contrail.adapters import mlflow_store, training_runs
from contrail.adapters.training_runs import TrainingLog
from contrail.errors import EngineError


def test_everything_of_a_run_is_logged(current, logged):
    run = mlflow_store.client(current).get_run(logged.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["validation/auc"] == 0.7
    assert run.data.metrics["by_segment/depot/A :26 B/auc"] == 0.6
    assert (len(run.data.metrics), len(run.data.params)) == (952, 121)
    assert run.data.tags["code_revision"] == "r1"
    assert run.inputs.dataset_inputs[0].dataset.digest == "abc"
    assert run.info.artifact_uri.startswith(current.registry.artifact_uri)
    assert [file.path for file in mlflow_store.client(current).list_artifacts(logged.run_id)] == ["note.txt"]


def test_a_full_disk_is_an_error_to_retry_and_the_run_has_failed(current, package, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    package.save(tmp_path / "package")
    (tmp_path / "artifacts").mkdir()
    monkeypatch.setattr("mlflow.MlflowClient.log_artifacts", full)
    log = TrainingLog("a run", {}, {}, {}, tmp_path / "artifacts")
    with pytest.raises(EngineError, match=r"could not log the training of 'toy' in sqlite:.*No space left on device"):
        training_runs.log_training(current, "toy", log, tmp_path / "package", "probability")
    (run,) = mlflow_store.client(current).search_runs(["1"])
    assert run.info.status == "FAILED"


def test_a_database_that_takes_no_experiment_is_an_error_to_retry(current, package, tmp_path):
    package.save(tmp_path / "package")
    database = sqlite3.connect(current.registry.tracking_uri.removeprefix("sqlite:///"))
    database.execute("CREATE TRIGGER full BEFORE INSERT ON experiments BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    log = TrainingLog("a run", {}, {}, {}, tmp_path / "artifacts")
    with pytest.raises(EngineError, match=r"could not log the training of 'new' in sqlite:.*disk is full"):
        training_runs.log_training(current, "new", log, tmp_path / "package", "probability")


@pytest.mark.parametrize("sandbox", [None, "mine"])
def test_runs_are_read_by_the_client_where_no_database_takes_queries(current, monkeypatch, sandbox):
    monkeypatch.setattr(training_runs, "_PAGE", 2)
    client = mlflow_store.client(current)
    for place, eta in ((None, "0.1"), ("mine", "0.2")):
        experiment = client.create_experiment(current.model_copy(update={"sandbox": place}).stored("own"))
        made = [client.create_run(experiment) for _ in range(4)]
        for run in made[1:]:
            client.log_param(run.info.run_id, "eta", eta)
        client.delete_run(made[3].info.run_id)
    own = current.model_copy(update={"sandbox": sandbox})
    asked = training_runs.runs_of(own, "own")
    assert [run.params for run in asked] == [{"eta": "0.2" if sandbox else "0.1"}] * 2
    monkeypatch.setattr(training_runs, "ask_database", lambda *_: None)
    assert sorted(training_runs.runs_of(own, "own"), key=str) == sorted(asked, key=str)
    assert training_runs.runs_of(own, "nobody") == []
