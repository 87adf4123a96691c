"""Data files: the table's types and ids, sorted by key, one partition each, and none left of what failed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.lake.shop import DAY1, DAY2, DAY3, ITEMS, KINDS, provenance, rows

from contrail.lake import ordering, writing
from contrail.lake.datasets import Dataset
from contrail.lake.lake import Lake


def kinds(days: list[date]) -> pa.Table:
    """Keys whose order is of their bytes, extreme values, and nulls."""
    keys = ["b", "B", "é", "", "z\0", "10", "9", "𝄞"]
    count = len(keys) * len(days)
    return pa.table(
        {
            "partition_date": pa.array([day for day in days for _ in keys], pa.date32()),
            "key": pa.array(keys * len(days)),
            "count": pa.array([2**63 - 1, -(2**63), None, 0] * (count // 4), pa.int64()),
            "share": pa.array([float("nan"), -0.0, None, 5e-324] * (count // 4), pa.float64()),
            "yes": pa.array([True, False, None, True] * (count // 4)),
            "moment": pa.array(
                [datetime(1900, 1, 1, tzinfo=UTC), datetime(2024, 3, 31, 1, 2, 3, 4, tzinfo=UTC), None, None]
                * (count // 4),
                pa.timestamp("us", "UTC"),
            ),
        }
    )


@pytest.mark.parametrize("quick", [2**24, -1])
def test_every_reader_finds_the_rows_sorted_by_key_in_the_tables_types(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, quick: int
) -> None:
    monkeypatch.setattr(ordering, "_QUICK_BYTES", quick)
    given = kinds([DAY2, DAY1])
    lake.publish(KINDS, given, [DAY1, DAY2], provenance())
    order = sorted(given.to_pylist(), key=lambda row: (row["partition_date"], row["key"].encode()))
    expected = pa.Table.from_pylist(order, given.schema)
    assert str(lake.scan("kinds").to_pylist()) == str(order)
    assert lake.batches("kinds").read_all().cast(given.schema).slice(0).num_rows == 16
    assert str(
        lake.table("kinds")
        .scan()
        .to_arrow()
        .cast(given.schema)
        .sort_by([("partition_date", "ascending"), ("key", "ascending")])
        .to_pylist()
    ) == str(order)
    with lake.connect() as connection:
        found = connection.sql("SELECT * FROM kinds ORDER BY partition_date, key").to_arrow_table()
        assert found.schema.types == given.schema.types
        assert str(found.to_pylist()) == str(order)
    for uri, day in zip(lake.files("kinds"), (DAY1, DAY2), strict=True):
        own = pq.ParquetFile(uri.removeprefix("file://"))
        assert own.read(["key"])["key"].to_pylist() == [row["key"] for row in order if row["partition_date"] == day]
        ids = {field.name: field.metadata[b"PARQUET:field_id"].decode() for field in own.schema_arrow}
        assert ids == {name: str(one) for name, one in lake.field_ids(KINDS).items()}
        assert [own.schema.column(i).max_definition_level for i in range(6)] == [0, 0, 1, 1, 1, 1], "required or not"
    assert expected.num_rows == 16


def test_the_manifest_says_what_the_files_have(lake: Lake) -> None:
    lake.publish(KINDS, kinds([DAY1]), [DAY1], provenance())
    (file,) = lake.table("kinds").inspect.files().to_pylist()
    path = Path(file["file_path"].removeprefix("file://"))
    assert (file["record_count"], file["file_size_in_bytes"]) == (8, path.stat().st_size)
    metrics = file["readable_metrics"]
    assert (metrics["count"]["lower_bound"], metrics["count"]["upper_bound"]) == (-(2**63), 2**63 - 1)
    assert metrics["yes"]["null_value_count"] == 2
    assert f"partition_date={DAY1}" in file["file_path"]


def test_a_large_partition_has_several_files_and_a_small_one_has_one(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "FILE_BYTES", 1)
    monkeypatch.setattr(writing, "_GROUP_ROWS", 3)
    monkeypatch.setattr(ordering, "_BATCH_ROWS", 3)
    lake.publish(ITEMS, rows([DAY1, DAY2, DAY3], count=9), [DAY1, DAY2, DAY3], provenance())
    assert len(lake.files("items")) == 9
    monkeypatch.setattr(writing, "FILE_BYTES", 2**20)
    lake.publish(ITEMS, rows([DAY2], "blue", count=9), [DAY2], provenance())
    assert len(lake.files("items")) == 7
    assert lake.scan("items", columns=["id"])["id"].to_pylist() == [*range(9)] * 3


def test_what_fails_on_the_way_leaves_no_file(lake: Lake, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "_QUICK_BYTES", -1)

    def broken() -> Iterator[pa.RecordBatch]:
        yield from rows([DAY1, DAY2]).to_batches()
        raise ZeroDivisionError("the stage's own")

    stream = pa.RecordBatchReader.from_batches(rows([DAY1]).schema, broken())
    with pytest.raises(ZeroDivisionError, match="the stage's own"):
        lake.publish(ITEMS, stream, [DAY1, DAY2], provenance())
    written: list[object] = []
    own = writing._File._write

    def full(file: writing._File, *given: object) -> None:
        written.append(given)
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        own(file, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(writing._File, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        lake.publish(ITEMS, rows([DAY1, DAY2, DAY3]), [DAY1, DAY2, DAY3], provenance())
    assert list((home / "lake").rglob("*.parquet")) == []
    assert [*(home / "tmp").iterdir()] == []


# The peak is VmHWM: `ru_maxrss` of a child starts at the peak of the process that started it.
_LARGE = r"""
import pathlib, re, resource, sys
from datetime import date
import pyarrow as pa
import numpy as np
from tests.unit.lake.shop import LOOKUP, provenance
from contrail.config.settings import settings
from contrail.config.table_spec import ColumnSpec
from contrail.lake.datasets import Dataset
from contrail.lake.lake import Lake

