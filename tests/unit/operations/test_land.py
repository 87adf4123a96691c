"""What a source is asked for a day. Whole landings from databases are in tests/integration/test_sources.py."""

from datetime import UTC, date, datetime

import pyarrow as pa
from tests.conftest import Toy
from tests.unit.lake.test_forgotten import KEY, marks_of

from contrail.adapters.landed_columns import Columns
from contrail.operations.land import parameters_of_day, without_forgotten


def test_a_day_lies_between_two_midnights_of_the_pipelines_zone(toy: Toy) -> None:
    assert parameters_of_day(toy.spec, date(2024, 3, 10)) == {
        "day": date(2024, 3, 10),
        "start": datetime(2024, 3, 10, 5, tzinfo=UTC),
        "end": datetime(2024, 3, 11, 4, tzinfo=UTC),  # New York's clocks went forward in that night
    }
    assert parameters_of_day(toy.spec, None) == {}


def test_a_database_brings_no_forgotten_person_back() -> None:
    columns = Columns(["day", "number"], (), {"old_number": "number"})
    days = pa.array([date(2024, 1, 2)] * 2, pa.date32())
    batch = pa.RecordBatch.from_pydict({"day": days, "old_number": [7, 8]})
    (kept,) = without_forgotten(marks_of(KEY, "2024-01-02", "7"), columns, [batch])
    assert kept.to_pydict() == {"day": [date(2024, 1, 2)], "old_number": [8]}
