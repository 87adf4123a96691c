"""The lake's promises: one atomic commit, idempotent replacement, provenance, history, expiry, many writers."""

import multiprocessing
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from contrail.config.settings import settings
from contrail.config.spec import ColumnSpec
from contrail.errors import AuditError, DataError, MissingInputError
from contrail.lake.datasets import Dataset
from contrail.lake.lake import Lake, _write_files
from contrail.lake.provenance import Provenance
from contrail.partitions import Partitions

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


@pytest.fixture
def lake(home: Path) -> Lake:
    return Lake(settings(), "shop")


def contents(lake: Lake) -> list[tuple[date, str, int]]:
    with lake.connect() as connection:
        return connection.sql("SELECT partition_date, colour, count(*) FROM items GROUP BY ALL ORDER BY ALL").fetchall()


def test_publish_replaces_only_the_named_partitions(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1, DAY2]), Partitions(DAY1, DAY2), provenance())
    lake.publish(ITEMS, rows([DAY2], "blue", 2), [DAY2], provenance())
    assert contents(lake) == [(DAY1, "red", 3), (DAY2, "blue", 2)]


def test_publishing_twice_leaves_the_same_rows(lake: Lake) -> None:
    for _ in range(2):
        lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    assert contents(lake) == [(DAY1, "red", 3)]


def test_a_partition_without_staged_rows_becomes_empty(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1, DAY2]), [DAY1, DAY2], provenance())
    lake.publish(ITEMS, rows([DAY1]), [DAY1, DAY2], provenance())
    assert contents(lake) == [(DAY1, "red", 3)]


def test_a_replacement_is_one_snapshot(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1, DAY2]), [DAY1, DAY2], provenance())
    lake.publish(ITEMS, rows([DAY1, DAY2], "blue"), [DAY1, DAY2], provenance())
    # Two snapshots (delete, then append) would let a reader of history see a hole.
    assert [entry["rows"] for entry in lake.history("items")] == [6, 6]


def test_nothing_to_replace_and_nothing_to_add_commits_nothing(lake: Lake) -> None:
    first = lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    assert lake.publish(ITEMS, rows([]), [DAY3], provenance()) == first
    assert len(lake.history("items")) == 1


def test_scope_narrows_the_replacement(lake: Lake) -> None:
    by_colour = Dataset("items", "Items.", ITEMS.columns, ("id",), ("partition_date", "colour"))
    lake.publish(by_colour, rows([DAY1], "red"), [DAY1], provenance(), {"colour": "red"})
    lake.publish(by_colour, rows([DAY1], "blue"), [DAY1], provenance(), {"colour": "blue"})
    lake.publish(by_colour, rows([DAY1], "red", 1), [DAY1], provenance(), {"colour": "red"})
    assert contents(lake) == [(DAY1, "blue", 3), (DAY1, "red", 1)]


def test_an_unpartitioned_table_is_replaced_whole(lake: Lake) -> None:
    lake.publish(LOOKUP, pa.table({"id": [1, 2]}), None, provenance())
    lake.publish(LOOKUP, pa.table({"id": [3]}), None, provenance())
    assert lake.scan("lookup").to_pydict() == {"id": [3]}


def test_scan_reads_partitions_columns_and_old_snapshots(lake: Lake) -> None:
    first = lake.publish(ITEMS, rows([DAY1, DAY2]), [DAY1, DAY2], provenance())
    lake.publish(ITEMS, rows([DAY2], "blue"), [DAY2], provenance())
    found = lake.scan("items", Partitions(DAY2, DAY2), ["colour"])
    assert found.to_pydict() == {"colour": ["blue"] * 3}
    assert set(lake.scan("items", snapshot_id=first)["colour"].to_pylist()) == {"red"}


def test_a_snapshot_that_is_not_there_is_not_an_empty_one(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    with pytest.raises(MissingInputError, match=r"shop\.items has no snapshot 42, or it has expired"):
        lake.scan("items", snapshot_id=42)


def test_partitions_say_rows_and_when(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1, DAY2]), [DAY1, DAY2], provenance())
    before = lake.partitions("items")
    lake.publish(ITEMS, rows([DAY2], count=5), [DAY2], provenance())
    after = lake.partitions("items")
    assert {day: state.rows for day, state in after.items()} == {DAY1: 3, DAY2: 5}
    assert after[DAY1].updated_at == before[DAY1].updated_at
    assert after[DAY2].updated_at > before[DAY2].updated_at  # type: ignore[operator]


def test_history_carries_provenance(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance("run-9"))
    (entry,) = lake.history("items")
    assert entry["run_id"] == "run-9"
    assert entry["stage"] == "ingest"
    assert entry["partitions"] == "2024-01-01"
    assert entry["code_revision"] == "abc123"
    assert entry["inputs"] == {"raw_items": 7}
    assert entry["model_version"] == "4"


def test_rollback_and_forward(lake: Lake) -> None:
    first = lake.publish(ITEMS, rows([DAY1], "red"), [DAY1], provenance())
    second = lake.publish(ITEMS, rows([DAY1], "blue"), [DAY1], provenance())
    lake.rollback("items", first)
    assert contents(lake) == [(DAY1, "red", 3)]
    lake.rollback("items", second)
    assert contents(lake) == [(DAY1, "blue", 3)]
    with pytest.raises(DataError, match="no snapshot 42"):
        lake.rollback("items", 42)


