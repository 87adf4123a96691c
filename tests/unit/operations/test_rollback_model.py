"""``contrail promote`` and ``contrail rollback-model``: a person makes a version champion, or takes it back."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Prepare, Toy
from tests.toy_tables import copy_empty_registry, publish_toy, skip_what_only_train_needs
from tests.unit.cli.test_cli import run

from contrail.adapters import mlflow_store, registry
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.errors import DataError, EngineError, GateRefusedError, MissingInputError, SpecError
from contrail.lake.model_history import in_effect, read_moves
from contrail.operations import rollback_model
from contrail.operations.champions import newest_windows
from contrail.operations.rollback_model import plan_rollback
from contrail.partitions import Partitions
from contrail.stages import changes
from contrail.stages.base import StageRun
from contrail.stages.runner import make_run

Shell = tuple[pytest.MonkeyPatch, pytest.CaptureFixture[str]]
GATE = ("--from", "2024-02-11", "--to", "2024-02-24")
WHY = ("--reason", "wrong feed")


def two_candidates(toy: Toy) -> None:
    """Trained on January; everything is labelled to 1 March."""
    publish_toy(toy, "2024-01-01", "2024-03-01")
    copy_empty_registry(settings())
    for end in ("2024-01-31", "2024-02-08"):
        toy.run("train", "2024-01-01", end, params={"nthread": 1})


@pytest.fixture
def toy(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    skip_what_only_train_needs(monkeypatch)
    return prepared(two_candidates)


@pytest.fixture
def empty(toy_home: Path) -> Toy:
    """The toy pipeline in an empty home."""
    return Toy(load_pipeline("toy"), settings())


@pytest.fixture
def shell(toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Both candidates are good enough for a patient gate."""
    spec = toy.spec.model_copy(
        update={"gate": toy.spec.gate.model_copy(update={"policy": "not_worse", "min_improvement": -0.05})}
    )
    monkeypatch.setattr("contrail.config.pipeline.load_spec", lambda _: spec)
    monkeypatch.setenv("CONTRAIL_PERSON", "ann")
    return monkeypatch, capsys


@pytest.fixture
def bad(toy: Toy, shell: Shell) -> Shell:
    """Version 2 is champion since 25 February, and has scored two ranges; version 1 what lies between."""
    run(*shell, "promote", "-p", "toy", "--model", "1", *GATE)
    run(*shell, "promote", "-p", "toy", "--model", "2", *GATE)
    toy.run("score", "2024-02-26", "2024-03-01", model="2")
    toy.run("score", "2024-02-27", model="1")
    return shell


def scored_by(toy: Toy) -> dict[str, str]:
    return dict(
        toy.sql("SELECT DISTINCT strftime(partition_date, '%m-%d') d, model_version FROM predictions ORDER BY d")
    )


def aliases() -> dict[str, Any]:
    return {alias: registry.alias_version(settings(), "toy", alias) for alias in ("champion", "challenger")}


def told() -> list[dict[str, str]]:
    return [json.loads(line) for line in (settings().home_path / "notifications.jsonl").read_text().splitlines()]


def test_a_person_promotes_on_the_newest_days_in_their_name(toy: Toy, shell: Shell) -> None:
    code, out, _ = run(*shell, "promote", "-p", "toy", "--model", "1", "--reason", "first one")
    assert (code, "version 1 is champion" in out) == (0, True)
    (move,) = read_moves(toy.lake, "champion")
    assert (move.person, move.reason, move.effective_from) == ("ann", "first one", date(2024, 3, 2))
    record = json.loads(next(iter((settings().reports / "toy" / "decisions").glob("*.json"))).read_text())
    assert (record["person"], record["reason"]) == ("ann", "first one")
    assert (record["window"]["start"], record["window"]["end"]) == ("2024-02-17", "2024-03-01")
    (line,) = told()
    assert (line["kind"], line["where"]) == ("promotion", "toy promote 2024-02-17..2024-03-01 by ann")
    assert line["happened"] == "version 1 is champion, the first"


def test_a_version_that_the_gate_refuses_is_not_promoted_for_a_person_either(toy: Toy, shell: Shell) -> None:
    strict = toy.spec.model_copy(update={"gate": toy.spec.gate.model_copy(update={"min_rows": 10_000})})
    shell[0].setattr("contrail.config.pipeline.load_spec", lambda _: strict)
    code, _, err = run(*shell, "promote", "-p", "toy", "--model", "1", *GATE)
    assert code == GateRefusedError.exit_code
    assert "Enough labelled rows" in err
    assert aliases()["champion"] is None
    (line,) = told()
    assert (line["kind"], line["where"]) == ("refusal", "toy promote 2024-02-11..2024-02-24 by ann")
    assert "Enough labelled rows" in line["happened"]


