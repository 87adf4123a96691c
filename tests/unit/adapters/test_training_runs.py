from contrail.adapters import mlflow_store


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
