"""Labels join to features by key and count only from the cut-off at which they were known."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from tests.conftest import Toy

from contrail.errors import MissingInputError
from contrail.lake import datasets
from contrail.lake.labels import mature_days, read_labels, read_training_rows
from contrail.lake.provenance import Provenance
from contrail.partitions import Partitions

DAY = date(2024, 1, 5)
NEXT = DAY + timedelta(days=1)
RUN = Provenance("r", "test", "h", "c", "l")


@pytest.fixture
def labelled(toy: Toy) -> Toy:
    """Three parcels of DAY: delivered in time, delivered late on the next day, and never delivered."""
    at = datetime(2024, 1, 5, tzinfo=UTC)
    parcels = [
        {
            "partition_date": DAY, "ship_date": DAY, "parcel": n,
            "depot": "A", "weight": 1.0, "booked_at": at, "visible_from": DAY,
        }
        for n in (1, 2, 3)
    ]  # fmt: skip
    deliveries = [
        {"partition_date": DAY, "ship_date": DAY, "parcel": 1, "delay": 3.0, "delivered_at": at, "visible_from": NEXT},
        {
            "partition_date": NEXT,
            "ship_date": DAY,
            "parcel": 2,
            "delay": 90.0,
            "delivered_at": at,
            "visible_from": NEXT + timedelta(days=1),
        },
    ]
    features = [
        {
            "partition_date": DAY, "ship_date": DAY, "parcel": n, "cutoff_at": at,
            "depot": "A", "weight": 1.0, "distance": 5.0, "late_rate_7d": None,
        }
        for n in (3, 2, 1)
    ]  # fmt: skip
    for dataset, rows, days in (
        (datasets.validated(toy.spec, "parcels"), parcels, [DAY]),
        (datasets.validated(toy.spec, "deliveries"), deliveries, [DAY, NEXT]),
        (datasets.features(toy.spec), features, [DAY]),
    ):
        toy.lake.publish(dataset, pa.Table.from_pylist(rows, schema=dataset.arrow_schema()), days, RUN)
    return toy


def labels(toy: Toy, as_of: date | None) -> dict[int, float]:
    rows = read_labels(toy.lake, toy.spec, Partitions(DAY, DAY), as_of).to_pylist()
    return {row["parcel"]: row["label"] for row in rows}


@pytest.mark.parametrize(
    ("as_of", "expected"),
    [(DAY, {}), (NEXT, {1: 0.0}), (NEXT + timedelta(days=1), {1: 0.0, 2: 1.0}), (None, {1: 0.0, 2: 1.0})],
)
def test_a_label_counts_from_the_cutoff_that_sees_it(
    labelled: Toy, as_of: date | None, expected: dict[int, float]
) -> None:
    # Parcel 3 has no outcome: missing, never zero.
    assert labels(labelled, as_of) == expected


@pytest.mark.parametrize("end", [DAY, DAY + timedelta(days=5)])
def test_a_label_after_its_day_was_mature_is_not_used_in_a_range_either(labelled: Toy, end: date) -> None:
    late = NEXT + timedelta(days=1)
    dataset = datasets.validated(labelled.spec, "deliveries")
    row = {
        "partition_date": late, "ship_date": DAY, "parcel": 3, "delay": 90.0,
        "delivered_at": datetime(2024, 1, 7, tzinfo=UTC), "visible_from": late + timedelta(days=1),
    }  # fmt: skip
    labelled.lake.publish(dataset, pa.Table.from_pylist([row], schema=dataset.arrow_schema()), [late], RUN)
    rows = read_labels(labelled.lake, labelled.spec, Partitions(DAY, end)).to_pylist()
    assert {row["parcel"] for row in rows} == {1, 2}


def test_a_day_is_mature_when_the_label_table_has_the_days_after_it(labelled: Toy) -> None:
    days = Partitions(DAY - timedelta(days=2), DAY + timedelta(days=2))
    assert mature_days(labelled.lake, labelled.spec, days) == [DAY]
    with pytest.raises(MissingInputError, match="validated_deliveries"):
        labelled.lake.catalog.drop_table("toy.validated_deliveries")
        mature_days(labelled.lake, labelled.spec, days)


def test_training_rows_are_features_with_a_label_in_the_order_of_the_key(labelled: Toy) -> None:
    rows = read_training_rows(labelled.lake, labelled.spec, Partitions(DAY, DAY))
    assert rows["parcel"].to_pylist() == [1, 2]
    assert rows["label"].to_pylist() == [0.0, 1.0]
    assert set(toy_features(labelled)) <= set(rows.column_names)


def toy_features(toy: Toy) -> list[str]:
    return list(toy.spec.features.columns)


def test_without_validated_tables_it_says_what_is_missing(toy: Toy) -> None:
    with pytest.raises(MissingInputError, match="validated_parcels"):
        read_labels(toy.lake, toy.spec, Partitions(DAY, DAY))
