"""Going back to an earlier snapshot, whether the metadata still has it or the archive."""

from pathlib import Path

import pytest
from tests.unit.lake.shop import DAY1, DAY2, DAY3, ITEMS, contents, provenance, rows

from contrail.errors import DamagedError, DataError
from contrail.lake import upkeep
from contrail.lake.lake import Lake
from contrail.partitions import Partitions


def test_rollback_and_forward(lake: Lake) -> None:
    first = lake.publish(ITEMS, rows([DAY1], "red"), [DAY1], provenance())
    second = lake.publish(ITEMS, rows([DAY1], "blue"), [DAY1], provenance())
    lake.rollback("items", first)
    assert contents(lake) == [(DAY1, "red", 3)]
    lake.rollback("items", second)
    assert contents(lake) == [(DAY1, "blue", 3)]
    lake.rollback("items", second)
    with pytest.raises(DataError, match="no snapshot 42"):
        lake.rollback("items", 42)


@pytest.fixture
def made(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.setattr(upkeep, "LISTED", 2)
    days = (DAY1, DAY2, DAY2, DAY1, DAY3, DAY3)
    return [
        lake.publish(ITEMS, rows([day], str(number)), [day], provenance(f"run-{number}"))
        for number, day in enumerate(days)
    ]


def test_a_snapshot_of_the_archive_comes_back_with_its_lineage(lake: Lake, made: list[int]) -> None:
    assert lake.table("items").snapshot_by_id(made[1]) is None
    lake.rollback("items", made[1])
    assert contents(lake) == [(DAY1, "0", 3), (DAY2, "1", 3)]
    newest, *before = lake.lineage("items").commits
    assert [commit.snapshot for commit in before] == made[1::-1]
    assert newest.words == f"back to snapshot {made[1]}"
    lineage = lake.lineage("items")
    maker = lineage.maker(DAY2)
    assert maker is not None
    assert maker.provenance.run_id == "run-1"
    assert lineage.unchanged_since(made[1], Partitions(DAY1, DAY3))
    assert not lineage.knows(made[4])
    assert lake.verify("items").damages == ()
    lake.publish(ITEMS, rows([DAY2], "new"), [DAY2], provenance())
    assert contents(lake) == [(DAY1, "0", 3), (DAY2, "new", 3)]
    lake.rollback("items", made[4])
    assert contents(lake) == [(DAY1, "3", 3), (DAY2, "2", 3), (DAY3, "4", 3)]
    assert lake.lineage("items").maker(DAY1) is not None


def test_it_does_not_go_back_to_files_that_are_gone(lake: Lake, made: list[int]) -> None:
    (path,) = lake.files("items", Partitions(DAY2, DAY2), made[1])
    Path(path.removeprefix("file://")).unlink()
    before = contents(lake)
    with pytest.raises(DamagedError):
        lake.rollback("items", made[1])
    assert contents(lake) == before


def test_the_history_says_who_went_back(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    first = lake.publish(ITEMS, rows([DAY1], "red"), [DAY1], provenance())
    second = lake.publish(ITEMS, rows([DAY1], "blue"), [DAY1], provenance())
    monkeypatch.setenv("CONTRAIL_PERSON", "anna")
    for _ in range(2):  # the second has nothing to do
        lake.rollback("items", first)
    newest, oldest = lake.history("items")
    assert oldest.rollback.startswith(f"back from {second} by anna at 20")
    assert oldest.as_dict()["rollback"] == oldest.rollback
    assert newest.rollback == ""
    assert "rollback" not in newest.as_dict()
