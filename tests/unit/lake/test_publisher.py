"""The publisher's promises: one atomic commit, idempotent replacement, many writers."""

import multiprocessing
import sqlite3
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.table import Table
from sqlalchemy.exc import OperationalError
from tests.unit.lake.shop import DAY1, DAY2, DAY3, ITEMS, LOOKUP, contents, provenance, rows

from contrail.config.settings import settings
from contrail.errors import AuditError, CommitConflictError
from contrail.lake import conflicts, publisher, writing
from contrail.lake.datasets import Dataset
from contrail.lake.lake import Lake
from contrail.lake.writing import Written
from contrail.partitions import Partitions


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
    assert [entry.rows for entry in lake.history("items")] == [6, 6]


def test_an_empty_partition_is_recorded_once(lake: Lake) -> None:
    """That a day has no rows, and that nobody looked, are two things."""
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    assert lake.lineage("items").maker(DAY3) is None
    empty = lake.publish(ITEMS, rows([]), [DAY3], provenance())
    assert lake.lineage("items").maker(DAY3) is not None
    assert lake.publish(ITEMS, rows([]), [DAY3], provenance()) == empty
    assert len(lake.history("items")) == 2 and contents(lake) == [(DAY1, "red", 3)]


def test_rows_that_are_published_already_stay_and_only_their_provenance_is_new(lake: Lake) -> None:
    first = lake.publish(ITEMS, rows([DAY1, DAY2]), [DAY1, DAY2], provenance("run-1"))
    files = lake.files("items")
    shuffled = rows([DAY2, DAY1]).take([5, 1, 2, 0, 4, 3])
    assert lake.publish(ITEMS, shuffled, [DAY1, DAY2], provenance("run-2")) == first, "the same work again"
    other = replace(provenance("run-3"), inputs={"raw_items": 8})
    again = lake.publish(ITEMS, shuffled, [DAY1, DAY2], other)
    lineage = lake.lineage("items")
    assert again != first and lake.files("items") == files
    assert lineage.maker(DAY1).provenance.run_id == "run-3"  # type: ignore[union-attr]
    assert lineage.unchanged_since(first, Partitions(DAY1, DAY2))


def test_only_the_partitions_with_other_rows_change(lake: Lake) -> None:
    first = lake.publish(ITEMS, rows([DAY1, DAY2, DAY3]), [DAY1, DAY2, DAY3], provenance())
    old = set(lake.files("items"))
    new = pa.concat_tables([rows([DAY1]), rows([DAY2], "blue")])
    lake.publish(ITEMS, new, [DAY1, DAY2, DAY3], provenance("run-2"))
    assert contents(lake) == [(DAY1, "red", 3), (DAY2, "blue", 3)]
    assert len(old & set(lake.files("items"))) == 1
    lineage = lake.lineage("items")
    assert [lineage.unchanged_since(first, Partitions(day, day)) for day in (DAY1, DAY2, DAY3)] == [True, False, False]
    assert lake.history("items")[0].as_dict()["same"] == "2024-01-01"


def test_a_table_without_partitions_is_the_same_as_a_whole_or_not_at_all(lake: Lake) -> None:
    first = lake.publish(LOOKUP, pa.table({"id": [1, 2]}), None, provenance())
    assert lake.publish(LOOKUP, pa.table({"id": [2, 1]}), None, provenance()) == first
    lake.publish(LOOKUP, pa.table({"id": [2, 1]}), None, replace(provenance(), inputs={"raw_items": 8}))
    assert lake.lineage("lookup").unchanged_since(first, Partitions(DAY1, DAY1))
    lake.publish(LOOKUP, pa.table({"id": [2]}), None, provenance())
    assert not lake.lineage("lookup").unchanged_since(first, Partitions(DAY1, DAY1))


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


def test_each_partition_may_have_a_commit_of_its_own(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1, DAY2, DAY3], "old"), [DAY1, DAY2, DAY3], provenance())
    lake.publish(ITEMS, rows([DAY1, DAY2], "new"), [DAY1, DAY2, DAY3], provenance(), each_partition=True)
    assert contents(lake) == [(DAY1, "new", 3), (DAY2, "new", 3)]
    entries = lake.history("items")[:3]
    assert [entry.commit.label for entry in entries] == ["2024-01-03", "2024-01-02", "2024-01-01"]
    assert {entry.commit.job_rows for entry in entries} == {6}, "the rows of the whole job"
    with pytest.raises(AuditError):
        lake.publish(ITEMS, rows([DAY1, DAY2]), [DAY1], provenance(), each_partition=True)
    assert len(lake.history("items")) == 4, "all rows are audited before the first commit"


