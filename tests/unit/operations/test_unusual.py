"""What was unusual is read back by day and table."""

from datetime import date

import pyarrow as pa
import pytest
from tests.conftest import Toy

from contrail.lake import records
from contrail.lake.provenance import Provenance
from contrail.operations.summary import UnusualDays, _unusual
from contrail.operations.unusual import unusual_days
from contrail.partitions import Partitions
from contrail.stages.sentences import all_unusual

FIRST, SECOND, THIRD = (date(2024, 1, day) for day in (5, 6, 7))


@pytest.fixture
def profiled(toy: Toy) -> Toy:
    """Three days of profiles: the first has two unusual figures of a table, the last one of each of two tables."""
    dataset = records.profiles(toy.spec)
    rows = [
        (FIRST, "parcels", "rows", "rows is 3"),
        (FIRST, "parcels", "mean weight", "mean weight is 90"),
        (SECOND, "parcels", "rows", None),
        (THIRD, "parcels", "rows", "rows is 4"),
        (THIRD, "deliveries", "rows", "rows is 5"),
    ]
    columns = ("partition_date", "table_name", "figure", "unusual")
    made = [{**dict(zip(columns, row, strict=True)), "value": 1.0} for row in rows]
    provenance = Provenance("run", "validate", "h", "c" * 40, "l")
    table = pa.Table.from_pylist(made, schema=dataset.arrow_schema())
    toy.lake.publish(dataset, table, [FIRST, SECOND, THIRD], provenance)
    return toy


def test_each_unusual_day_has_a_sentence_for_each_table(profiled: Toy) -> None:
    found = unusual_days(profiled.lake)
    assert found == {
        FIRST: ("parcels: mean weight is 90; rows is 3",),
        THIRD: ("deliveries: rows is 5", "parcels: rows is 4"),
    }
    assert list(found) == [FIRST, THIRD]
    assert list(unusual_days(profiled.lake, Partitions(SECOND, THIRD))) == [THIRD]


def test_the_summary_counts_them_and_has_the_newest(profiled: Toy) -> None:
    newest = ("deliveries: rows is 5", "parcels: rows is 4")
    assert _unusual(profiled.lake) == UnusualDays(2, "2024-01-07", newest)


def test_a_lake_without_profiles_has_none(toy: Toy) -> None:
    assert unusual_days(toy.lake) == {}
    assert _unusual(toy.lake) == UnusualDays(0)


def test_the_command_shows_every_unusual_figure(profiled: Toy) -> None:
    query = all_unusual("toy").partition('"')[2].rstrip('"')
    with profiled.lake.connect() as connection:
        assert connection.sql(query).aggregate("count(*)").fetchall() == [(4,)]
