import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from tests.toy_tables import copy_empty_registry, publish_toy, skip_what_only_train_needs

from contrail.adapters import mlflow_store, registry
from contrail.config.model_spec import GateSpec, SegmentFloor
from contrail.config.settings import settings
from contrail.errors import DataError, EngineError, GateRefusedError, MissingInputError
from contrail.lake.labels import labelled_rows
from contrail.lake.lease import Holder, Leases, LeaseState
from contrail.methods.gates import judge
from contrail.stages.judged_rows import judged_rows
from contrail.stages.promotion.contest import Contest
from contrail.stages.promotion.evidence import evidence_of, predict_rows, segment_features

GATE = ("2024-02-11", "2024-03-09")


def one_candidate(toy) -> None:
    """Trained on January; everything is labelled to 10 March."""
    publish_toy(toy, "2024-01-01", "2024-03-10")
    copy_empty_registry(settings())
    train(toy, "2024-01-31")


@pytest.fixture
def ready(prepared, monkeypatch):
    skip_what_only_train_needs(monkeypatch)
    toy = prepared(one_candidate)
    toy.monkeypatch = monkeypatch
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
    assert result.details.verdict == "pass"
    assert result.details.champion_before is None
    assert tags("1")["status"] == "champion"
    assert tags("1")["decision"] == "pass"
    checks = {check["name"]: check for check in record_of("1")["checks"]}
    assert checks["beats_champion"]["passed"] is None
    assert checks["beats_constant"]["interval"]["low"] > 0
    assert checks["segment_depot_auc"]["passed"]


def test_the_record_has_intervals_and_periods_and_names_the_days_that_were_left_out(ready):
    result = ready.run("promote", GATE[0], "2024-03-10")
    record = json.loads(Path(result.reports[1]).read_text())
    assert record["window"]["immature"] == ["2024-03-10"], "its late deliveries would come on the next day"
    assert (record["window"]["days"], record["window"]["rows"]) == (28, 28 * 60)
    auc = record["intervals"]["challenger"]["auc"]
    assert auc["low"] < record["metrics"]["challenger"]["auc"] == auc["estimate"] < auc["high"]
    assert [(period["start"], period["end"]) for period in record["calibration"]] == [
        ("2024-02-11", "2024-02-24"),
        ("2024-02-25", "2024-03-09"),
    ]
    page = Path(result.reports[0]).read_text()
    assert "without 2024-03-10, as not all outcomes are known" in page
    assert "Calibration by period" in page


def moves(toy) -> list[tuple]:
    return toy.sql(
        "SELECT alias, version_before, version_after, strftime(partition_date, '%m-%d'), reason, person "
        "FROM model_history ORDER BY moved_at"
    )


def test_each_move_of_an_alias_is_recorded(ready):
    ready.run("promote", *GATE)
    train(ready, "2024-02-09")
    with_spec(ready, gate=patient(ready.spec.gate, -0.05))
    result = ready.run("promote", "2024-02-11", "2024-03-01", person="ann", reason="new depot")
    passed = "passed the gate on 2024-02-11..2024-03-09"
    assert moves(ready) == [
        ("challenger", None, "1", "03-10", passed, "pipeline"),
        ("champion", None, "1", "03-10", passed, "pipeline"),
        ("challenger", "1", "2", "03-02", "new depot", "ann"),
        ("champion", "1", "2", "03-02", "new depot", "ann"),
    ]
    runs = ready.sql("SELECT DISTINCT run_id FROM model_history WHERE version_after = '2'")
    assert runs == [(result.run_id,)]
    found = record_of("1")["metrics"]
    improvement = ready.sql("SELECT improvement FROM model_history WHERE version_after = '1' AND alias = 'champion'")
    assert improvement == [(pytest.approx(found["constant"]["log_loss"] - found["challenger"]["log_loss"]),)]
    assert improvement[0][0] > 0


def test_a_refusal_or_judging_again_records_no_move(ready):
    ready.run("promote", *GATE)
    before = moves(ready)
    ready.run("promote", *GATE)
    train(ready, "2024-02-01", max_depth=1, rounds=1)
    with pytest.raises(GateRefusedError):
        ready.run("promote", *GATE)
    assert moves(ready) == before


