import dataclasses
import json
from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest
from tests.toy_tables import copy_empty_registry, publish_toy, skip_what_only_train_needs

from contrail.adapters import registry
from contrail.errors import DataError, GateRefusedError, MissingInputError
from contrail.pipeline import Pipeline
from contrail.settings import settings
from contrail.spec import SegmentFloor
from contrail.stages import promote

GATE = ("2024-02-11", "2024-03-09")


@pytest.fixture
def ready(toy, monkeypatch):
    """One candidate trained on January, and everything labelled to 10 March."""
    publish_toy(toy, "2024-01-01", "2024-03-10")
    copy_empty_registry(settings())
    skip_what_only_train_needs(monkeypatch)
    train(toy, "2024-01-31")
    return toy


def train(toy, end: str, **params) -> None:
    toy.run("train", "2024-01-01", end, params={"nthread": 1, **params})


def aliases() -> dict:
    return {alias: registry.alias_version(settings(), "toy", alias) for alias in ("champion", "challenger")}


def tags(version: str) -> dict:
    return registry.describe_version(settings(), "toy", version).tags


def record_of(version: str) -> dict:
    path = settings().reports / "toy" / "decisions" / f"v{version}_{GATE[0]}_{GATE[1]}.json"
    return json.loads(path.read_text())


def test_a_first_model_that_beats_the_baselines_becomes_champion(ready):
    result = ready.run("promote", *GATE)
    assert aliases() == {"champion": "1", "challenger": "1"}
    assert result.details["verdict"] == "pass"
    assert result.details["champion_before"] is None
    assert tags("1")["status"] == "champion"
    assert tags("1")["decision"] == "pass"
    checks = {check["name"]: check for check in record_of("1")["checks"]}
    assert checks["beats_champion"]["passed"] is None
    assert checks["beats_constant"]["interval"]["low"] > 0
    assert checks["segment_depot_auc"]["passed"]


def test_a_replayed_pipeline_has_its_champion_from_the_day_after_the_decisions_rows(ready):
    ready.run("promote", *GATE)
    assert tags("1")["champion_from_partition"] == "2024-03-10"


@pytest.mark.parametrize(
    ("cutoff", "first"), [(time(9), date(2026, 5, 4)), (time(8), date(2026, 5, 4)), (time(7), date(2026, 5, 5))]
)
def test_a_running_pipeline_has_its_champion_from_the_next_cutoff(toy, monkeypatch, cutoff, first):
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2026, 5, 4, 12, tzinfo=UTC).astimezone(tz)  # 08:00 in New York

    monkeypatch.setattr(promote, "datetime", Clock)
    spec = toy.spec.model_copy(update={"last_partition": None, "cutoff": cutoff})
    run = dataclasses.replace(toy.stage_run("promote", *GATE), pipeline=Pipeline(folder=toy.pipeline.folder, spec=spec))
    assert promote._first_partition(run) == first


def test_a_worse_model_is_refused_with_numbers_after_everything_is_recorded(ready):
    ready.run("promote", *GATE)
    train(ready, "2024-02-01", max_depth=1, rounds=1)
    with pytest.raises(GateRefusedError) as refused:
        ready.run("promote", *GATE)
    message = str(refused.value)
    assert "toy version 2 is refused on 2024-02-11 to 2024-03-09" in message
    assert "Version 1 stays champion" in message
    assert "Better than the champion: -0." in message
    assert "where ≥ 0 is needed (log loss worse by 0." in message
    assert "of which the lower end counts" in message
    assert aliases() == {"champion": "1", "challenger": "1"}
    assert tags("2")["decision"] == "refused"
    assert tags("2")["status"] == "refused"
    record = record_of("2")
    assert record["verdict"] == "refused"
    assert record["reasons"]


def test_both_models_are_scored_on_the_same_rows_and_the_old_champion_steps_down(ready):
    ready.run("promote", *GATE)
    train(ready, "2024-02-09")
    patient = ready.spec.gate.model_copy(update={"min_improvement": -0.05})
    with_spec(ready, gate=patient)
    ready.run("promote", *GATE)
    record = record_of("2")
    assert list(record["metrics"]) == ["challenger", "champion", "rate table", "constant"]
    assert record["champion"]["version"] == "1"
    assert record["metrics"]["champion"] == record_of("1")["metrics"]["challenger"]
    assert aliases()["champion"] == "2"
    assert tags("1")["status"] == "former champion"
    assert tags("1")["champion_until"] == tags("2")["champion_from"]


def with_spec(toy, **changes) -> None:
    """Change the spec of the pipeline that the stages load."""
    spec = toy.spec.model_copy(update=changes)
    toy.monkeypatch.setattr("contrail.pipeline.load_spec", lambda _: spec)


@pytest.fixture(autouse=True)
def _monkeypatch(toy, monkeypatch):
    toy.monkeypatch = monkeypatch


