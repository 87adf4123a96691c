"""A table's snapshots say who made them and from what. The page's tests read lists and columns."""

import pytest
from tests.conftest import Prepare, Toy
from tests.toy_tables import record_champion

from contrail.errors import SpecError
from contrail.operations.tables import table, tables


def two_moves(toy: Toy) -> None:
    first = toy.spec.first_partition
    record_champion(toy, "1", first)
    record_champion(toy, "2", first)


def test_the_newest_snapshot_comes_first_and_says_its_run(prepared: Prepare) -> None:
    toy = prepared(two_moves)
    found = table(toy.lake, toy.pipeline, "model_history")
    assert [(one.run_id, one.current, one.rows) for one in found.snapshots] == [("r2", True, 2), ("r1", False, 1)]
    assert found.snapshots_kept == 2
    assert found.table.rows == 2
    assert found.table.changed_at == max(one.committed_at for one in found.snapshots).replace(
        microsecond=found.table.changed_at.microsecond
    )


def test_a_table_that_nobody_has_made_is_described_all_the_same(prepared: Prepare) -> None:
    toy = prepared(two_moves)
    listed = {one.name: one for one in tables(toy.lake, toy.pipeline)}
    assert listed["predictions"].rows is None
    assert listed["predictions_latest"].view
    assert listed["model_history"].last == toy.spec.first_partition
    with pytest.raises(SpecError, match=r"no table 'nothing'\. Tables: raw_parcels"):
        table(toy.lake, toy.pipeline, "nothing")
