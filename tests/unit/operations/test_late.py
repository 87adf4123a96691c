"""Which days late data score again: those with a champion that the registry still has."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from tests.conftest import Toy
from tests.toy_tables import record_champion

from contrail.operations import late
from contrail.operations.backfill import Backfills
from contrail.partitions import Partitions

DAYS = Partitions.parse("2024-02-08", "2024-02-20")


@pytest.fixture
def scored(toy: Toy, monkeypatch: pytest.MonkeyPatch, collect: Any) -> Callable[..., list[str]]:
    """The ranges that are scored again, when the registry has these versions."""

    def ask(*there: str) -> list[str]:
        monkeypatch.setattr(late, "exists", lambda _, name, version: name == "toy" and version in there)
        backfills = Backfills(toy.pipeline, toy.settings, toy.lake)
        return [str(days) for days in late._with_champions(backfills, DAYS, collect)]

    return ask


def test_days_before_the_first_champion_stay_and_are_told(toy: Toy, scored: Any, collect: Any) -> None:
    record_champion(toy, "1", date(2024, 2, 11))
    assert scored("1") == ["2024-02-11..2024-02-20"]
    (line,) = collect.lines
    assert line.startswith("the predictions of 2024-02-08..2024-02-10 stay as they are")
    assert line.endswith("contrail score -p toy --from 2024-02-08 --to 2024-02-10 --model champion")


def test_without_any_champion_nothing_is_scored_again(scored: Any, collect: Any) -> None:
    assert scored() == []
    assert len(collect.lines) == 1


def test_days_of_a_version_that_was_deleted_stay_and_the_others_are_scored(toy: Toy, scored: Any, collect: Any) -> None:
    for version, since in (("1", 1), ("2", 11), ("3", 14)):
        record_champion(toy, version, date(2024, 2, since))
    assert scored("1", "2", "3") == [str(DAYS)]
    assert scored("1", "3") == ["2024-02-08..2024-02-10", "2024-02-14..2024-02-20"]
    assert "2024-02-11..2024-02-13 stay as they are" in collect.lines[0]
