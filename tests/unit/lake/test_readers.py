"""Readers: partitions, columns and old snapshots, and what is not there."""

import pytest
from tests.unit.lake.shop import DAY1, DAY2, ITEMS, provenance, rows

from contrail.errors import MissingInputError
from contrail.lake.lake import Lake
from contrail.partitions import Partitions


def test_scan_reads_partitions_columns_and_old_snapshots(lake: Lake) -> None:
    first = lake.publish(ITEMS, rows([DAY1, DAY2]), [DAY1, DAY2], provenance())
    lake.publish(ITEMS, rows([DAY2], "blue"), [DAY2], provenance())
    found = lake.scan("items", Partitions(DAY2, DAY2), ["colour"])
    assert found.to_pydict() == {"colour": ["blue"] * 3}
    assert set(lake.scan("items", snapshot_id=first)["colour"].to_pylist()) == {"red"}


def test_a_snapshot_that_is_not_there_is_not_an_empty_one(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    with pytest.raises(MissingInputError, match=r"shop\.items has no snapshot 42, or it has expired"):
        lake.scan("items", snapshot_id=42)


def test_partitions_say_rows_and_when(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1, DAY2]), [DAY1, DAY2], provenance())
    before = lake.partitions("items")
    lake.publish(ITEMS, rows([DAY2], count=5), [DAY2], provenance())
    after = lake.partitions("items")
    assert {day: state.rows for day, state in after.items()} == {DAY1: 3, DAY2: 5}
    assert after[DAY1].updated_at == before[DAY1].updated_at
    assert after[DAY2].updated_at > before[DAY2].updated_at  # type: ignore[operator]
