import json

import pytest
from tests.unit.methods.test_model_package import made_features

from contrail.adapters import mlflow_store, registry
from contrail.adapters.registry import CHALLENGER, CHAMPION, LATEST
from contrail.config.settings import settings
from contrail.errors import DataError, MissingInputError


def register(current, logged) -> str:
    return registry.register(current, "toy", logged, {"status": "candidate"}, "about it")


def test_a_registered_version_is_fetched_once_and_predicts(current, logged, package):
    assert register(current, logged) == "1"
    found = registry.resolve(current, "toy", "1")
    assert found.folder == current.home_path / "models" / "toy" / "1"
    assert found.package.predict(made_features()).tolist() == package.predict(made_features()).tolist()
    (found.folder / "marker").touch()
    assert registry.resolve(current, "toy", LATEST).version == "1"
    assert (found.folder / "marker").exists()


def test_no_file_of_a_version_is_a_pickle_and_it_has_a_signature(current, logged):
    import mlflow

    register(current, logged)
    folder = registry.resolve(current, "toy", "1").folder
    assert not [path for path in folder.rglob("*") if path.suffix in {".pkl", ".pickle", ".joblib", ".cloudpickle"}]
    signature = mlflow.models.get_model_info("models:/toy/1").signature
    assert signature.inputs.input_names() == ["depot", "weight", "distance", "late_rate_7d"]
    assert json.loads(signature.inputs.to_json())[0] == {"type": "string", "name": "depot", "required": False}
    assert signature.outputs.input_names() == ["probability"]


def test_mlflow_itself_can_load_and_predict(current, logged, package):
    import mlflow

    register(current, logged)
    loaded = mlflow.pyfunc.load_model("models:/toy/1")
    rows = made_features(20)
    assert loaded.predict(rows.to_pandas()).tolist() == package.predict(rows).tolist()


def test_aliases_move_and_are_found_in_the_database_as_mlflow_finds_them(current, logged):
    register(current, logged)
    assert register(current, logged) == "2"
    entry = registry.describe_version(current, "toy", "1")
    registry.set_alias(current, entry, CHAMPION)
    assert registry.alias_version(current, "toy", CHAMPION) == "1"
    assert registry.alias_version(current, "toy", CHALLENGER) is None
    for ref in (CHAMPION, LATEST, "1", "2", CHALLENGER, "9"):
        assert registry._find_in_database(current, "toy", ref) == registry._find_with_client(current, "toy", ref)


def test_a_store_that_is_not_a_database_is_asked_through_mlflow(current, logged, monkeypatch):
    register(current, logged)
    monkeypatch.setattr(mlflow_store, "_SQL_STORES", ("http:",))
    assert registry.resolve(current, "toy", LATEST).version == "1"
    with pytest.raises(MissingInputError, match="no model version 3"):
        registry.resolve(current, "toy", "3")


def test_training_windows_are_found_in_the_database_as_mlflow_finds_them(current, logged, monkeypatch):
    for window in ("2024-01-01..2024-01-31", "2024-01-08..2024-02-07"):
        registry.register(current, "toy", logged, {"training_window": window, "status": "candidate"}, "about it")
    register(current, logged)
    expected = {"1": "2024-01-01..2024-01-31", "2": "2024-01-08..2024-02-07"}
    assert registry.training_windows_of(current, "toy") == expected
    assert registry.training_windows_of(current, "other") == {}
    monkeypatch.setattr(mlflow_store, "_SQL_STORES", ("http:",))
    assert registry.training_windows_of(current, "toy") == expected


def test_looking_for_trainings_makes_no_registry(home):
    assert registry.training_windows_of(settings(), "toy") == {}
    assert not (settings().home_path / "mlflow").exists()


def test_a_registry_made_anew_does_not_give_the_old_version_of_the_same_number(current, logged):
    register(current, logged)
    folder = registry.resolve(current, "toy", "1").folder
    (folder / "marker").touch()
    (folder / ".source").write_text("models:/m-of-another-registry")
    registry.resolve(current, "toy", "1")
    assert not (folder / "marker").exists()


def test_tags_and_files_are_kept_with_a_version(current, logged, tmp_path):
    register(current, logged)
    entry = registry.describe_version(current, "toy", LATEST)
    registry.tag_version(current, entry, {"decision": "pass"})
    folder = tmp_path / "decision"
    folder.mkdir()
    (folder / "v1.json").write_text("{}")
    uri = registry.log_files(current, entry, folder, "decisions")
    assert registry.describe_version(current, "toy", "1").tags == {"decision": "pass", "status": "candidate"}
    assert uri == f"runs:/{logged.run_id}/decisions"


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("champion", r"pipeline 'toy' has no champion. Run: contrail promote --pipeline toy"),
        ("latest", r"pipeline 'toy' has no model in the registry. Run: contrail train --pipeline toy"),
        ("4", "no model version 4"),
        ("best", "'best' names no model of 'toy'"),
    ],
)
def test_a_model_that_is_not_there_says_what_to_run(home, ref, message):
    with pytest.raises(MissingInputError, match=message):
        registry.resolve(settings(), "toy", ref)


def test_a_damaged_copy_is_refused(current, logged):
    register(current, logged)
    folder = registry.resolve(current, "toy", "1").folder
    (folder / "model.ubj").write_bytes(b"x")
    with pytest.raises(DataError, match="Delete"):
        registry.resolve(current, "toy", "1")
