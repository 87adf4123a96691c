"""The card of a version through a training, a decision, a rollback, and a version from before there were cards."""

import errno
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from tests.toy_tables import copy_empty_registry, publish_toy, skip_what_only_train_needs

from contrail.adapters import mlflow_store, registry
from contrail.config.settings import settings
from contrail.errors import DataError, EngineError, GateRefusedError, MissingInputError
from contrail.methods.findings import FINDINGS, findings_of
from contrail.methods.model_package import CARD, ModelPackage
from contrail.operations.rollback_model import plan_rollback, roll_back
from contrail.reports.model_card import model_card_text, render_model_card
from contrail.stages import promote
from contrail.stages.model_cards import card_records

WINDOW, GATE = ("2024-01-01", "2024-01-31"), ("2024-02-11", "2024-03-09")


def two_candidates(toy) -> None:
    """Two trainings of the same days."""
    publish_toy(toy, "2024-01-01", "2024-03-10")
    copy_empty_registry(settings())
    for _ in range(2):
        toy.run("train", *WINDOW, params={"nthread": 1})


@pytest.fixture
def ready(prepared, monkeypatch):
    skip_what_only_train_needs(monkeypatch)
    return prepared(two_candidates)


def kept(version: str) -> tuple[str, str]:
    """The page and the Markdown that MLflow has."""
    entry = registry.describe_version(settings(), "toy", version)
    run = mlflow_store.client(settings()).get_run(entry.run_id)
    folder = Path(run.info.artifact_uri.removeprefix("file://")) / "model_card"
    assert entry.tags["model_card"] == f"runs:/{entry.run_id}/model_card/model_card.html"
    return (folder / "model_card.html").read_text(), (folder / "model_card.md").read_text()


def of(toy, version: str = "1"):
    return card_records(toy.lake, toy.pipeline, version)


def change(monkeypatch, toy, **values) -> None:
    spec = toy.spec.model_copy(update=values)
    monkeypatch.setattr("contrail.config.pipeline.load_spec", lambda _: spec)


def test_a_training_makes_a_card_without_a_champion_and_mlflow_has_what_the_command_shows(ready):
    records = of(ready)
    page, text = kept("1")
    assert (page, text) == (render_model_card(records), model_card_text(records))
    assert records.decision is None
    assert "A candidate that no gate has judged" in text
    assert records.cost is not None
    assert 0 < records.cost.core_seconds < 1000


def test_equal_trainings_have_equal_findings_which_the_package_vouches_for(ready):
    first, second = (registry.resolve(settings(), "toy", version).folder for version in ("1", "2"))
    assert (first / FINDINGS).read_bytes() == (second / FINDINGS).read_bytes()
    assert (first / CARD).read_bytes() == (second / CARD).read_bytes()
    digest = hashlib.sha256((first / FINDINGS).read_bytes()).hexdigest()
    assert ModelPackage.load(first).card.sha256[FINDINGS] == digest
    (first / FINDINGS).write_bytes((first / FINDINGS).read_bytes().replace(b"Late parcels", b"Fair parcels"))
    with pytest.raises(DataError, match=r"findings\.json is not the file that was trained"):
        ModelPackage.load(first)
    (first / FINDINGS).unlink()
    with pytest.raises(DataError, match=r"has no findings\.json, but its card names it"):
        findings_of(ModelPackage.load(first))


def test_a_decision_and_a_rollback_are_on_the_cards_of_both_versions(ready):
    ready.run("promote", *GATE, model="1", person="ann", reason="the first")
    assert "Champion for days from 2024-03-10 on" in kept("1")[1]
    assert "ann asked for the decision" in kept("1")[1]
    with pytest.raises(GateRefusedError):
        ready.run("promote", *GATE, model="2", approval="refused", person="grace", reason="not yet")
    assert "The gate refused it" in kept("2")[1]
    roll_back(plan_rollback(ready.pipeline, ready.lake, "2"), person="grace", reason="a trial")
    assert "It was champion once" in kept("1")[1]
    assert "| 1 | 2 |" in kept("2")[1]
    assert "grace | a trial |" in kept("1")[1]
    for version in ("1", "2"):
        assert kept(version)[0] == render_model_card(of(ready, version))


@pytest.mark.parametrize("error", [EngineError("the bucket is full"), OSError(errno.ENOSPC, "No space left on device")])
def test_a_card_that_cannot_be_written_fails_no_decision(ready, monkeypatch, error):
    real, told = registry.log_files, []

    def refused(current, version, folder, path):
        if path == "model_card":
            raise error
        return real(current, version, folder, path)

    monkeypatch.setattr(registry, "log_files", refused)
    run = ready.stage_run("promote", *GATE, model="1")
    object.__setattr__(run, "progress", told.append)
    assert promote.execute(run).details.verdict == "pass"
    assert [line for line in told if "the model card of version 1 was not written: " in line]