def test_moves_that_a_dead_run_did_not_record_are_recorded_by_the_next(ready, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr("contrail.stages.changes.append_moves", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            ready.run("promote", *GATE)
    assert aliases()["champion"] == "1"
    ready.run("promote", *GATE)
    assert [move[:3] for move in moves(ready)] == [("challenger", None, "1"), ("champion", None, "1")]


def test_a_replayed_pipeline_has_its_champion_from_the_day_after_the_decisions_rows(ready):
    ready.run("promote", *GATE)
    assert ready.sql("SELECT DISTINCT partition_date FROM model_history") == [(date(2024, 3, 10),)]


def test_a_worse_model_is_refused_with_numbers_after_everything_is_recorded(ready):
    ready.run("promote", *GATE)
    train(ready, "2024-02-01", max_depth=1, rounds=1)
    with pytest.raises(GateRefusedError) as refused:
        ready.run("promote", *GATE, approval="awaited")
    message = str(refused.value)
    assert "toy version 2 is refused on 2024-02-11 to 2024-03-09" in message
    assert "Version 1 stays champion" in message
    assert "Expected to be better than the champion: -0." in message
    assert "where ≥ 0 is needed (log loss worse by 0." in message
    assert "; the estimate counts" in message
    assert aliases() == {"champion": "1", "challenger": "1"}
    assert tags("2")["decision"] == "refused"
    assert tags("2")["status"] == "refused"
    record = record_of("2")
    assert record["verdict"] == "refused"
    assert record["reasons"]
    assert record["weighed"].startswith("Policy expected: it weighs an expected loss of 0.")
    assert record["checks"][-1]["detail"] == "nobody is asked: the gate refused"
    assert record["weighed"].endswith(", and refuses.")


def test_both_models_are_scored_on_the_same_rows_and_the_old_champion_steps_down(ready):
    ready.run("promote", *GATE)
    train(ready, "2024-02-09")
    with_spec(ready, gate=patient(ready.spec.gate, -0.05))
    ready.run("promote", *GATE)
    record = record_of("2")
    assert list(record["metrics"]) == ["challenger", "champion", "rate table", "constant"]
    assert record["champion"]["version"] == "1"
    assert record["metrics"]["champion"] == record_of("1")["metrics"]["challenger"]
    assert aliases()["champion"] == "2"
    assert tags("1")["status"] == "former champion"
    assert tags("1")["champion_until"] == tags("2")["champion_from"]


def patient(gate: GateSpec, margin: float, **changes) -> GateSpec:
    """A gate that lets a model pass that may be worse."""
    return gate.model_copy(update={"policy": "not_worse", "min_improvement": margin, **changes})


def with_spec(toy, **changes) -> None:
    """Change the spec of the pipeline that the stages load."""
    spec = toy.spec.model_copy(update=changes)
    toy.monkeypatch.setattr("contrail.config.pipeline.load_spec", lambda _: spec)


@pytest.fixture(autouse=True)
def _monkeypatch(toy, monkeypatch):
    toy.monkeypatch = monkeypatch


def test_judging_again_gives_the_same_decision_and_changes_nothing(ready):
    ready.run("promote", *GATE)
    train(ready, "2024-02-09")
    with_spec(ready, gate=patient(ready.spec.gate, -0.05))
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
    with pytest.raises(DataError, match=r"may have seen.* from 2024-02-02, .*--from 2024-02-02 --to 2024-02-15"):
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
    with pytest.raises(MissingInputError, match=r"has no model in the registry. Run: contrail train"):
        toy.run("promote", *GATE)


def test_the_record_is_kept_with_the_version_and_its_page_is_self_contained(ready):
    result = ready.run("promote", *GATE)
    page = Path(result.reports[0]).read_text()
    assert "Passed: Late parcels, version 1" in page
    assert "<svg" in page
    assert not [link for link in ("http://", "https://", "src=", "@import") if link in page]
    entry = registry.describe_version(settings(), "toy", "1")
    artifacts = mlflow_store.client(settings()).list_artifacts(entry.run_id, "decisions")
    assert [Path(file.path).name for file in artifacts] == [
        "v1_2024-02-11_2024-03-09.html",
        "v1_2024-02-11_2024-03-09.json",
    ]
    assert entry.tags["decision_record"].endswith("decisions/v1_2024-02-11_2024-03-09.json")


def test_what_a_decision_was_made_of_does_not_expire(ready):
    ready.run("promote", *GATE)
    made_of = record_of("1")["provenance"]
    for table in ("features", "validated_deliveries"):
        snapshot = made_of[f"judged_on_{table}_snapshot"]
        kept = {tag: entry.snapshot for entry in ready.lake.history(table) for tag in entry.tags}
        assert kept[f"decision-{snapshot}"] == snapshot


def test_a_failed_write_of_the_record_leaves_the_champion(ready, monkeypatch):
    monkeypatch.setattr(registry, "log_files", lambda *_: (_ for _ in ()).throw(OSError("disk is full")))
    with pytest.raises(OSError, match="disk is full"):
        ready.run("promote", *GATE)
    assert aliases()["champion"] is None


def test_a_model_of_another_label_is_refused_by_the_gate(ready):
    package = registry.resolve(settings(), "toy", "1").package
    other = ready.spec.label.model_copy(update={"expression": "delay > 20"})
    spec = ready.spec.model_copy(update={"label": other})
    contest = Contest(registry.resolve(settings(), "toy", "1"), registry.describe_version(settings(), "toy", "1"), None)
    with judged_rows(settings(), spec.task, segment_features(spec)) as judged:
        with labelled_rows(ready.lake, spec, ready.stage_run("promote", *GATE).partitions) as rows:
            predict_rows(spec, contest, rows.stream(), judged)
        checks = judge(evidence_of(spec, contest, judged), spec.gate)
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
    assert result.details.metrics["challenger"]["rmse"] < result.details.metrics["constant"]["rmse"]
    page = Path(result.reports[0]).read_text()
    assert "Every depot keeps the floor of rmse" in page
    toy.run("score", *GATE)
    joined = "predictions p JOIN validated_deliveries d USING (ship_date, parcel)"
    error = toy.sql(f"SELECT sqrt(avg((p.prediction - d.delay) ** 2)) FROM {joined}")[0][0]
    assert error == pytest.approx(result.details.metrics["challenger"]["rmse"])


# ---- shadow ----

EARLIER = ("2024-02-11", "2024-02-26")


@pytest.fixture
def shadowed(ready):
    """A champion, and a sound second version that a strict gate with ``shadow`` refused against the champion alone."""
    ready.run("promote", *EARLIER)
    train(ready, "2024-01-30", max_depth=2)
    strict = ready.spec.gate.model_copy(update={"min_improvement": 0.5, "shadow": True, "min_shadow_days": 7})
    with_spec(ready, gate=strict)
    with pytest.raises(GateRefusedError) as refused:
        ready.run("promote", *EARLIER)
    assert "Version 2 is scored beside it, unseen by analysts" in str(refused.value)
    return ready


def compete(toy, end: str) -> None:
    """Days scored by champion and challenger, and measured."""
    toy.run("score", "2024-02-27", end)
    toy.run("performance", "2024-02-27", end)


def shadow_check(record: dict) -> dict | None:
    return next((check for check in record["checks"] if check["name"] == "shadow"), None)


def test_a_sound_version_becomes_challenger_and_is_scored_beside_the_champion(shadowed):
    assert aliases() == {"champion": "1", "challenger": "2"}
    assert tags("2")["status"] == "challenger"
    assert moves(shadowed)[-1] == (
        "challenger", "1", "2", "02-27",
        "version 2 was refused on 2024-02-11..2024-02-26 against the champion alone: scored in shadow", "pipeline",
    )  # fmt: skip
    compete(shadowed, "2024-03-01")
    found = shadowed.sql("SELECT DISTINCT model_version, shadow FROM performance ORDER BY 1")
    assert found == [("1", False), ("2", True)]


def test_a_champion_that_is_judged_again_and_refused_is_not_its_own_challenger(shadowed):
    with_spec(shadowed, gate=patient(shadowed.spec.gate, -0.2, shadow=True))
    shadowed.run("promote", *EARLIER)
    before = moves(shadowed)
    with_spec(shadowed, gate=shadowed.spec.gate.model_copy(update={"min_improvement": 0.5, "shadow": True}))
    with pytest.raises(GateRefusedError) as refused:
        shadowed.run("promote", *EARLIER)
    assert "unseen" not in str(refused.value)
    assert moves(shadowed) == before


def test_without_shadow_in_the_spec_no_challenger_is_kept(ready):
    ready.run("promote", *EARLIER)
    train(ready, "2024-01-30", max_depth=2)
    with_spec(ready, gate=ready.spec.gate.model_copy(update={"min_improvement": 0.5}))
    with pytest.raises(GateRefusedError):
        ready.run("promote", *EARLIER)
    assert aliases() == {"champion": "1", "challenger": "1"}
    assert tags("2")["status"] == "refused"


def test_an_unsound_version_is_never_kept_and_leaves_the_shadow(shadowed):
    floor = SegmentFloor(feature="depot", metric="auc", floor=0.99, min_rows=50)
    gate = shadowed.spec.gate.model_copy(update={"min_improvement": 0.5, "shadow": True, "segments": (floor,)})
    with_spec(shadowed, gate=gate)
    with pytest.raises(GateRefusedError):
        shadowed.run("promote", *GATE)
    assert aliases() == {"champion": "1", "challenger": "1"}
    assert moves(shadowed)[-1][:3] == ("challenger", "2", "1")


def test_days_in_shadow_are_in_the_record_and_a_check_when_they_are_enough(shadowed):
    compete(shadowed, "2024-03-01")
    with pytest.raises(GateRefusedError):
        shadowed.run("promote", *GATE)
    check = shadow_check(record_of("2"))
    assert check is not None
    assert check["passed"] is None
    assert "on 240 labelled rows" in check["detail"]
    assert "skipped: 7 days are needed" in check["detail"]
    days = record_of("2")["shadow"]
    assert [day["day"] for day in days] == ["2024-02-27", "2024-02-28", "2024-02-29", "2024-03-01"]
    compete(shadowed, "2024-03-09")
    with pytest.raises(GateRefusedError, match="Not worse than the champion in shadow"):
        shadowed.run("promote", *GATE)
    assert aliases()["challenger"] == "1", "what failed in shadow too is not kept there"
    own, theirs = (
        shadowed.sql(f"SELECT sum(log_loss * labelled) / sum(labelled) FROM performance WHERE model_version = '{v}'")[0]
        for v in ("2", "1")
    )
    assert shadow_check(record_of("2"))["value"] == pytest.approx(theirs[0] - own[0])


def test_a_challenger_that_held_in_shadow_is_promoted_with_that_evidence(shadowed):
    compete(shadowed, "2024-03-09")
    with_spec(shadowed, gate=patient(shadowed.spec.gate, -0.2, shadow=True))
    result = shadowed.run("promote", *GATE)
    assert shadow_check(record_of("2"))["passed"] is True
    assert "In shadow, 12 days beside the champion" in Path(result.reports[0]).read_text()
    assert aliases() == {"champion": "2", "challenger": "2"}


def test_days_that_either_model_was_trained_on_are_no_evidence(shadowed):
    shadowed.run("score", "2024-01-20", "2024-03-09")
    shadowed.run("performance", "2024-01-20", "2024-03-09")
    with pytest.raises(GateRefusedError):
        shadowed.run("promote", *GATE)
    assert record_of("2")["shadow"][0]["day"] == "2024-02-02", "version 1 ends on 31 January, with an embargo of a day"


def test_the_record_says_who_asked_for_the_training_and_what_was_changed(ready):
    given = {"nthread": 1, "max_depth": 2}
    ready.run("train", "2024-01-01", "2024-01-31", params=given, person="ann", reason="deeper <b>trees</b>")
    result = ready.run("promote", *GATE, approval="awaited")
    assert record_of("2")["request"] == {"person": "ann", "reason": "deeper <b>trees</b>", "parameters": given}
    said = "The training was requested by ann: deeper <b>trees</b>. Changed parameters: nthread=1, max_depth=2."
    assert said in result.details.record
    page = Path(result.reports[0]).read_text()
    assert "requested by ann: deeper &lt;b&gt;trees&lt;/b&gt;. Changed parameters: nthread=1, max_depth=2." in page
    run = mlflow_store.client(settings()).get_run(registry.describe_version(settings(), "toy", "2").run_id)
    shown = {name: run.data.tags[f"mlflow.{name}"] for name in ("user", "source.name", "source.type")}
    assert shown == {"user": "ann", "source.name": "contrail train", "source.type": "JOB"}


# ---- a champion that is gone or damaged, and another process that changes models ----


def patient_second(ready) -> None:
    """Version 1 is champion; version 2 passes a patient gate."""
    ready.run("promote", *GATE)
    train(ready, "2024-02-09")
    with_spec(ready, gate=patient(ready.spec.gate, -0.05))


def why_not_compared(version: str) -> str:
    checks = {check["name"]: check for check in record_of(version)["checks"]}
    assert checks["beats_champion"]["passed"] is None
    return checks["beats_champion"]["detail"]


def test_a_champion_that_was_deleted_in_mlflow_can_be_replaced(ready):
    patient_second(ready)
    mlflow_store.client(settings()).delete_model_version("toy", "1")
    ready.run("promote", *GATE, person="ann")
    assert aliases() == {"champion": "2", "challenger": "2"}
    assert why_not_compared("2") == "skipped: the champion, version 1, is gone from the registry"
    assert [move[:3] for move in moves(ready)][2:] == [("challenger", "1", "2"), ("champion", "1", "2")]


def test_a_champion_that_is_damaged_in_the_registry_can_be_replaced(ready):
    patient_second(ready)
    shutil.rmtree(settings().home_path / "models")
    mlflow_store.client(settings()).set_model_version_tag("toy", "1", registry.CARD_DIGEST, "0" * 64)
    result = ready.run("promote", *GATE)
    assert result.details.champion_before == "1"
    assert aliases() == {"champion": "2", "challenger": "2"}
    assert "version 1 is damaged in the registry itself" in why_not_compared("2")
    assert tags("1")["status"] == "former champion"


def test_a_champion_that_is_judged_again_without_its_predecessor_stays(ready):
    patient_second(ready)
    ready.run("promote", *GATE)
    mlflow_store.client(settings()).delete_model_version("toy", "1")
    before = moves(ready)
    ready.run("promote", *GATE)
    assert "no model version 1" in why_not_compared("2")
    assert (aliases()["champion"], tags("2")["status"], moves(ready)) == ("2", "champion", before)


def test_a_champion_that_is_judged_again_and_fails_keeps_its_status(ready):
    ready.run("promote", *GATE)
    with_spec(ready, gate=ready.spec.gate.model_copy(update={"min_rows": 10_000}))
    with pytest.raises(GateRefusedError):
        ready.run("promote", *GATE)
    assert (aliases()["champion"], tags("1")["status"], tags("1")["decision"]) == ("1", "champion", "refused")


def test_nothing_is_judged_while_another_machine_changes_models(ready):
    now = datetime.now(UTC)
    holder = Holder(
        token="t", place="there", run_id="r9", what="promote by bob", since=now, until=now + timedelta(minutes=9)
    )
    Leases(settings(), "toy").write(lambda _: LeaseState(holder=holder))
    with pytest.raises(EngineError, match=r"promote by bob \(run r9, .* is changing the models") as refused:
        ready.run("promote", *GATE)
    assert refused.value.exit_code == 75
    assert "decision" not in tags("1")
    Leases(settings(), "toy").write(lambda _: LeaseState())
    ready.run("promote", *GATE)
    assert aliases()["champion"] == "1"


# ---- a person's answer ----


def test_an_awaited_pass_is_recorded_and_moves_nothing(ready):
    result = ready.run("promote", *GATE, approval="awaited")
    assert aliases() == {"champion": None, "challenger": None}
    assert result.details.verdict == "waits"
    assert "toy" not in result.details.record.splitlines()[1]
    assert "| – | Approved by a person | waits for an approver |" in result.details.record
    assert tags("1")["decision"] == "waits"
    assert record_of("1")["summary"].startswith("It passed every other check and waits for an approver")


def test_an_approval_names_the_person_and_the_reason(ready):
    ready.run("promote", *GATE, approval="approved", person="ann", reason="new depot")
    assert aliases()["champion"] == "1"
    check = record_of("1")["checks"][-1]
    assert (check["name"], check["passed"], check["detail"]) == ("approval", True, "approved by ann: new depot")
    assert {move[-2:] for move in moves(ready)} == {("new depot", "ann")}


def test_a_persons_refusal_is_final_and_recorded(ready):
    with pytest.raises(GateRefusedError, match="Approved by a person: refused by ann: too few rows"):
        ready.run("promote", *GATE, approval="refused", person="ann", reason="too few rows")
    assert aliases()["champion"] is None
    assert tags("1")["decision"] == "refused"


def test_a_gate_that_asks_for_a_person_refuses_without_one(ready):
    with_spec(ready, gate=ready.spec.gate.model_copy(update={"approval": "person"}))
    with pytest.raises(GateRefusedError, match="no person has approved it; use the DAG toy__train"):
        ready.run("promote", *GATE)
    ready.run("promote", *GATE, approval="approved", person="ann")
    assert aliases()["champion"] == "1"
