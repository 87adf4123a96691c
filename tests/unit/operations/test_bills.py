"""Bills of materials: valid in CycloneDX's own schema, and complete."""

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from jsonschema import Draft7Validator
from rfc3986_validator import validate_rfc3986
from tests.commands import contrail
from tests.conftest import PROJECT, Prepare, Toy
from tests.toy_tables import copy_empty_registry, publish_toy, skip_what_only_train_needs

from contrail.adapters import registry
from contrail.config.settings import settings
from contrail.errors import EngineError
from contrail.operations import bills, reproduce
from contrail.operations.bills import environment_bill, licences, model_bill
from contrail.revision import locked_versions


def candidate(toy: Toy) -> None:
    publish_toy(toy, "2024-01-01", "2024-02-03")
    copy_empty_registry(settings())
    toy.run("train", "2024-01-01", "2024-01-31", params={"nthread": 1})


@pytest.fixture
def trained(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    skip_what_only_train_needs(monkeypatch)
    return prepared(candidate)


@Draft7Validator.FORMAT_CHECKER.checks("iri-reference")
def is_reference(value: object) -> bool:
    """An address of the letters that a URI may have: those of Contrail's bills have no others."""
    return not isinstance(value, str) or bool(validate_rfc3986(value, rule="URI_reference"))


def check(bill: dict) -> None:  # type: ignore[type-arg]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None


@pytest.mark.parametrize("wrong", [
    {"metadata": {"timestamp": "yesterday"}},
    {"externalReferences": [{"type": "website", "url": "https://a b"}]},
])  # fmt: skip
def test_the_schema_knows_a_time_and_an_address(wrong: dict[str, object]) -> None:
    bill = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1}
    check(bill)
    with pytest.raises(AssertionError):
        check({**bill, **wrong})


def properties(component: dict) -> dict[str, str]:  # type: ignore[type-arg]
    return {one["name"].removeprefix("contrail:"): one["value"] for one in component.get("properties", [])}


def test_the_environments_bill_has_each_locked_library(home: object) -> None:
    bill = environment_bill(settings())
    check(bill)
    listed = {one["name"] for one in bill["components"]}
    assert listed == set(locked_versions(PROJECT))
    needs = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    (pandas,) = [one["bom-ref"] for one in bill["components"] if one["name"] == "pandas"]
    assert pandas in needs["application:contrail@0.1.0"]
    assert any(ref.startswith("pypi:python-dateutil@") for ref in needs[pandas])
    found = licences(bill)
    assert sorted(name for names in found.values() for name in names) == sorted(
        one["name"] for one in bill["components"]
    )
    assert "pygit2" in found["GPLv2 with linking exception"]


def test_a_promotion_meanwhile_mixes_no_two_versions(trained: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command that asks for an entry and its model asks for the model by its number."""
    asked = list[str]()

    def promoted(*given: object) -> None:
        asked.append(str(given[-1]))
        raise EngineError("another version is champion by now")

    registry.set_alias(settings(), registry.describe_version(settings(), "toy", "1"), "champion")
    for room in (bills, reproduce):
        monkeypatch.setattr(room, "resolve", promoted)
    with pytest.raises(EngineError):
        model_bill(settings(), trained.pipeline, "champion")
    with pytest.raises(EngineError):
        reproduce.reproduce(settings(), "toy", "champion")
    assert asked == ["1", "1"]


def test_a_models_bill_says_what_made_it(trained: Toy) -> None:
    bill = model_bill(settings(), trained.pipeline, "1")
    check(bill)
    card = registry.resolve(settings(), "toy", "1").package.card
    model = bill["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "toy", "1")
    assert model["hashes"] == [{"alg": "SHA-256", "content": card.sha256["model.ubj"]}]
    assert json.loads(properties(model)["parameters"]) == card.training.params
    parts = {one["type"]: one for one in bill["components"] if one["type"] != "library"}
    assert parts["data"]["hashes"] == [{"alg": "MD5", "content": card.training.training_set_md5}]
    assert json.loads(properties(parts["data"])["snapshots"]) == card.training.snapshots
    assert parts["application"]["version"] == card.training.code_revision
    assert properties(parts["application"])["libraries"] == "listed"
    assert {one["name"] for one in bill["components"] if one["type"] == "library"} == set(locked_versions(PROJECT))
    assert model_bill(settings(), trained.pipeline, "1") == bill, "the same version has the same bill"


def test_a_lock_that_nobody_has_is_said_and_not_guessed(trained: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contrail.operations.bills.lock_text", lambda *_: None)
    bill = model_bill(settings(), trained.pipeline, "1")
    check(bill)
    (code,) = [one for one in bill["components"] if one["type"] == "application"]
    assert properties(code)["libraries"].startswith("unknown")
    assert licences(bill) == {}


def test_the_command_writes_the_file_whole_and_names_what_is_missing(
    trained: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = settings().home_path / "bills" / "toy.json"
    assert contrail(monkeypatch, f"contrail sbom 1 -p toy --output {target}") == 0
    assert json.loads(target.read_text())["metadata"]["component"]["name"] == "toy"
    assert "Licences" in capsys.readouterr().err
    assert contrail(monkeypatch, "contrail sbom 7 -p toy") == 3
    assert "version 7" in capsys.readouterr().err
