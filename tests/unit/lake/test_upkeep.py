"""Which snapshots stay and which expire."""

from itertools import count
from types import SimpleNamespace

import pytest
from tests.unit.lake.shop import DAY1, DAY2, ITEMS, contents, provenance, rows

from contrail.lake.lake import Lake


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


def test_they_expire_in_the_order_of_their_commits_even_when_the_clock_runs_back(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = count(2_000_000_000, -86_400)
    monkeypatch.setattr("pyiceberg.table.snapshots.time", SimpleNamespace(time=lambda: next(seconds)))
    lake.settings = lake.settings.model_copy(update={"snapshots_kept": 3})
    made = [lake.publish(ITEMS, rows([DAY1], str(number)), [DAY1], provenance()) for number in range(8)]
    kept = [entry.snapshot for entry in lake.history("items")]
    assert kept == made[: -len(kept) - 1 : -1], "the last ones, newest first"
    assert len(lake.lineage("items").commits) == len(kept) <= 4