ROWS, BATCH, TEXT = int(sys.argv[1]), 20_000, int(sys.argv[2])
NOTED = Dataset("noted", "", {"id": ColumnSpec(type="int"), "note": ColumnSpec(type="string")}, ("id",), ())
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[3]), int(sys.argv[3])))

def batches():
    for start in range(ROWS - BATCH, -1, -BATCH):
        ids = np.arange(start, start + BATCH)[::-1]
        yield pa.record_batch({"id": ids, "note": pa.array([f"{one:0{TEXT}d}" for one in ids[:100]] * (BATCH // 100))})

schema = pa.schema({"id": pa.int64(), "note": pa.string()})
lake = Lake(settings(), "shop")
lake.publish(NOTED, pa.RecordBatchReader.from_batches(schema, batches()), None, provenance())
ids = lake.batches("noted", columns=["id"])
last = -1
for batch in ids:
    own = batch.column(0).to_numpy()
    assert own[0] == last + 1 and (np.diff(own) == 1).all()
    last = int(own[-1])
assert last == ROWS - 1
print(re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
def test_more_than_two_gigabytes_of_one_column_are_published_within_the_limit(home: Path) -> None:
    """Arrow's strings of one array end at 2 GiB. The operating system holds the process to the limit and one GiB."""
    limit, text = 512 * 2**20, 2_000
    count = 1_100_000
    assert count * text > 2**31
    done = subprocess.run(
        [sys.executable, "-c", _LARGE, str(count), str(text), str(limit + 2**30)],
        env={**os.environ, "CONTRAIL_MEMORY_LIMIT": str(limit), "ARROW_DEFAULT_MEMORY_POOL": "system"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 2**10 < limit + 2**30


@pytest.mark.parametrize("colours", [[("parcels", 3)], [("parcels", 3), ("blue", 1), (None, 2), ("a b/c", 4)]])
def test_a_file_has_the_rows_of_the_partition_that_it_is_listed_under(
    lake: Lake, colours: list[tuple[str, int]]
) -> None:
    """Arrow's groups of several columns come in no order: those of "parcels" do not, and those of "red" do."""
    by_colour = Dataset("items", "", ITEMS.columns, ("id",), ("partition_date", "colour"))
    days = [date(2024, 1, day) for day in range(1, 13)]
    given = pa.concat_tables(rows([day], colour, count) for day in days for colour, count in colours)
    lake.publish(by_colour, given, days, provenance())
    files = lake.table("items").inspect.files().to_pylist()
    assert len(files) == len(days) * len(colours)
    for file in files:
        own = pq.ParquetFile(file["file_path"].removeprefix("file://")).read().select(["partition_date", "colour"])
        assert {tuple(row.values()) for row in own.to_pylist()} == {tuple(file["partition"].values())}
    assert {state.rows for state in lake.partitions("items").values()} == {sum(count for _, count in colours)}
