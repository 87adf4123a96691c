"""Which snapshots stay and which expire."""

from tests.unit.lake.shop import DAY1, DAY2, ITEMS, contents, provenance, rows

from contrail.lake.lake import Lake


def test_a_name_can_be_taken_from_a_snapshot_again(lake: Lake) -> None:
    first = lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    lake.tag("items", first, "before-x")
    lake.untag("items", "before-x")
    lake.untag("items", "before-x")
    assert lake.history("items")[0].tags == ()


def test_old_snapshots_expire_but_tagged_ones_stay(lake: Lake) -> None:
    lake.settings = lake.settings.model_copy(update={"snapshots_kept": 5})
    first = lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    lake.tag("items", first, "model-1")
    for number in range(12):
        lake.publish(ITEMS, rows([DAY2], str(number)), [DAY2], provenance())
    kept = [entry.snapshot for entry in lake.history("items")]
    assert first in kept
    assert len(kept) <= 7
    assert set(lake.scan("items", snapshot_id=first)["colour"].to_pylist()) == {"red"}
    assert contents(lake) == [(DAY1, "red", 3), (DAY2, "11", 3)]
