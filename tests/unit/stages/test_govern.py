"""The governor on published drift, performance and alias moves; the rules themselves are in methods/test_governor."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from tests.conftest import Toy
from tests.toy_tables import record_champion
from tests.unit.cli.test_cli import run
from tests.unit.stages.test_performance import publish

from contrail.errors import SpecError
from contrail.lake import drift_records, records
from contrail.lake.evolution import KEY
from contrail.partitions import Partitions
from contrail.stages import govern

# Trained to 2024-01-15, embargo 1 day, gate 14 days.
FIRST_WINDOW, AS_OF = "2024-01-01..2024-01-15", date(2024, 1, 31)
SHIFT = Partitions(date(2024, 3, 3), date(2024, 3, 10))
DAYS = Partitions(date(2024, 2, 1), date(2024, 3, 10))
Windows = dict[str, str]


@pytest.fixture
def windows(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Windows:
    """The training windows in the registry, which is replaced."""
    found = {"1": FIRST_WINDOW}
    monkeypatch.setattr(govern.registry, "training_windows_of", lambda *_: found)
    monkeypatch.setattr(govern.registry, "alias_version", lambda *_: "1")
    retrain = toy.spec.retrain.model_copy(update={"performance_days": 7, "performance_margin": 0.02})
    spec = toy.spec.model_copy(update={"retrain": retrain})
    monkeypatch.setattr("contrail.config.pipeline.load_spec", lambda _: spec)
    return found


def publish_drift(
    toy: Toy, drifting: Partitions | list[date], version: str = "1", of_label: Partitions | Sequence[date] = ()
) -> None:
    """A verdict for each of ``DAYS``; in the rows of features, which carry none, there is nothing to see."""
    verdicts = [
        {"partition_date": day, "feature": name, "verdict": verdict, "model_version": version}
        for day in DAYS
        for name, verdict in (
            ("*", "drift" if day in drifting else "ok"),
            ("label", "drift" if day in of_label else "ok"),
            ("weight", None),
        )
    ]
    publish(toy, drift_records.drift(toy.spec), verdicts, DAYS)


def publish_performance(toy: Toy, improvement: float = 0.1, labelled: int = 57, version: str = "1") -> None:
    rows = [
        {
            "partition_date": day,
            "model_version": version,
            "rows": 60,
            "labelled": labelled,
            "log_loss": 0.5,
            "baseline_log_loss": 0.5 + improvement,
        }
        for day in DAYS
    ]
    publish(toy, records.performance(toy.spec), rows, DAYS)


@pytest.fixture
def shifted(toy: Toy, windows: Windows) -> Toy:
    """Drift from 3 March on, labels for nearly all rows, and a champion from the gate that ended on 30 January."""
    publish_drift(toy, SHIFT)
    publish_performance(toy)
    record_champion(toy, "1", AS_OF, 0.1)
    return toy


def decisions(toy: Toy) -> dict[str, str]:
    return dict(toy.sql("SELECT strftime(partition_date, '%m-%d'), decision FROM governor ORDER BY 1"))


def test_days_one_by_one_read_as_a_story(shifted: Toy, windows: Windows) -> None:
    for day in Partitions(date(2024, 3, 1), date(2024, 3, 8)):
        result = shifted.run("govern", str(day))
        if result.details.decision == "retrain":
            end = day - timedelta(days=16)
            windows["2"] = f"2024-01-06..{end}"
    assert decisions(shifted) == {
        **{f"03-0{day}": "hold" for day in (1, 2, 3, 4)},
        "03-05": "retrain",
        **{f"03-0{day}": "refused" for day in (6, 7, 8)},
    }
    reasons = shifted.sql("SELECT reasons FROM governor WHERE partition_date = DATE '2024-03-06'")[0][0]
    assert reasons.splitlines() == [
        "drift on 4 of the last 5 days; 3 trigger a training",
        "the training of version 2 is as of 2024-03-05; the cool-down of 28 days ends on 2024-04-02",
    ]


def test_one_strange_day_does_not_retrain(toy: Toy, windows: Windows) -> None:
    publish_drift(toy, [date(2024, 3, 5)])
    publish_performance(toy)
    for day in range(5, 10):
        toy.run("govern", f"2024-03-0{day}")
    assert set(decisions(toy).values()) == {"hold"}


def test_a_lasting_shift_of_the_label_retrains_and_a_strange_day_of_it_does_not(toy: Toy, windows: Windows) -> None:
    publish_performance(toy)
    record_champion(toy, "1", AS_OF, 0.1)
    publish_drift(toy, [], of_label=[date(2024, 3, 5)])
    assert toy.run("govern", "2024-03-05").details.decision == "hold"
    publish_drift(toy, [], of_label=SHIFT)
    found = toy.run("govern", "2024-03-05").details
    assert (found.decision, found.trigger) == ("retrain", "label-drift")
    assert found.evidence.label_drift == {f"2024-03-0{d}": "drift" if d > 2 else "ok" for d in range(1, 6)}
    assert set(found.evidence.drift.values()) == {"ok"}


def test_drift_of_the_label_against_another_model_does_not_count(toy: Toy, windows: Windows) -> None:
    publish_performance(toy)
    publish_drift(toy, [], version="7", of_label=SHIFT)
    assert toy.run("govern", "2024-03-05").details.evidence.label_drift == {}


def test_a_row_says_what_was_seen_decided_and_why(shifted: Toy) -> None:
    result = shifted.run("govern", "2024-03-05")
    (row,) = shifted.lake.scan("governor").to_pylist()
    assert (row["decision"], row["trigger"], row["asked"]) == ("retrain", "drift", "monitor")
    assert (row["model_version"], row["person"], row["run_id"]) == ("1", "pipeline", result.run_id)
    evidence = json.loads(row["evidence"])
    assert evidence["drift"] == {f"2024-03-0{day}": "drift" if day > 2 else "ok" for day in range(1, 6)}
    assert list(evidence["improvements"]) == [str(day) for day in Partitions(date(2024, 2, 26), date(2024, 3, 3))]
    assert evidence["reference"] == 0.1
    assert (evidence["labelled"], evidence["rows"]) == (7 * 57, 7 * 60)
    assert evidence["trainings"] == [{"as_of": "2024-01-31", "what": "the training of version 1"}]
    assert result.as_dict()["details"]["evidence"] == evidence
    inputs = shifted.lake.history("governor")[0].provenance.inputs
    assert inputs == {name: shifted.lake.snapshot_id(name) for name in ("drift", "performance", "model_history")}


def test_again_is_the_same_and_a_training_is_asked_for_once(shifted: Toy, windows: Windows) -> None:
    first = shifted.run("govern", "2024-03-05")
    windows["2"] = "2024-01-06..2024-02-18"
    again = shifted.run("govern", "2024-03-05")
    assert again.unchanged
    assert again.details == first.details
    assert len(shifted.lake.history("governor")) == 1


def test_a_hold_is_decided_again_when_more_is_known(toy: Toy, windows: Windows) -> None:
    publish_performance(toy)
    assert toy.run("govern", "2024-03-05").details.decision == "hold"
    publish_drift(toy, SHIFT)
    assert toy.run("govern", "2024-03-05").details.decision == "retrain"
    assert decisions(toy) == {"03-05": "retrain"}


def test_a_training_that_was_asked_for_and_is_not_there_yet_counts(shifted: Toy) -> None:
    shifted.run("govern", "2024-03-05")
    found = shifted.run("govern", "2024-03-06").details
    assert found.decision == "refused"
    assert "the training that the governor asked for is as of 2024-03-05; the cool-down" in found.reasons[1]


def test_drift_against_another_model_than_the_champion_does_not_count(shifted: Toy) -> None:
    record_champion(shifted, "2", date(2024, 3, 4), 0.1)
    found = shifted.run("govern", "2024-03-05").details
    assert (found.decision, found.model_version) == ("hold", "2")
    assert shifted.run("govern", "2024-03-03").details.model_version == "1"


def test_decay_of_the_champion_retrains(toy: Toy, windows: Windows) -> None:
    publish_drift(toy, [])
    publish_performance(toy, improvement=0.05)
    record_champion(toy, "1", AS_OF, 0.1)
    found = toy.run("govern", "2024-03-05").details
    assert (found.decision, found.trigger) == ("retrain", "performance")


def test_decay_of_another_model_does_not(toy: Toy, windows: Windows) -> None:
    publish_performance(toy, improvement=-1.0, version="7")
    assert toy.run("govern", "2024-03-05").details.decision == "hold"


def test_without_labels_it_is_refused(shifted: Toy) -> None:
    publish_performance(shifted, labelled=20)
    found = shifted.run("govern", "2024-03-05").details
    assert found.decision == "refused"
    assert "labels are known for 33.3% of 420 predictions; 80.0% are needed" in found.reasons[1]


def test_a_person_asks_in_their_name_beside_the_monitors_decision(
    shifted: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONTRAIL_PERSON", "ann")
    shifted.run("govern", "2024-03-02")
    code, out, _ = run(
        monkeypatch, capsys, "govern", "-p", "toy", "--on", "2024-03-02", "--reason", "new depot", "--json"
    )
    assert (code, json.loads(out)["details"]["decision"]) == (0, "retrain")
    rows = shifted.sql("SELECT asked, decision, trigger, person FROM governor ORDER BY asked")
    assert rows == [("by-hand", "retrain", "by-hand", "ann"), ("monitor", "hold", None, "pipeline")]


def test_what_a_person_was_told_is_no_training_and_does_not_keep_drift_from_one(shifted: Toy) -> None:
    assert shifted.run("govern", "2024-03-02", reason="new depot").details.decision == "retrain"
    found = shifted.run("govern", "2024-03-05").details
    assert (found.decision, found.trigger) == ("retrain", "drift")


def test_each_run_of_the_dag_train_has_a_row_and_asks_once(
    shifted: Toy, windows: Windows, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(training: str, *more: str) -> str:
        given = ["--on", "2024-03-02", "--training", training, "--json", *more]
        code, out, _ = run(monkeypatch, capsys, "govern", "-p", "toy", *given)
        assert code == 0
        return str(json.loads(out)["details"]["decision"])

    by_hand = ("--asked", "by-hand", "--person", "ann")
    assert ask("scheduled__1", "--asked", "schedule") == "retrain"
    assert ask("manual__1", *by_hand, "--reason=new depot") == "retrain"
    windows["2"] = "2024-01-06..2024-02-15"  # as of 2 March
    assert ask("manual__1", *by_hand) == "retrain", "the task was tried again"
    assert ask("manual__2", *by_hand) == "refused"
    assert ask("manual__3", *by_hand, "--insist") == "retrain"
    assert ask("scheduled__2", "--asked", "schedule") == "refused"
    rows = shifted.sql("SELECT asked, training, decision, trigger, person FROM governor ORDER BY ALL")
    assert rows == [
        ("by-hand", "manual__1", "retrain", "by-hand", "ann"),
        ("by-hand", "manual__2", "refused", "by-hand", "ann"),
        ("by-hand", "manual__3", "retrain", "by-hand", "ann"),
        ("schedule", "scheduled__1", "retrain", "schedule", "pipeline"),
        ("schedule", "scheduled__2", "refused", "schedule", "pipeline"),
    ]
    reasons = shifted.sql("SELECT reasons FROM governor WHERE training IN ('manual__1', 'manual__3') ORDER BY training")
    assert reasons[0] == ("a person asks for a training: new depot",)
    assert "\nin spite of this: the training of version 2 is as of 2024-03-02; the cool-down" in reasons[1][0]


def test_a_table_from_before_trainings_were_named_is_still_read(shifted: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    before = records.governor(shifted.spec)
    columns = {name: column for name, column in before.columns.items() if name != "training"}
    old = {"asked": "monitor", "decision": "retrain", "evidence": "{}", "partition_date": date(2024, 3, 4)}
    publish(
        shifted,
        replace(before, columns=columns, key=("asked",)),
        [old],
        Partitions(old["partition_date"], old["partition_date"]),
    )
    with shifted.lake.table("governor").transaction() as transaction:
        transaction.remove_properties(KEY)  # as tables of that time were
    assert shifted.run("govern", "2024-03-05").details.decision == "refused"
    assert shifted.run("govern", "2024-03-04").unchanged


def test_a_refusal_is_printed_with_its_reason_and_is_no_error(
    shifted: Toy, windows: Windows, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    windows["2"] = "2024-01-06..2024-02-10"
    code, out, _ = run(monkeypatch, capsys, "govern", "-p", "toy", "--on", "2024-03-05")
    assert code == 0
    assert "refused for 2024-03-05 (trigger: drift)" in out
    assert "the training of version 2 is as of 2024-02-26; the cool-down of 28 days ends on 2024-03-25" in out


def test_an_empty_lake_holds(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    found = toy.run("govern", "2024-03-05").details
    assert (found.decision, found.model_version) == ("hold", None)
    assert not (toy.settings.home_path / "mlflow" / "mlflow.db").exists(), "looking must not make a registry"


def test_a_range_is_refused(toy: Toy) -> None:
    with pytest.raises(SpecError, match="one day at a time"):
        toy.run("govern", "2024-03-05", "2024-03-06")


def test_nothing_after_the_day_is_read(shifted: Toy) -> None:
    before: Any = shifted.run("govern", "2024-03-02").details.evidence
    publish_drift(shifted, [*SHIFT, *Partitions(date(2024, 3, 3), date(2024, 3, 4))])
    assert shifted.run("govern", "2024-03-02").details.evidence == before
    assert max(before.improvements) == "2024-02-29"
    assert max(before.drift) == "2024-03-02"


def test_a_day_reads_a_bounded_history(shifted: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    shifted.run("govern", "2024-03-01")
    scan, read = type(shifted.lake).scan, {}

    def spy(self: Any, name: str, partitions: Partitions | None = None, *rest: Any) -> Any:
        read[name] = partitions
        return scan(self, name, partitions, *rest)

    monkeypatch.setattr(type(shifted.lake), "scan", spy)
    shifted.run("govern", "2024-03-05")
    assert read == {
        "governor": Partitions(date(2024, 2, 3), date(2024, 4, 5)),
        "model_history": None,  # a row a move, of which there are few
        "drift": Partitions(date(2024, 3, 1), date(2024, 3, 5)),
        "performance": Partitions(date(2024, 2, 26), date(2024, 3, 3)),
    }
