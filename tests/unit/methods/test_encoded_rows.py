import gc

import numpy as np
import pyarrow as pa
import pytest

from contrail.methods import encoded_rows
from contrail.methods.encoded_rows import BlankedColumns, EncodedRows, Room

CATEGORIES = {"b": ["x", "y"]}
ROWS = pa.table({"a": pa.array([1, None, 3, 4, 5], pa.int64()), "b": ["y", "x", None, "new", "x"]})
CODED = np.array([[1, 1], [np.nan, 0], [3, np.nan], [4, np.nan], [5, 0]], np.float32)


@pytest.mark.parametrize(("memory", "on_disk"), [(10**6, 0), (16, 2), (0, 3)])
def test_rows_beyond_their_memory_lie_in_files_as_long_as_they_are_used(monkeypatch, tmp_path, memory, on_disk):
    monkeypatch.setattr(encoded_rows, "BLOCK_ROWS", 2)
    rows = EncodedRows(("a", "b"), CATEGORIES, Room(memory, 0, tmp_path))
    rows.append(ROWS)
    assert (len(rows), rows.nbytes) == (5, 40)
    assert len(list(tmp_path.glob("*/*"))) == on_disk
    np.testing.assert_array_equal(np.concatenate([rows.read(number) for number in range(3)]), CODED)
    del rows
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_rows_are_appended_after_the_last_ones():
    rows = EncodedRows(("a", "b"), CATEGORIES)
    rows.append(ROWS.slice(0, 2))
    rows.append(ROWS.slice(2))
    found = [(number, own.tolist()) for number, own in rows.chosen(np.array([False, True, False, True, True]))]
    assert found == [(0, [1]), (1, [1, 2])]
    assert list(rows.chosen(np.zeros(5, bool))) == []


def test_a_block_moves_once():
    rows, moved = EncodedRows(("a",), {}), []
    rows.append(ROWS)
    assert rows.moved(0, lambda block: moved.append(block) or block) is rows.moved(0, None)
    assert len(moved) == 1


def test_columns_are_blank_in_every_block_and_the_rows_stay_as_they_were(monkeypatch):
    monkeypatch.setattr(encoded_rows, "BLOCK_ROWS", 2)
    rows = EncodedRows(("a", "b"), {})
    rows.append(pa.table({"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, 6.0]}))
    blank = BlankedColumns(rows, ["b"])
    assert (len(blank), blank.names, len(blank.blocks)) == (3, ("a", "b"), 2)
    found = np.concatenate([blank.read(number) for number in range(2)])
    assert found[:, 0].tolist() == [1, 2, 3]
    assert np.isnan(found[:, 1]).all()
    assert np.concatenate([rows.read(number) for number in range(2)])[:, 1].tolist() == [4, 5, 6]