def test_an_orchestrators_promotion_is_in_the_approvers_name_and_the_command_notifies_nobody(
    toy: Toy, shell: Shell
) -> None:
    answer = ("--approval", "approved", "--person", "bob", "--reason", "new depot")
    code, out, _ = run(*shell, "promote", "-p", "toy", "--model", "1", *GATE, *answer, "--json")
    assert (code, json.loads(out)["details"]["verdict"]) == (0, "pass")
    (move,) = read_moves(toy.lake, "champion")
    assert (move.person, move.reason) == ("bob", "new depot")
    assert not (settings().home_path / "notifications.jsonl").exists()


def test_a_gate_that_needs_a_person_takes_the_callers_approval_and_refuses_where_nobody_was_asked(
    toy: Toy, shell: Shell
) -> None:
    gate = toy.spec.gate.model_copy(update={"policy": "not_worse", "min_improvement": -0.05, "approval": "person"})
    shell[0].setattr("contrail.config.pipeline.load_spec", lambda _: toy.spec.model_copy(update={"gate": gate}))
    code, _, err = run(*shell, "promote", "-p", "toy", "--model", "1", *GATE, "--approval", "none")
    assert (code, "no person has approved it" in err) == (GateRefusedError.exit_code, True)
    assert aliases()["champion"] is None
    assert not (settings().home_path / "notifications.jsonl").exists()
    code, out, _ = run(*shell, "promote", "-p", "toy", "--model", "1", *GATE, "--person", "bob")
    assert (code, "version 1 is champion" in out) == (0, True)
    assert read_moves(toy.lake, "champion")[-1].person == "bob"
    assert told()[-1]["where"] == "toy promote 2024-02-11..2024-02-24 by bob"


def test_the_newest_gate_ends_where_features_and_labels_both_are(empty: Toy) -> None:
    publish_toy(empty, "2024-01-01", "2024-03-01", features_end="2024-02-26")
    assert newest_windows(empty.spec, empty.lake).gate == Partitions(date(2024, 2, 13), date(2024, 2, 26))


def test_without_features_there_is_no_gate(empty: Toy) -> None:
    with pytest.raises(MissingInputError, match="features has no partition"):
        newest_windows(empty.spec, empty.lake)


def test_half_a_gate_is_refused(shell: Shell) -> None:
    code, _, err = run(*shell, "promote", "-p", "toy", "--model", "1", "--to", "2024-02-24")
    assert (code, "--to needs --from" in err) == (2, True)


def test_a_dry_run_shows_the_plan_and_changes_nothing(toy: Toy, bad: Shell) -> None:
    before = (scored_by(toy), aliases(), read_moves(toy.lake))
    code, out, err = run(*bad, "rollback-model", "-p", "toy", "--to", "1", *WHY, "--dry-run", "--json")
    assert code == 0
    plan = json.loads(out)
    assert (plan["bad_version"], plan["to_version"], plan["effective_from"]) == ("2", "1", "2024-02-25")
    assert (plan["partitions"], plan["rows"], plan["dry_run"]) == (4, 240, True)
    assert {line["kind"] for line in told()} == {"promotion"}, "nothing has happened"
    assert plan["jobs"] == [
        {"from": "2024-02-26", "to": "2024-02-26", "rows": 60},
        {"from": "2024-02-28", "to": "2024-03-01", "rows": 180},
    ]
    assert "2024-02-28..2024-03-01" in err
    assert (scored_by(toy), aliases(), read_moves(toy.lake)) == before


def test_a_rollback_moves_the_aliases_rescores_and_is_recorded(toy: Toy, bad: Shell) -> None:
    snapshots = len(toy.lake.history("predictions"))
    code, out, _ = run(*bad, "rollback-model", "-p", "toy", "--to", "1", *WHY)
    assert (code, "240 rows rescored" in out) == (0, True)
    assert aliases() == {"champion": "1", "challenger": "1"}, "the bad one must not become a shadow"
    assert set(scored_by(toy).values()) == {"1"}
    assert len(toy.lake.history("predictions")) == snapshots + 2, "one job a range"
    moves = read_moves(toy.lake, "champion")
    assert (moves[-1].version_before, moves[-1].version_after) == ("2", "1")
    assert (moves[-1].person, moves[-1].reason) == ("ann", "wrong feed")
    assert in_effect(moves, date(2024, 2, 25)) == moves[-1]
    tags = {version: registry.describe_version(settings(), "toy", version).tags["status"] for version in ("1", "2")}
    assert tags == {"1": "champion", "2": "rolled back"}
    line = told()[-1]
    assert (line["kind"], line["where"]) == ("rollback", "toy rollback-model by ann")
    assert "version 2 is taken back: version 1 is champion for partitions from 2024-02-25" in line["happened"]
    assert "240 rows" in line["happened"] and "wrong feed" in line["happened"]


