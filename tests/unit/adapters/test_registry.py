import json
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from tests.unit.methods.test_model_package import made_features

from contrail.adapters import mlflow_store, registry
from contrail.adapters.registry import CHALLENGER, CHAMPION, LATEST
from contrail.config.settings import settings
from contrail.errors import DataError, EngineError, MissingInputError


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


def test_versions_are_found_in_the_database_as_mlflow_finds_them(current, logged, monkeypatch):
    for _ in range(2):
        register(current, logged)
    registry.tag_version(current, registry.versions(current, "toy")[0], {"decision": "pass"})
    mlflow_store.client(current).delete_model_version("toy", register(current, logged))
    found = registry.versions(current, "toy")
    assert [(one.version, one.tags.get("decision"), one.made_at is None) for one in found] == [
        ("1", "pass", False), ("2", None, False),
    ]  # fmt: skip
    monkeypatch.setattr(mlflow_store, "_SQL_STORES", ("http:",))
    assert registry.versions(current, "toy") == found


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
    assert registry.describe_version(current, "toy", "1").tags == {
        "decision": "pass",
        "status": "candidate",
        registry.CARD_DIGEST: logged.card_sha256,
    }
    assert uri == f"runs:/{logged.run_id}/decisions"


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("champion", r"pipeline 'toy' has no champion. Run: contrail promote --pipeline toy"),
        ("latest", r"pipeline 'toy' has no model in the registry. Run: contrail train --pipeline toy"),
        ("4", "no model version 4"),
        ("best", "'best' names no model of 'toy'"),
        ("99999999999999999999999", "'9+' names no model of 'toy'"),
        ("2147483648", "names no model of 'toy'"),
        ("²", "names no model of 'toy'"),
        ("007", "names no model of 'toy'"),
        ("", "names no model of 'toy'"),
    ],
)
def test_a_model_that_is_not_there_says_what_to_run(home, ref, message):
    with pytest.raises(MissingInputError, match=message):
        registry.resolve(settings(), "toy", ref)


def test_a_damaged_copy_is_fetched_again(current, logged, package):
    register(current, logged)
    folder = registry.resolve(current, "toy", "1").folder
    for name in ("model.ubj", "model.json", "reference.json"):
        (folder / name).write_bytes(b"x")
        assert registry.resolve(current, "toy", "1").package.booster_bytes == package.booster_bytes
    (folder / "model.ubj").unlink()
    assert registry.resolve(current, "toy", "1").package.booster_bytes == package.booster_bytes


def in_the_registry(current, name: str) -> Path:
    """A file of the only model, where MLflow keeps it."""
    (found,) = Path(current.registry.artifact_uri.removeprefix("file://")).rglob(name)
    return found


def reversed_categories(content: bytes) -> bytes:
    card = json.loads(content)
    return json.dumps({**card, "categories": {"depot": ["C", "B", "A"]}}).encode()


def without_digests(content: bytes) -> bytes:
    return json.dumps({**json.loads(content), "sha256": {}}).encode()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.json", reversed_categories),
        ("model.json", without_digests),
        ("model.json", lambda content: content.replace(b'"end": "2024-01-31"', b'"end": "2024-01-02"')),
        ("model.ubj", lambda content: content[: len(content) // 2]),
        ("model.ubj", lambda content: content.replace(b"learner", b"{L[#l\xff\xff")),
        ("reference.json", lambda _: b"{}"),
    ],
)
def test_a_model_that_is_damaged_in_the_registry_never_reaches_xgboost(current, logged, monkeypatch, name, damage):
    import xgboost

    register(current, logged)
    file = in_the_registry(current, name)
    content = file.read_bytes()
    file.write_bytes(damage(content))
    assert file.read_bytes() != content
    with monkeypatch.context() as watched:
        watched.setattr(xgboost.Booster, "load_model", lambda *_: pytest.fail("XGBoost read it"))
        with pytest.raises(DataError, match=rf"version 1 is damaged in the registry itself: .*{name} is not the file"):
            registry.resolve(current, "toy", "1")
    file.write_bytes(content)  # as the message advises
    assert registry.resolve(current, "toy", "1").version == "1"


def test_a_damaged_model_names_another_one_that_works(current, logged):
    register(current, logged)
    register(current, logged)
    mlflow_store.client(current).set_model_version_tag("toy", "2", registry.CARD_DIGEST, "0" * 64)
    with pytest.raises(DataError, match=r"or use another version: contrail promote --pipeline toy --model 1"):
        registry.resolve(current, "toy", "2")
    mlflow_store.client(current).delete_model_version_tag("toy", "1", registry.CARD_DIGEST)
    with pytest.raises(DataError, match=r"version 1 was registered without the digest of its card"):
        registry.resolve(current, "toy", "1")


def test_a_version_that_was_deleted_in_mlflow_is_missing_under_each_of_its_names(current, logged, monkeypatch):
    for _ in range(3):
        register(current, logged)
    registry.set_alias(current, registry.describe_version(current, "toy", "2"), CHAMPION)
    for version in ("2", "3"):
        mlflow_store.client(current).delete_model_version("toy", version)
    for _ in range(2):
        assert registry.alias_version(current, "toy", CHAMPION) is None
        assert registry.resolve(current, "toy", LATEST).version == "1"
        assert [one.version for one in registry.versions(current, "toy")] == ["1"]
        with pytest.raises(MissingInputError, match=r"no model version 2: .* deleted it in MLflow\. Versions: 1\."):
            registry.resolve(current, "toy", "2")
        with pytest.raises(MissingInputError, match="no model version 3"):
            registry.describe_version(current, "toy", "3")
        monkeypatch.setattr(mlflow_store, "_SQL_STORES", ("http:",))


def test_a_registry_that_does_not_answer_is_no_missing_model(current, logged, monkeypatch):
    register(current, logged)
    monkeypatch.setattr(mlflow_store, "_SQL_STORES", ("http:",))
    lost = MlflowException("connection refused")
    monkeypatch.setattr("mlflow.MlflowClient.get_model_version_by_alias", lambda *_: (_ for _ in ()).throw(lost))
    with pytest.raises(EngineError, match="does not answer: connection refused"):
        registry.resolve(current, "toy", CHAMPION)
