"""A commit copies the metadata of its table few times."""

from datetime import date

import pyarrow as pa
import pyiceberg.table
import pytest
from tests.conftest import Toy

from contrail.lake import datasets, publisher
from contrail.lake.provenance import Provenance
from contrail.lake.transactions import ThriftyTransaction

DAY = date(2024, 1, 5)


def test_a_commit_copies_the_metadata_few_times(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = datasets.quarantine(toy.spec)
    nothing = pa.Table.from_pylist([], schema=dataset.arrow_schema())
    toy.lake.publish(dataset, nothing, [DAY], Provenance("first", "test", "", "", ""))
    copies, real = [], pyiceberg.table.update_table_metadata

    def counting(*arguments: object) -> object:
        copies.append(arguments)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pyiceberg.table, "update_table_metadata", counting)
    table = toy.lake.table(dataset.name)
    assert publisher.note(table, {"run": "second"}) == table.current_snapshot().snapshot_id  # type: ignore[union-attr]
    assert 0 < len(copies) <= 3


def test_it_sees_its_own_changes_and_those_of_others(toy: Toy) -> None:
    dataset = datasets.quarantine(toy.spec)
    toy.lake.ensure(dataset)
    table, other = (toy.lake.table(dataset.name) for _ in range(2))
    transaction = ThriftyTransaction(table)
    assert "mine" not in transaction.table_metadata.properties
    transaction.set_properties(mine="1")
    assert transaction.table_metadata.properties["mine"] == "1"
    with other.transaction() as others:
        others.set_properties(theirs="2")
    table.refresh()
    seen = transaction.table_metadata.properties
    assert (seen["mine"], seen["theirs"]) == ("1", "2")
