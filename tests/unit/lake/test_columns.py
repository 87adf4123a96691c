from datetime import date

from tests.conftest import Toy
from tests.toy_tables import publish_toy

from contrail.lake import columns
from contrail.lake.columns import Columns
from contrail.partitions import Partitions

DAYS = Partitions(date(2024, 1, 2), date(2024, 1, 4))


def test_columns_are_those_of_a_scan_however_few_are_read_at_a_time(toy: Toy, monkeypatch) -> None:
    publish_toy(toy, "2024-01-01", "2024-01-05")
    whole, read = toy.lake.scan("features", DAYS), []
    real = columns.read_rows
    monkeypatch.setattr(columns, "read_rows", lambda files, schema: read.append(schema.names) or real(files, schema))
    for room, reads in ((2**30, 1), (1, len(whole.column_names))):
        small = toy.settings.model_copy(update={"memory_limit": room})
        found = Columns(type(toy.lake)(small, toy.spec.name), "features", DAYS, toy.lake.snapshot_id("features"))
        assert all(found.column(name).equals(whole.column(name)) for name in whole.column_names)
        assert len(read) == reads
        read.clear()


def test_days_without_rows_have_empty_columns(toy: Toy) -> None:
    publish_toy(toy, "2024-01-01", "2024-01-02")
    found = Columns(toy.lake, "features", Partitions(date(2024, 2, 1), date(2024, 2, 2)), None)
    assert found.column("weight").to_pylist() == []