def test_a_version_from_before_has_a_card_of_what_was_recorded(ready, monkeypatch):
    ready.run("promote", *GATE, model="1")
    package = registry.resolve(settings(), "toy", "1").package
    hashes = {name: value for name, value in package.card.sha256.items() if name != FINDINGS}
    old = replace(package, findings_bytes=None, card=package.card.model_copy(update={"sha256": hashes}))
    found = replace(registry.resolve(settings(), "toy", "1"), package=old)
    monkeypatch.setattr(registry, "resolve", lambda *_: found)
    records = of(ready)
    assert records.findings is None
    text = model_card_text(records)
    assert "registered before Contrail recorded findings" in text
    assert "Better than a table of group means" in text


def test_a_decision_that_is_gone_is_said_and_the_card_is_there(ready):
    ready.run("promote", *GATE, model="1")
    entry = registry.describe_version(settings(), "toy", "1")
    registry.tag_version(settings(), entry, {registry.DECISION_RECORD: f"runs:/{entry.run_id}/decisions/gone.json"})
    records = of(ready)
    assert records.decision is None
    assert records.decision_lost.startswith("Its decision record cannot be read: ")


def test_an_unknown_version_is_named(ready):
    with pytest.raises(MissingInputError, match="no model version 9"):
        of(ready, "9")


def test_a_sensitive_column_need_not_be_a_feature_and_changes_no_byte_of_the_model(ready, monkeypatch):
    plain = registry.resolve(settings(), "toy", "1")
    columns = {name: column for name, column in ready.spec.features.columns.items() if name != "weight"}
    features = ready.spec.features.model_copy(update={"columns": columns})
    change(monkeypatch, ready, sensitive=("depot", "weight"), features=features)
    ready.run("train", *WINDOW, params={"nthread": 1})
    change(monkeypatch, ready, sensitive=("depot", "weight"))
    ready.run("train", *WINDOW, params={"nthread": 1})
    without, whole = of(ready, "3").findings, of(ready, "4").findings
    assert [column.column for column in whole.fairness] == ["depot", "weight"]
    assert {group.name for group in whole.fairness[0].groups} == {"A", "B", "C"}
    assert 3 <= len(whole.fairness[1].groups) <= 5, "quarters, and rows without a weight"
    rows = [{group.name: group.rows for group in found.fairness[1].groups} for found in (without, whole)]
    assert rows[0] == rows[1], "the same groups, whether the model reads the weight or not"
    assert registry.resolve(settings(), "toy", "4").package.booster_bytes == plain.package.booster_bytes
    assert of(ready).findings.fairness == ()


def test_of_a_very_large_window_rows_evenly_spaced_are_shown(ready, monkeypatch):
    monkeypatch.setattr("contrail.stages.training.rows._SHOWN_ROWS", of(ready).card.training.rows // 3)
    monkeypatch.setattr("contrail.methods.segments.FEWEST_ROWS", 5)
    columns = {name: column for name, column in ready.spec.features.columns.items() if name != "weight"}
    features = ready.spec.features.model_copy(update={"columns": columns})
    found = []
    for more in ({"features": features}, {}):
        change(monkeypatch, ready, sensitive=("weight",), **more)
        ready.run("train", *WINDOW, params={"nthread": 1})
        found.append(of(ready, str(3 + len(found))).findings)
    beside, read = found
    whole, every = of(ready).findings.checked.rows, read.checked.every
    assert every > 2 and abs(read.checked.rows - whole / every) <= len(range(every))
    assert f"rows, evenly one in {every}." in kept("4")[1]
    groups = [
        {group.name: (group.rows, group.measures["label_mean"]) for group in one.fairness[0].groups} for one in found
    ]
    assert groups[0] == groups[1] and len(groups[0]) > 1, "each row keeps the weight that is its own"
    assert beside.checked.rows == read.checked.rows


def test_a_regression_has_a_card(ready, monkeypatch):
    label = ready.spec.label.model_copy(update={"expression": "delay"})
    gate = ready.spec.gate.model_copy(update={"metric": "rmse", "segments": ()})
    change(monkeypatch, ready, task="regression", label=label, gate=gate, sensitive=("depot",))
    ready.run("train", *WINDOW, params={"nthread": 1})
    found = of(ready, "3")
    assert found.findings.threshold is None
    assert {"bias", "mae"} <= found.findings.fairness[0].groups[0].measures.keys()
    text = kept("3")[1]
    assert "a number; the label is delay" in text
    assert "RMSE" in text


def test_an_experiment_has_no_findings(ready):
    result = ready.run("train", *WINDOW, params={"nthread": 1}, registered=False)
    run = mlflow_store.client(settings()).get_run(result.details.mlflow_run)
    assert not (Path(run.info.artifact_uri.removeprefix("file://")) / "model_card").exists()
