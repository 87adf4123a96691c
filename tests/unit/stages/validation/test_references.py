"""A row stays one row, however many partners it has, and says whether it has one."""

import duckdb
import pytest

from contrail.adapters.contracts import Reference
from contrail.config.pipeline import load_pipeline
from contrail.stages.validation.references import partner_sql, partners_of

WHOLE = Reference(
    ("flight_date", "carrier", "flight", "origin"), "schedule", partition="flight_date", brings=("distance",)
)
PART = Reference(("carrier",), "schedule", partition="flight_date", brings=("distance",))
ANY = Reference(("carrier",), "schedule", partition="flight_date")
LOOSE = Reference(("carrier",), "schedule", partition="flight_date", brings=("distance",), required=False)


@pytest.mark.parametrize(
    ("reference", "has", "brings"),
    [
        (WHOLE, [True, False, None, None], [{"distance": 5}, None, None, None]),
        (PART, [True, True, None, None], [{"distance": 5}, {"distance": 5}, None, None]),
        (ANY, [True, True, None, None], [True, True, None, None]),
        (LOOSE, [None] * 4, [{"distance": 5}, {"distance": 5}, None, None]),
    ],
)
def test_a_row_is_joined_with_one_partner(reference: Reference, has: list[bool | None], brings: list[object]) -> None:
    (partners,) = partners_of(load_pipeline("flight_delay").spec, {"rule": reference}).values()
    day, other = "DATE '2024-01-01'", "DATE '2024-01-02'"
    with duckdb.connect() as connection:
        connection.execute(f"""
            CREATE TABLE partners_rule AS
            SELECT {day} AS partition_date, {day} AS flight_date, 'AA' AS carrier, flight, 'JFK' AS origin, 5 AS distance
            FROM range(3) made(flight)""")
        connection.execute(f"""
            CREATE TABLE rows AS FROM (VALUES
                (0, {day}, 'AA', 2, 'JFK'), (1, {day}, 'AA', 7, 'JFK'), (2, {day}, NULL, 2, 'JFK'), (3, {other}, 'AA', 2, 'JFK')
            ) made(number, flight_date, carrier, flight, origin)""")
        found = connection.execute(f"""
            SELECT rule, {partner_sql(reference, "rule")} FROM (
                SELECT t.*, p.found AS rule FROM rows t LEFT JOIN ({partners.relation}) p ON {partners.same}
            ) t ORDER BY number""").fetchall()
    assert [brought for brought, _ in found] == brings
    assert [known for _, known in found] == has


def test_a_reference_that_nobody_asks_is_not_joined() -> None:
    reference = Reference(("carrier",), "airlines", required=False)
    assert partners_of(load_pipeline("flight_delay").spec, {"rule": reference}) == {}