def test_judging_again_gives_the_same_decision_and_changes_nothing(ready):
    ready.run("promote", *GATE)
    train(ready, "2024-02-09")
    with_spec(ready, gate=ready.spec.gate.model_copy(update={"min_improvement": -0.05}))
    ready.run("promote", *GATE)
    first, since, former = record_of("2"), tags("2")["champion_from"], tags("1")
    ready.run("promote", *GATE)
    again = record_of("2")
    volatile = ("decided_at", "run_id")
    assert {k: v for k, v in again.items() if k not in volatile} == {
        k: v for k, v in first.items() if k not in volatile
    }
    assert again["champion"]["version"] == "1"
    assert tags("2")["champion_from"] == since
    assert tags("1") == former


def test_rows_of_training_or_its_embargo_are_no_judge(ready):
    with pytest.raises(DataError, match=r"has seen.* from 2024-02-02, .*--from 2024-02-02 --to 2024-02-15"):
        ready.run("promote", "2024-02-01", "2024-02-20")
    assert aliases()["champion"] is None


def test_the_champions_training_is_out_of_bounds_too(ready):
    train(ready, "2024-02-20")
    ready.run("promote", "2024-02-22", "2024-03-09", model="2")
    with pytest.raises(DataError, match=r"toy version 2 was trained on 2024-01-01..2024-02-20"):
        ready.run("promote", *GATE, model="1")


def test_missing_features_and_labels_are_told_apart(toy):
    publish_toy(toy, "2024-01-01", "2024-03-05", features_end="2024-03-01")
    copy_empty_registry(settings())
    skip_what_only_train_needs(toy.monkeypatch)
    train(toy, "2024-01-31")
    with pytest.raises(MissingInputError, match=r"no features for 2024-03-02\.\.2024-03-05"):
        toy.run("promote", "2024-02-11", "2024-03-05")
    publish_toy(toy, "2024-03-02", "2024-03-05")
    with pytest.raises(MissingInputError, match=r"last partition is 2024-03-05; 2024-03-09 is not labelled yet"):
        toy.run("promote", *GATE)


def test_without_a_model_it_says_what_to_run(toy):
    copy_empty_registry(settings())
    with pytest.raises(MissingInputError, match=r"has no model in the registry. Run: contrail stage train"):
        toy.run("promote", *GATE)


def test_the_record_is_kept_with_the_version_and_its_page_is_self_contained(ready):
    result = ready.run("promote", *GATE)
    page = Path(result.reports[0]).read_text()
    assert "Passed: Late parcels, version 1" in page
    assert "<svg" in page
    assert not [link for link in ("http://", "https://", "src=", "@import") if link in page]
    entry = registry.describe_version(settings(), "toy", "1")
    artifacts = registry.client(settings()).list_artifacts(entry.run_id, "decisions")
    assert [Path(file.path).name for file in artifacts] == [
        "v1_2024-02-11_2024-03-09.html",
        "v1_2024-02-11_2024-03-09.json",
    ]
    assert entry.tags["decision_record"].endswith("decisions/v1_2024-02-11_2024-03-09.json")


def test_a_failed_write_of_the_record_leaves_the_champion(ready, monkeypatch):
    monkeypatch.setattr(promote.registry, "log_files", lambda *_: (_ for _ in ()).throw(OSError("disk is full")))
    with pytest.raises(OSError, match="disk is full"):
        ready.run("promote", *GATE)
    assert aliases()["champion"] is None


def test_a_model_of_another_label_is_refused_by_the_gate(ready):
    package = registry.resolve(settings(), "toy", "1").package
    other = ready.spec.label.model_copy(update={"expression": "delay > 20"})
    spec = ready.spec.model_copy(update={"label": other})
    contest = promote._Contest(
        registry.resolve(settings(), "toy", "1"), registry.describe_version(settings(), "toy", "1"), None
    )
    rows = promote.read_training_rows(ready.lake, spec, ready.stage_run("promote", *GATE).partitions)
    evidence = promote._evidence(spec, contest, rows)
    checks = promote.judge(evidence, spec.gate)
    assert [check.passed for check in checks] == [False, True]
    assert "its label differs: delay > 15" in checks[0].detail
    assert package.card.label == "delay > 15"


def test_a_regression_goes_through_train_promote_and_score(toy):
    publish_toy(toy, "2024-01-01", "2024-03-10")
    copy_empty_registry(settings())
    skip_what_only_train_needs(toy.monkeypatch)
    label = toy.spec.label.model_copy(update={"expression": "delay"})
    floor = SegmentFloor(feature="depot", metric="rmse", floor=30.0, min_rows=50)
    gate = toy.spec.gate.model_copy(update={"metric": "rmse", "segments": (floor,)})
    with_spec(toy, task="regression", label=label, gate=gate)
    train(toy, "2024-01-31")
    result = toy.run("promote", *GATE)
    assert result.details["metrics"]["challenger"]["rmse"] < result.details["metrics"]["constant"]["rmse"]
    page = Path(result.reports[0]).read_text()
    assert "Every depot keeps the floor of rmse" in page
    toy.run("score", *GATE)
    joined = "predictions p JOIN validated_deliveries d USING (ship_date, parcel)"
    error = toy.sql(f"SELECT sqrt(avg((p.prediction - d.delay) ** 2)) FROM {joined}")[0][0]
    assert error == pytest.approx(result.details["metrics"]["challenger"]["rmse"])