def test_a_rollback_that_stopped_goes_on_and_then_has_nothing_left(toy: Toy, bad: Shell) -> None:
    real, calls = rollback_model.scoring, []

    def scoring(asked: StageRun[Any]) -> Any:
        def score(days: Partitions, version: str) -> Any:
            calls.append(days)
            if len(calls) == 2:
                raise OSError("killed")
            return real(asked)(days, version)

        return score

    with bad[0].context() as broken:
        broken.setattr(rollback_model, "scoring", scoring)
        code, _, _ = run(*bad, "rollback-model", "-p", "toy", "--to", "1", *WHY)
    assert (code != 0, len(calls)) == (True, 2)
    assert aliases()["champion"] == "1"
    moves = read_moves(toy.lake)
    _, out, _ = run(*bad, "rollback-model", "-p", "toy", "--to", "1", *WHY, "--json")
    assert json.loads(out)["jobs"] == [{"from": "2024-02-28", "to": "2024-03-01", "rows": 180}]
    assert set(scored_by(toy).values()) == {"1"}
    assert read_moves(toy.lake) == moves
    with pytest.raises(DataError, match="version 1 is champion already, and no partition is left"):
        plan_rollback(toy.pipeline, toy.lake, "1")


def test_a_rollback_that_an_error_stops_is_told(toy: Toy, bad: Shell) -> None:
    def refused(*_: Any) -> Any:
        raise DataError("no features")

    bad[0].setattr(rollback_model, "scoring", lambda _: refused)
    code, _, _ = run(*bad, "rollback-model", "-p", "toy", "--to", "1", *WHY)
    assert code == DataError.exit_code
    line = told()[-1]
    assert (line["kind"], line["happened"]) == ("refusal", "DataError: no features")
    assert line["to_do"].endswith("then give the same command again")


def test_on_a_terminal_it_asks_first(toy: Toy, bad: Shell) -> None:
    asked: list[str] = []

    def answers(yes: bool) -> None:
        bad[0].setattr("typer.confirm", lambda question, **_: asked.append(question) or yes)

    bad[0].setattr("sys.stdin.isatty", lambda: True)
    answers(False)
    code, out, _ = run(*bad, "rollback-model", "-p", "toy", "--to", "1", *WHY)
    assert (code, "Nothing was changed" in out, aliases()["champion"]) == (0, True, "2")
    assert asked == ["Make version 1 champion instead of 2, and score these partitions again?"]
    run(*bad, "rollback-model", "-p", "toy", "--to", "1", *WHY, "--yes")
    assert (len(asked), aliases()["champion"]) == (1, "1")


def test_a_champion_that_was_deleted_in_mlflow_is_told_and_can_be_taken_back(toy: Toy, bad: Shell) -> None:
    mlflow_store.client(settings()).delete_model_version("toy", "2")
    for command in ("status", "champions"):
        code, _, err = run(*bad, command, "-p", "toy")
        assert code == 0
        assert "Somebody deleted version 2 in MLflow, the champion of 'toy'. Versions: 1." in err
    code, _, err = run(*bad, "score", "-p", "toy", "--from", "2024-03-01")
    assert code == MissingInputError.exit_code
    assert "toy --to 1 --reason" in err, "the message names the command"
    code, _, _ = run(*bad, "rollback-model", "-p", "toy", "--to", "1", "--reason", "version 2 is gone")
    assert code == 0
    assert aliases() == {"champion": "1", "challenger": None}
    assert set(scored_by(toy).values()) == {"1"}
    assert [m.version_before for m in read_moves(toy.lake, "champion")] == [None, "1", "2"]


def test_a_champion_that_somebody_made_after_the_plan_stays(toy: Toy, bad: Shell) -> None:
    toy.run("train", "2024-01-01", "2024-02-08", params={"nthread": 1})
    plan = plan_rollback(toy.pipeline, toy.lake, "1")
    registry.set_alias(settings(), registry.describe_version(settings(), "toy", "3"), "champion")
    with pytest.raises(EngineError, match="version 3 of 'toy' became champion after the plan was made"):
        rollback_model.roll_back(plan, person="ann", reason="wrong feed")
    assert aliases()["champion"] == "3"


