"""Snapshots of the metadata and of the archive are one history."""

import pytest
from tests.unit.lake.shop import DAY1, DAY2, ITEMS, provenance, rows

from contrail.lake import snapshots, upkeep
from contrail.lake.lake import Lake


@pytest.fixture
def made(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.setattr(upkeep, "LISTED", 2)
    return [lake.publish(ITEMS, rows([DAY1], str(number)), [DAY1], provenance()) for number in range(7)]


def test_each_leads_to_the_one_before(lake: Lake, made: list[int]) -> None:
    table = lake.table("items")
    found = [snapshots.find(table, made[-1])]
    while (last := found[-1]) is not None:
        found.append(snapshots.parent(table, last))
    assert [one.snapshot_id for one in found if one] == made[::-1]
    assert [one.snapshot_id for one in snapshots.in_order(table)] == made
    assert snapshots.find(table, 42) is None


def test_the_one_of_a_moment_is_found_wherever_it_is(lake: Lake, made: list[int]) -> None:
    table = lake.table("items")
    moments = {one.snapshot_id: one.timestamp_ms for one in snapshots.in_order(table)}
    for snapshot, moment in moments.items():
        found = snapshots.at(table, moment)
        assert found
        assert moments[found.snapshot_id] == moment
        assert found.snapshot_id >= 0 and (found.snapshot_id == snapshot or list(moments.values()).count(moment) > 1)
    assert snapshots.at(table, min(moments.values()) - 1) is None


def test_a_rollback_is_in_the_log(lake: Lake, made: list[int]) -> None:
    lake.rollback("items", made[-2])
    last = lake.table("items").history()[-1]
    lake.publish(ITEMS, rows([DAY2]), [DAY2], provenance())
    lake.publish(ITEMS, rows([DAY2], "x"), [DAY2], provenance())
    lake.publish(ITEMS, rows([DAY2], "y"), [DAY2], provenance())
    found = snapshots.at(lake.table("items"), last.timestamp_ms)
    assert found
    assert found.snapshot_id == made[-2]