def test_the_lineage_leaves_out_what_was_rolled_back(lake: Lake) -> None:
    assert lake.lineage("items").commits == ()
    first = lake.publish(ITEMS, rows([DAY1, DAY2]), [DAY1, DAY2], provenance("run-1"))
    second = lake.publish(ITEMS, rows([DAY2]), [DAY2], provenance("run-2"))
    assert [commit.snapshot for commit in lake.lineage("items").commits] == [second, first]
    lake.rollback("items", first)
    maker = lake.lineage("items").maker(DAY2)
    assert maker is not None
    assert (maker.snapshot, maker.provenance["run_id"], maker.provenance["job_rows"]) == (first, "run-1", "6")


def test_each_partition_may_have_a_commit_of_its_own(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1, DAY2, DAY3], "old"), [DAY1, DAY2, DAY3], provenance())
    lake.publish(ITEMS, rows([DAY1, DAY2], "new"), [DAY1, DAY2, DAY3], provenance(), each_partition=True)
    assert contents(lake) == [(DAY1, "new", 3), (DAY2, "new", 3)]
    entries = lake.history("items")[:3]
    assert [entry["partitions"] for entry in entries] == ["2024-01-03", "2024-01-02", "2024-01-01"]
    assert {entry["job_rows"] for entry in entries} == {"6"}, "the rows of the whole job"
    with pytest.raises(AuditError):
        lake.publish(ITEMS, rows([DAY1, DAY2]), [DAY1], provenance(), each_partition=True)
    assert len(lake.history("items")) == 4, "all rows are audited before the first commit"


def test_a_name_can_be_taken_from_a_snapshot_again(lake: Lake) -> None:
    first = lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    lake.tag("items", first, "before-x")
    lake.untag("items", "before-x")
    lake.untag("items", "before-x")
    assert lake.history("items")[0]["tags"] == []


def test_old_snapshots_expire_but_tagged_ones_stay(lake: Lake) -> None:
    lake.settings = lake.settings.model_copy(update={"snapshots_kept": 5})
    first = lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    lake.tag("items", first, "model-1")
    for number in range(12):
        lake.publish(ITEMS, rows([DAY2], str(number)), [DAY2], provenance())
    kept = [entry["snapshot"] for entry in lake.history("items")]
    assert first in kept
    assert len(kept) <= 7
    assert set(lake.scan("items", snapshot_id=first)["colour"].to_pylist()) == {"red"}
    assert contents(lake) == [(DAY1, "red", 3), (DAY2, "11", 3)]


def test_a_table_may_gain_an_optional_column(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    wider = Dataset("items", "", {**ITEMS.columns, "size": ColumnSpec(type="float", required=False)}, ("id",))
    lake.publish(wider, rows([DAY2]).append_column("size", pa.array([1.0, 2.0, 3.0])), [DAY2], provenance())
    with lake.connect() as connection:
        found = connection.sql("SELECT partition_date, sum(size) FROM items GROUP BY ALL ORDER BY ALL").fetchall()
    assert found == [(DAY1, None), (DAY2, 6.0)]
    assert lake.scan("items", columns=["size"]).column("size").null_count == 3


def test_a_missing_table_says_what_exists(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    with pytest.raises(MissingInputError, match=r"no table 'nope'\. Tables: items"):
        lake.scan("nope")


def _publish_many(home: str, colour: str, days: list[date]) -> None:
    import os

    os.environ["CONTRAIL_HOME"] = home
    settings.cache_clear()
    writer = Lake(settings(), "shop")
    for _ in range(4):
        writer.publish(ITEMS, rows(days, colour), days, provenance(colour))


@pytest.mark.slow
@pytest.mark.parametrize("there_before", [True, False])
def test_writers_at_the_same_time_all_finish_and_leave_whole_partitions(
    lake: Lake, home: Path, there_before: bool
) -> None:
    """Three processes replace overlapping partitions: each partition ends as exactly one of them wrote it."""
    if there_before:
        lake.publish(ITEMS, rows([DAY1, DAY2, DAY3], "old"), [DAY1, DAY2, DAY3], provenance())
    context = multiprocessing.get_context("spawn")
    work = {"red": [DAY1, DAY2], "blue": [DAY2, DAY3], "green": [DAY1, DAY3]}
    writers = [context.Process(target=_publish_many, args=(str(home), c, d)) for c, d in work.items()]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    found = contents(lake)
    assert [(day, count) for day, _, count in found] == [(DAY1, 3), (DAY2, 3), (DAY3, 3)]
    assert len(lake.history("items")) == 12 + there_before


def test_two_first_writers_of_a_partition_do_not_both_stay(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one commits between the first one's look at what to replace and its commit."""
    lake.publish(ITEMS, rows([DAY3]), [DAY3], provenance())
    with lake.table("items").transaction() as transaction:  # a table from before the property was set
        transaction.set_properties({"commit.retry.num-retries": "4"})
    other, met = Lake(settings(), "shop"), []

    def write(*arguments: Any) -> Any:
        if not met:
            met.append("the other")
            other.publish(ITEMS, rows([DAY1], "blue"), [DAY1], provenance())
        return _write_files(*arguments)

    monkeypatch.setattr("contrail.lake.lake._write_files", write)
    lake.publish(ITEMS, rows([DAY1], "red"), [DAY1], provenance())
    assert contents(lake) == [(DAY1, "red", 3), (DAY3, "red", 3)]


def test_a_namespace_that_another_run_has_just_made_is_no_error(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import IntegrityError

    make = lake.catalog.create_namespace_if_not_exists

    def lost_the_race(namespace: str) -> None:
        make(namespace)
        raise IntegrityError("INSERT", {}, Exception("UNIQUE constraint failed"))

    monkeypatch.setattr(lake.catalog, "create_namespace_if_not_exists", lost_the_race)
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    assert contents(lake) == [(DAY1, "red", 3)]
