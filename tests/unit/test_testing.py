"""A test of a pipeline builds features from a handful of rows, with the visibility that ``validate`` would give them."""

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.conftest import TOY_PIPELINES

from contrail.testing import features_of

DAY = date(2024, 2, 20)


def at(day: int, hour: int) -> datetime:
    return datetime(2024, 2, day, hour, tzinfo=ZoneInfo("America/New_York"))


def parcel(day: int, number: int) -> dict[str, Any]:
    when = date(2024, 2, day)
    booked = at(day - 1, 12)
    return {
        "partition_date": when,
        "ship_date": when,
        "parcel": number,
        "depot": "A",
        "weight": 2.5,
        "booked_at": booked,
    }


def delivery(day: int, number: int, delay: float, known: datetime) -> dict[str, Any]:
    return {"ship_date": date(2024, 2, day), "parcel": number, "delay": delay, "delivered_at": known}


def rates(*deliveries: dict[str, Any]) -> list[Any]:
    parcels = [parcel(20, 1), parcel(19, 1), parcel(18, 1)]
    found = features_of(TOY_PIPELINES / "toy", {"parcels": parcels, "deliveries": deliveries}, DAY)
    return [row["late_rate_7d"] for row in found if row["partition_date"] == DAY]


def test_a_row_is_seen_from_the_cut_off_after_it_was_known() -> None:
    early, late = delivery(18, 1, 30.0, at(18, 15)), delivery(19, 1, 5.0, at(19, 23))
    assert rates(early, late) == [0.5]
    assert rates(early, {**late, "delivered_at": at(20, 0)}) == [1.0], "known at the cut-off, not before it"


def test_columns_and_tables_that_are_left_out_are_empty() -> None:
    (found,) = features_of(TOY_PIPELINES / "toy", {"parcels": [parcel(20, 7)]}, DAY)
    assert (found["parcel"], found["weight"], found["distance"], found["late_rate_7d"]) == (7, 2.5, None, None)