def test_without_a_version_the_champion_before_takes_over(toy: Toy, bad: Shell) -> None:
    """After the rollback to it, the version that was taken back is none of them."""
    code, out, _ = run(*bad, "rollback-model", "-p", "toy", *WHY, "--dry-run", "--json")
    plan = json.loads(out)
    assert (code, plan["bad_version"], plan["to_version"]) == (0, "2", "1")
    assert run(*bad, "rollback-model", "-p", "toy", *WHY)[0] == 0
    assert aliases()["champion"] == "1"
    code, _, err = run(*bad, "rollback-model", "-p", "toy", *WHY)
    assert (code, "had no champion before version 1" in err) == (MissingInputError.exit_code, True)
    assert "with --to" in err


def test_without_a_version_a_rollback_that_stopped_goes_on(toy: Toy, bad: Shell) -> None:
    def refused(*_: Any) -> Any:
        raise DataError("no features")

    with bad[0].context() as broken:
        broken.setattr(rollback_model, "scoring", lambda _: refused)
        assert run(*bad, "rollback-model", "-p", "toy", *WHY)[0] == DataError.exit_code
    assert aliases()["champion"] == "1"
    plan = plan_rollback(toy.pipeline, toy.lake)
    assert (plan.bad, plan.to, sum(plan.scored.values())) == ("2", "1", 240)


@pytest.mark.parametrize("killed_in", ["_point", "append_moves", "_tag"])
def test_a_promotion_that_was_killed_counts_as_the_promotion_that_it_will_be(
    toy: Toy, bad: Shell, killed_in: str
) -> None:
    """The rollback ends it first, so its version is the one that is taken back; an earlier move to `to` is no rollback."""
    toy.run("train", "2024-01-01", "2024-02-08", params={"nthread": 1})
    entry, day = registry.describe_version(settings(), "toy", "3"), date(2024, 3, 2)
    promotion = make_run("promote", "toy", Partitions(day, day))

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    with bad[0].context() as broken, pytest.raises(KeyboardInterrupt), changes.changing(promotion) as held:
        broken.setattr(changes, killed_in, killed)
        held.apply(changes.AliasChange(entry, ["champion"], day, "better"), "ann")
    for to in ("2", None):
        plan = plan_rollback(toy.pipeline, toy.lake, to)
        assert (plan.bad, plan.to, plan.effective_from, plan.scored) == ("3", "2", day, {})
    rollback_model.roll_back(plan, person="ann", reason="wrong feed")
    assert aliases()["champion"] == "2"
    assert [move.version_after for move in read_moves(toy.lake, "champion")] == ["1", "2", "3", "2"]


def test_a_plan_that_takes_back_another_version_is_refused(toy: Toy, bad: Shell) -> None:
    before = (scored_by(toy), aliases(), read_moves(toy.lake))
    code, _, err = run(*bad, "rollback-model", "-p", "toy", "--to", "1", "--take-back", "3", *WHY)
    assert (code, "takes back version 2 now, not version 3" in err) == (SpecError.exit_code, True)
    assert (scored_by(toy), aliases(), read_moves(toy.lake)) == before


def test_an_orchestrator_may_ask_again_for_what_is_done_and_tells_people_itself(toy: Toy, bad: Shell) -> None:
    """A killed task may have lost the result of a rollback that was carried out."""
    before = len(told())
    asked = ("rollback-model", "-p", "toy", "--to", "1", "--take-back", "2", *WHY, "--person", "bob", "--run-id", "r7")
    rescored = [json.loads(run(*bad, *asked, "--json")[1])["rescored_rows"] for _ in range(2)]
    assert rescored == [240, 0]
    (move,) = [move for move in read_moves(toy.lake, "champion") if move.person == "bob"]
    assert (move.run_id, move.version_after) == ("r7", "1")
    assert len(told()) == before


def test_a_version_that_does_not_fit_is_not_rolled_back_to(toy: Toy, bad: Shell) -> None:
    label = toy.spec.label.model_copy(update={"expression": "delay > 30"})
    changed = type(toy.pipeline)(toy.pipeline.folder, toy.spec.model_copy(update={"label": label}))
    with pytest.raises(SpecError, match=r"version 1 does not fit .* Nothing was changed"):
        plan_rollback(changed, toy.lake, "1")


def test_without_a_champion_or_a_version_it_says_so(toy: Toy, shell: Shell) -> None:
    with pytest.raises(MissingInputError, match="has no champion to take back"):
        plan_rollback(toy.pipeline, toy.lake, "1")
    with pytest.raises(MissingInputError, match="has no model version 9"):
        plan_rollback(toy.pipeline, toy.lake, "9")


def test_the_only_champion_there_ever_was_cannot_be_rolled_back_to(toy: Toy, shell: Shell) -> None:
    run(*shell, "promote", "-p", "toy", "--model", "1", *GATE)
    with pytest.raises(DataError, match="version 1 is champion already"):
        plan_rollback(toy.pipeline, toy.lake, "1")
