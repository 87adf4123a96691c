"""What happened to models, with the day of the partitions at which each counts."""

from datetime import date

import pytest
from tests.conftest import Prepare, Toy
from tests.toy_tables import skip_what_only_train_needs
from tests.unit.operations.test_rollback_model import two_candidates

from contrail.errors import GateRefusedError
from contrail.operations.model_events import model_events
from contrail.operations.rollback_model import plan_rollback, roll_back

GATE = ("2024-02-11", "2024-02-24")
COUNTS = date(2024, 2, 25)  # the day after the gate's


@pytest.fixture
def toy(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    skip_what_only_train_needs(monkeypatch)
    return prepared(two_candidates)


def found(toy: Toy) -> list[tuple[object, ...]]:
    events = model_events(toy.lake, toy.pipeline)
    return [(one.stage, one.decision, one.version, one.day, one.instead_of) for one in events]


def test_a_training_counts_at_its_last_day_and_a_decision_after_its_gate(toy: Toy) -> None:
    trained = [("train", "trained", "1", date(2024, 1, 31), ""), ("train", "trained", "2", date(2024, 2, 8), "")]
    assert found(toy) == trained
    with pytest.raises(GateRefusedError):
        toy.run("promote", *GATE, model="2", approval="refused", person="grace", reason="no")
    assert found(toy) == [*trained, ("promote", "refused", "2", COUNTS, "")]


def test_a_rollback_is_none_of_the_promotions(toy: Toy) -> None:
    toy.run("promote", *GATE, model="1", approval="approved", person="grace", reason="the first")
    for to in ("2", "1"):
        roll_back(plan_rollback(toy.pipeline, toy.lake, to), person="ann", reason=f"to {to}")
    assert found(toy)[2:] == [
        ("promote", "promoted", "1", COUNTS, ""),
        ("promote", "promoted", "2", COUNTS, "1"),
        ("promote", "taken back", "1", COUNTS, "2"),
    ]
    last = model_events(toy.lake, toy.pipeline)[-1]
    assert (last.person, last.reason) == ("ann", "to 1")
