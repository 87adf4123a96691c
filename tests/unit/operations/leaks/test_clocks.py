"""A clock is found wrong in both directions, and only where another zone explains it does it count as a leak."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from tests.conftest import Toy
from tests.toy_tables import rows_of
from tests.unit.lake.test_views import with_personal
from tests.unit.operations.leaks.conftest import BY_HAND, publish

from contrail.config.personal import MASK
from contrail.lake import datasets
from contrail.lake.sessions import session
from contrail.operations.leaks import clocks
from contrail.operations.leaks.clocks import _contradicted, _Event
from contrail.operations.leaks.findings import LEAK, WARNING, Finding
from contrail.partitions import Partitions

DAY = Partitions.parse("2024-01-12")
HOUR = "TIMESTAMPTZ '2024-07-01 12:00:00+00' + INTERVAL (number) HOUR"


@pytest.mark.parametrize(
    ("zone", "known", "why"),
    [
        ("America/New_York", f"timezone('UTC', timezone('America/New_York', {HOUR}))", "marked as UTC"),
        ("Europe/Berlin", f"timezone('Europe/Berlin', timezone('UTC', {HOUR}))", "UTC taken for local time"),
        ("America/New_York", f"{HOUR} - INTERVAL 30 DAYS", None),
        ("America/New_York", HOUR, ""),
    ],
)
def test_a_wrong_zone_is_told_from_other_contradictions(toy: Toy, zone: str, known: str, why: str | None) -> None:
    known_at = f"{known} AS known, {HOUR} - INTERVAL 10 MINUTES AS at"
    columns = f"DATE '2024-07-01' AS partition_date, DATE '2024-07-01' AS ship_date, number AS parcel, {known_at}"
    rows = f"(SELECT {columns} FROM range(100) r(number)) t"
    spec = toy.spec.model_copy(update={"timezone": zone})
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = _contradicted(connection, spec, _Event("deliveries", "known", "t.at", "at", rows))
    if why == "":
        assert found is None
        return
    assert found is not None
    assert (found.rows, found.level) == (100, LEAK if why else WARNING)
    assert why is None or why in found.says


def of(toy: Toy) -> list[Finding]:
    with session(toy.settings) as connection:
        return list(
            clocks.of_clocks(connection, toy.lake, toy.spec, Partitions.parse("2024-01-10", "2024-01-20")).findings
        )


def published(toy: Toy, change: Callable[[Any], Any]) -> Toy:
    publish(toy, "deliveries", change(rows_of(DAY)), DAY)
    return toy


def test_right_clocks_are_clean(filled: Toy) -> None:
    assert of(filled) == []


def test_rows_that_were_known_before_their_day_are_shown(filled: Toy) -> None:
    early = published(filled, lambda rows: rows.assign(delivered_at=rows["delivered_at"] - timedelta(days=30)))
    (found,) = of(early)
    assert (found.level, found.subject, found.rows) == (WARNING, "deliveries.delivered_at", 60)
    assert found.says == "60 of 660 rows were known before ship_date"
    assert found.examples[0].key == {"ship_date": date(2024, 1, 12), "parcel": 0}


def test_times_of_persons_are_not_shown(filled: Toy) -> None:
    early = published(filled, lambda rows: rows.assign(delivered_at=rows["delivered_at"] - timedelta(days=30)))
    early.spec = with_personal(early.spec, "deliveries", "delivered_at")
    (found,) = of(early)
    assert {(row.value, row.other) for row in found.examples} == {(MASK, MASK)}


def test_rows_that_claim_to_be_known_later_than_they_came_are_said(filled: Toy) -> None:
    (found,) = of(
        published(filled, lambda rows: rows.assign(delivered_at=rows["delivered_at"] + timedelta(days=36_500)))
    )
    assert found.says == "rows of 1 day, first 2024-01-12, claim to be known after they were in the lake"


def test_rows_outside_the_day_of_their_file_are_said(filled: Toy) -> None:
    row = {
        "partition_date": DAY.start,
        "table_name": "deliveries",
        "rule": "known_at_in_partition",
        "detail": "",
        "row": "{}",
    }
    row |= {"file": "f", "line": 1, "run_id": "r", "quarantined_at": 0}
    dataset = datasets.quarantine(filled.spec)
    filled.lake.publish(dataset, pa.Table.from_pylist([row], dataset.arrow_schema()), DAY, BY_HAND)
    (found,) = of(filled)
    assert (found.level, found.subject, found.rows) == (WARNING, "deliveries.delivered_at", 1)
