"""Tables of a made-up pipeline, ``shop``: their rows, and what a lake has of them."""

from datetime import date

import pyarrow as pa

from contrail.config.table_spec import ColumnSpec
from contrail.lake.datasets import Dataset
from contrail.lake.lake import Lake
from contrail.lake.provenance import Provenance

DAY1, DAY2, DAY3 = date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)
ITEMS = Dataset(
    name="items",
    doc="Items.",
    columns={
        "partition_date": ColumnSpec(type="date"),
        "id": ColumnSpec(type="int", doc="Number."),
        "colour": ColumnSpec(type="string", required=False),
    },
    key=("id",),
)
LOOKUP = Dataset("lookup", "A reference.", {"id": ColumnSpec(type="int")}, ("id",), ())
KINDS = Dataset(
    "kinds",
    "A column of each type.",
    {
        "partition_date": ColumnSpec(type="date"),
        "key": ColumnSpec(type="string"),
        "count": ColumnSpec(type="int", required=False),
        "share": ColumnSpec(type="float", required=False),
        "yes": ColumnSpec(type="bool", required=False),
        "moment": ColumnSpec(type="timestamp", required=False),
    },
    ("key",),
)


def rows(days: list[date], colour: str = "red", count: int = 3) -> pa.Table:
    return pa.table(
        {
            "partition_date": pa.array([day for day in days for _ in range(count)], pa.date32()),
            "id": pa.array([i for _ in days for i in range(count)], pa.int64()),
            "colour": pa.array([colour] * count * len(days), pa.string()),
        }
    )


def provenance(run_id: str = "run-1") -> Provenance:
    return Provenance(run_id, "ingest", "hash", "abc123", "lock", {"raw_items": 7}, {"model_version": "4"})


def contents(lake: Lake) -> list[tuple[date, str, int]]:
    with lake.connect() as connection:
        return connection.sql("SELECT partition_date, colour, count(*) FROM items GROUP BY ALL ORDER BY ALL").fetchall()