def _publish_many(home: str, colour: str, days: list[date]) -> None:
    import os

    os.environ["CONTRAIL_HOME"] = home
    settings.cache_clear()
    writer = Lake(settings(), "shop")
    for turn in range(4):
        writer.publish(ITEMS, rows(days, f"{colour}-{turn}"), days, provenance(colour))


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
    _meanwhile(monkeypatch, lambda: Lake(settings(), "shop").publish(ITEMS, rows([DAY1], "blue"), [DAY1], provenance()))
    lake.publish(ITEMS, rows([DAY1], "red"), [DAY1], provenance())
    assert contents(lake) == [(DAY1, "red", 3), (DAY3, "red", 3)]


def _meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object], times: int = 1) -> None:
    """Act between a writer's look at what to replace and its commit, at the first attempts."""
    left, own_summary = [act] * times, publisher._Audited.summary

    def summary(audited: Any, same: Any) -> dict[str, str]:
        if left:
            todo = left.pop()
            # The turn of this machine is taken: the other writer is on another one.
            monkeypatch.setattr(conflicts, "_turn", lambda *_: nullcontext())
            todo()
        return own_summary(audited, same)

    monkeypatch.setattr(publisher._Audited, "summary", summary)


def _files(home: Path) -> tuple[set[str], set[str]]:
    """The data files that are there, and those that a snapshot refers to."""
    table = Lake(settings(), "shop").table("items")
    there = {path.name for path in (home / "lake" / "warehouse").rglob("*.parquet")}
    return there, {Path(path).name for path in table.inspect.all_files()["file_path"].to_pylist()}


def test_a_lost_commit_is_tried_again_with_the_same_files(
    lake: Lake, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.publish(ITEMS, rows([DAY3]), [DAY3], provenance())
    other = Lake(settings(), "shop")
    _meanwhile(monkeypatch, lambda: other.publish(ITEMS, rows([DAY2], "blue"), [DAY2], provenance()), times=4)
    written: list[tuple[Any, ...]] = []
    own_write = writing.write

    def write(*given: Any) -> list[Written]:
        found = own_write(*given)
        written.extend(one.partition for one in found)
        return found

    monkeypatch.setattr(writing, "write", write)
    lake.publish(ITEMS, rows([DAY1], "red"), [DAY1], provenance())
    assert written.count((DAY1,)) == 1, "the data were written once"
    there, referred = _files(home)
    assert there == referred
    assert contents(lake) == [(DAY1, "red", 3), (DAY2, "blue", 3), (DAY3, "red", 3)]


def test_who_loses_for_good_leaves_no_files(lake: Lake, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.publish(ITEMS, rows([DAY3]), [DAY3], provenance())
    other = Lake(settings(), "shop")
    monkeypatch.setattr(conflicts, "SECONDS", 0)
    _meanwhile(monkeypatch, lambda: other.publish(ITEMS, rows([DAY2], "blue"), [DAY2], provenance()))
    with pytest.raises(CommitConflictError, match=r"shop\.items: other writers won every attempt"):
        lake.publish(ITEMS, rows([DAY1], "red"), [DAY1], provenance())
    there, referred = _files(home)
    assert there == referred
    assert contents(lake) == [(DAY2, "blue", 3), (DAY3, "red", 3)]


def test_a_commit_whose_answer_was_lost_is_not_made_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.publish(ITEMS, rows([DAY3]), [DAY3], provenance())
    own, lost = Table._do_commit, []

    def commit(table: Table, *given: Any, **named: Any) -> None:
        own(table, *given, **named)
        if not lost:
            lost.append(True)
            answer = sqlite3.OperationalError("database is locked")
            answer.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise OperationalError("COMMIT", {}, answer)

    monkeypatch.setattr(Table, "_do_commit", commit)
    made = lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    assert contents(lake) == [(DAY1, "red", 3), (DAY3, "red", 3)]
    assert lake.history("items")[0].snapshot == made
    assert len(lake.history("items")) == 2
