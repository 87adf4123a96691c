"""Trainings that mix their days, judge themselves on seen rows, or know later categories."""

from dataclasses import replace
from typing import Any

import pytest
from tests.conftest import Prepare, Toy
from tests.toy_tables import skip_what_only_train_needs
from tests.unit.notebook.conftest import judged_and_scored

from contrail.adapters import registry
from contrail.adapters.registry import VersionInfo
from contrail.config.spec import PipelineSpec
from contrail.lake.sessions import session
from contrail.operations.leaks import trainings
from contrail.operations.leaks.findings import LEAK, WARNING, Told
from contrail.partitions import Partitions


@pytest.fixture
def scored(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    skip_what_only_train_needs(monkeypatch)
    return prepared(judged_and_scored)


def of_encoding(toy: Toy) -> Told:
    with session(toy.settings) as connection:
        return trainings.of_encoding(connection, toy.lake, toy.spec)


def test_a_real_training_and_its_decision_are_clean(scored: Toy) -> None:
    found = trainings.of_split(scored.lake, scored.spec)
    assert (found.findings, found.says) == ((), "A training of 40 days, and 1 decisions on versions.")
    assert of_encoding(scored) == Told(says="Categories of version 1.")


def test_a_category_of_later_days_is_found(scored: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    real = registry.resolve(scored.settings, "toy", "champion")
    card = real.package.card.model_copy(update={"categories": {"depot": ["A", "B", "C", "later"]}})
    fitted_later = replace(real, package=replace(real.package, card=card))
    monkeypatch.setattr(registry, "resolve", lambda *_: fitted_later)
    (found,) = of_encoding(scored).findings
    assert (found.level, found.subject, found.rows) == (LEAK, "depot", 1)
    assert 'version 1 knows "later", which its training of 2024-01-01..2024-02-09 did not have' in found.says


@pytest.mark.parametrize(("judged", "seen"), [("2024-02-10..2024-02-20", False), ("2024-02-09..2024-02-20", True)])
def test_rows_of_the_training_may_not_judge_it(judged: str, seen: bool) -> None:
    tags = {"training_window": "2024-01-01..2024-02-09", "decision_window": judged}
    assert [one.level for one in trainings._of_decision(VersionInfo("toy", "3", "r", tags))] == [LEAK] * seen


class Shuffled:
    """A split that takes every second row, whatever its day."""

    def masks(self, days: Any) -> Any:
        chosen = (days.astype(int) + range(len(days))) % 2 == 0
        return chosen, ~chosen


def embargo(spec: PipelineSpec, days: int) -> PipelineSpec:
    return spec.model_copy(update={"train": spec.train.model_copy(update={"embargo_days": days})})


def test_a_split_that_is_not_one_of_time_is_a_leak(toy: Toy) -> None:
    window = Partitions.parse("2024-01-01", "2024-02-09")
    (found,) = trainings._of_split(toy.spec, Shuffled(), window)  # type: ignore[arg-type]
    assert (found.check, found.level) == ("split", LEAK)


def test_an_embargo_that_is_shorter_than_labels_take_is_a_warning(toy: Toy) -> None:
    for days, levels in ((1, []), (0, [WARNING])):
        found = trainings.of_split(toy.lake, embargo(toy.spec, days))
        assert [one.level for one in found.findings] == levels
