"""A source's rows as a file: the same rows give the same bytes, in whatever order and batches they come."""

import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contrail.adapters import source_files
from contrail.adapters.source_files import row_count, same_rows, write_sorted

NAMES = ["id", "value", "absent"]
ROWS = st.lists(st.tuples(st.text("ab", max_size=2), st.none() | st.text("xé\n", max_size=2)), max_size=9)


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def written(connection: duckdb.DuckDBPyConnection, rows: list[tuple[str, str | None]], batch: int) -> bytes:
    with TemporaryDirectory() as folder:
        return write_sorted(connection, Path(folder), NAMES, ["id"], batches(rows, batch)).read_bytes()


def batches(rows: list[tuple[str, str | None]], size: int) -> Iterator[pa.RecordBatch]:
    for low in range(0, len(rows), size):
        values, ids = zip(*[(value, key) for key, value in rows[low : low + size]], strict=True)
        yield pa.RecordBatch.from_arrays([pa.array(values, pa.string()), pa.array(ids, pa.string())], ["value", "id"])


@settings(deadline=None)  # it opens DuckDB
@given(ROWS, st.integers(1, 9), st.randoms())
def test_the_same_rows_give_the_same_bytes(
    connection: duckdb.DuckDBPyConnection, rows: list[tuple[str, str | None]], batch: int, order: random.Random
) -> None:
    first = written(connection, rows, 9)
    order.shuffle(rows)
    assert written(connection, rows, batch) == first


def test_rows_are_ordered_by_key_and_groups_have_a_fixed_size(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_files, "_GROUP_ROWS", 2)
    rows: list[tuple[str, str | None]] = [("b", "1"), ("a", None), ("c", ""), ("a", "2"), ("b", "0")]
    path = write_sorted(connection, tmp_path, NAMES, ["id"], batches(rows, 2))
    found = pq.read_table(path)
    assert [(row["id"], row["value"]) for row in found.to_pylist()] == [
        ("a", "2"), ("a", None), ("b", "0"), ("b", "1"), ("c", "")
    ]  # fmt: skip
    assert pq.read_metadata(path).num_row_groups == 3 and row_count(path) == 5
    with path.open("rb") as stream:
        assert same_rows(path, stream)


def test_no_flipped_bit_of_a_page_changes_a_row(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = write_sorted(connection, tmp_path, NAMES, ["id"], batches([(f"a{n}", f"{n * n}") for n in range(60)], 60))
    content, rows, changed = path.read_bytes(), pq.read_table(path).to_pylist(), 0
    for at in range(4, len(content) - 8 - int.from_bytes(content[-8:-4], "little")):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with suppress(OSError, pa.ArrowException), pq.ParquetFile(path, page_checksum_verification=True) as file:
            changed += file.read().to_pylist() != rows
    assert changed == 0


@pytest.mark.parametrize("other", [[("a", "1")], [("a", "1"), ("b", "3")], [("a", "1"), ("b", "")], []])
def test_other_rows_are_told(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, other: list[tuple[str, str | None]]
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    one = write_sorted(connection, tmp_path / "one", NAMES, ["id"], batches([("a", "1"), ("b", None)], 9))
    with write_sorted(connection, tmp_path / "other", NAMES, ["id"], batches(other, 9)).open("rb") as stream:
        assert not same_rows(one, stream)
