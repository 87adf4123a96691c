"""Readers: partitions, columns and old snapshots, and what is not there."""

from datetime import date, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyiceberg.io import InputStream
from pyiceberg.io.pyarrow import PyArrowFile
from tests.unit.lake.shop import DAY1, DAY2, DAY3, ITEMS, provenance, rows

from contrail.errors import MissingInputError
from contrail.lake import data_files
from contrail.lake.lake import Lake
from contrail.partitions import Partitions


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


def test_partitions_of_a_window_are_those_of_the_table(lake: Lake) -> None:
    for day in (DAY1, DAY2, DAY3):
        lake.publish(ITEMS, rows([day]), [day], provenance())
    everything = lake.partitions("items")

    assert lake.partitions("items", Partitions(DAY2, DAY3)) == {day: everything[day] for day in (DAY2, DAY3)}


def test_the_ends_are_of_the_rows_that_are_there_now(lake: Lake) -> None:
    assert lake.ends("items") is None
    lake.publish(ITEMS, rows([DAY1, DAY2, DAY3]), [DAY1, DAY2, DAY3], provenance())
    assert lake.ends("items") == Partitions(DAY1, DAY3)

    lake.publish(ITEMS, rows([]), [DAY3], provenance())
    assert lake.ends("items") == Partitions(DAY1, DAY2)
    lake.publish(ITEMS, rows([]), [DAY1, DAY2], provenance())
    assert lake.ends("items") is None


@given(st.lists(st.tuples(st.sampled_from([DAY1, DAY2, DAY3]), st.integers(0, 2)), max_size=6))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_ends_are_the_first_and_last_partition_after_any_commits(
    lake: Lake, commits: list[tuple[date, int]]
) -> None:
    for name in lake.table_names():
        lake.catalog.drop_table((lake.namespace, name))
    for day, count in commits:
        lake.publish(ITEMS, rows([day], count=count), [day], provenance())
    days = lake.partitions("items")

    assert lake.ends("items") == (Partitions(min(days), max(days)) if days else None)


def test_what_a_day_reads_of_the_metadata_does_not_grow_with_the_days(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    original = PyArrowFile.open

    def noted(file: PyArrowFile, seekable: bool = True) -> InputStream:
        opened.append(file.location)
        return original(file, seekable)

    monkeypatch.setattr(PyArrowFile, "open", noted)

    def manifests_of_a_day(day: date) -> int:
        opened.clear()
        assert lake.partitions("items", Partitions(day, day))
        assert lake.files("items", Partitions(day, day))
        assert lake.ends("items")
        return sum("-m" in place.rpartition("/")[2] and place.endswith(".avro") for place in opened)

    months = [Partitions(DAY1 + timedelta(days=30 * n), DAY1 + timedelta(days=30 * n + 29)) for n in range(12)]
    seen = []
    for month in months:
        lake.publish(ITEMS, rows(list(month)), month, provenance())
        seen.append(manifests_of_a_day(month.end))

    assert seen[2:] == [seen[2]] * 10


def test_a_view_numbers_the_rows_in_the_order_of_the_files(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1, DAY2]), [DAY1, DAY2], provenance())
    lake.publish(ITEMS, rows([DAY2], "blue", count=5), [DAY2], provenance())
    with duckdb.connect() as connection:
        lake.view(connection, "seen", "items", row="number")
        found = connection.sql("SELECT number, colour FROM seen ORDER BY number").to_arrow_table()
        assert found["number"].to_pylist() == list(range(8))
        assert found["colour"].to_pylist() == lake.scan("items")["colour"].to_pylist()
        lake.view(
            connection, "none", "items", Partitions(DAY1 - timedelta(days=9), DAY1 - timedelta(days=8)), row="number"
        )
        assert connection.sql("SELECT number FROM none").to_arrow_table().num_rows == 0


def test_a_view_of_a_column_that_is_not_there_says_so(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    with duckdb.connect() as connection, pytest.raises(MissingInputError, match=r"has no columns \['size'\] yet"):
        lake.view(connection, "seen", "items", columns=["size"])


@pytest.fixture
def meanwhile(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three red days. When a reader has listed files for the first time, another writer makes all of them blue."""
    days = [DAY1, DAY2, DAY3]
    lake.publish(ITEMS, rows(days), days, provenance())
    other, original = Lake(lake.settings, "shop"), data_files.listed

    def listed(*args: Any, **named: Any) -> Any:
        found = original(*args, **named)
        monkeypatch.setattr(data_files, "listed", original)
        other.publish(ITEMS, rows(days, "blue"), days, provenance("run-2"))
        return found

    monkeypatch.setattr(data_files, "listed", listed)


@pytest.mark.usefixtures("meanwhile")
def test_days_with_others_between_them_are_of_one_snapshot(lake: Lake) -> None:
    with duckdb.connect() as connection:
        lake.view(connection, "chosen", "items", [DAY1, DAY3])
        assert connection.execute("SELECT DISTINCT colour FROM chosen").fetchall() == [("red",)]


@pytest.mark.usefixtures("meanwhile")
def test_a_session_loads_a_table_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    original, loaded = lake.catalog.load_table, []
    monkeypatch.setattr(lake.catalog, "load_table", lambda name: loaded.append(name) or original(name))
    with lake.connect(["items"]) as connection:
        assert connection.execute("SELECT DISTINCT colour FROM items").fetchall() == [("red",)]
    assert loaded == [("shop", "items")]
