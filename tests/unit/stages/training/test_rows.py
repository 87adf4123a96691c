import dataclasses
import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.toy_tables import publish_toy

from contrail.adapters import data_versions
from contrail.lake.labels import read_training_rows
from contrail.methods import encoded_rows
from contrail.methods.matrices import encode_window
from contrail.stages.training import base, rows


def test_rows_are_read_again_when_a_table_was_published_meanwhile(toy, monkeypatch):
    publish_toy(toy, "2024-01-01", "2024-02-15")
    calls = []
    real = rows.labelled_rows

    @contextmanager
    def read(*arguments):
        calls.append(1)
        with real(*arguments) as found:
            if len(calls) == 1:
                publish_toy(toy, "2024-02-16", "2024-02-16")
            yield found

    monkeypatch.setattr(rows, "labelled_rows", read)
    window = rows.read_window(toy.stage_run("train", "2024-01-01", "2024-02-09"))
    assert len(calls) == 2
    assert window.snapshots["features"] == toy.lake.snapshot_id("features")


@pytest.mark.parametrize("odd", ["pipe", "link"])
def test_landed_files_that_could_block_or_lead_out_are_not_versioned(toy, monkeypatch, collect, odd):
    publish_toy(toy, "2024-01-01", "2024-02-15")
    toy.land("2024-01-01", "2024-01-02")
    versioned = []
    monkeypatch.setattr(
        data_versions, "add_and_push", lambda _, paths: versioned.append(paths) or dict.fromkeys(paths, "0" * 32)
    )
    run = dataclasses.replace(toy.stage_run("train", "2024-01-01", "2024-02-09"), progress=collect)
    window = rows.read_window(run)
    assert set(rows.version_window(run, window)) == {"training_set", "landed_files"}
    path = Path(str(toy.landing), "parcels", "odd")
    os.mkfifo(path) if odd == "pipe" else path.symlink_to("/dev/zero")
    assert set(rows.version_window(run, window)) == {"training_set"} and len(versioned[-1]) == 1
    assert any(f"{path} is no regular file" in line for line in collect.lines)


@pytest.mark.parametrize("count", [700, 10**6])
def test_the_training_set_has_the_bytes_that_it_would_have_in_one_piece(toy, monkeypatch, tmp_path, count):
    publish_toy(toy, "2024-01-01", "2024-02-15")
    monkeypatch.setattr(rows, "_ROW_GROUP", count)
    run = toy.stage_run("train", "2024-01-01", "2024-02-09")
    window = rows.read_window(run)
    whole = read_training_rows(toy.lake, toy.spec, run.partitions, window.labels_as_of).combine_chunks()
    pq.write_table(whole, tmp_path / "whole.parquet", compression="zstd", row_group_size=count)
    assert window.rows.file.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert [path.name for path in window.rows.file.parent.iterdir()] == ["rows.parquet"]


@pytest.mark.parametrize("block", [1000, 400])
def test_the_window_keeps_what_training_asks_for_again(toy, monkeypatch, block):
    monkeypatch.setattr(encoded_rows, "BLOCK_ROWS", block)
    publish_toy(toy, "2024-01-01", "2024-02-15")
    run = toy.stage_run("train", "2024-01-01", "2024-02-09")
    window = rows.read_window(run)
    whole = read_training_rows(toy.lake, toy.spec, run.partitions, window.labels_as_of)
    data = encode_window(whole, toy.spec)
    assert window.rows.data.categories == data.categories
    for number in range(len(data.encoded.blocks)):
        np.testing.assert_array_equal(window.rows.data.encoded.read(number), data.encoded.read(number))
    np.testing.assert_array_equal(window.rows.data.labels, whole["label"].to_numpy())
    monkeypatch.setattr(base, "BLOCK_ROWS", 77)
    days = window.rows.labels
    chosen = np.arange(len(days.days)) % 3 == 1
    found = list(window.rows.batches(window.rows.of_days(chosen)))
    own = np.isin(whole["partition_date"].to_numpy(), days.days[chosen])
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in found]), whole["label"].to_numpy()[own])
    for name in ("partition_date", *window.rows.groups):
        values = [value for rows, _ in found for value in rows[name].to_pylist()]
        assert values == whole[name].filter(pa.array(own)).to_pylist()
    of_day = [whole["label"].to_numpy()[whole["partition_date"].to_numpy() == day] for day in days.days]
    assert days.rows.tolist() == list(map(len, of_day))
    assert [(own.min(), own.max()) for own in of_day] == list(zip(days.smallest, days.largest, strict=True))


@given(sizes=st.lists(st.integers(0, 9), max_size=8))
def test_row_groups_have_all_rows_in_order_and_each_column_in_one_piece(sizes):
    starts = [sum(sizes[:n]) for n in range(len(sizes))]
    pieces = [range(start, start + size) for start, size in zip(starts, sizes, strict=True)]
    batches = [pa.record_batch({"n": pa.array(piece, pa.int64())}) for piece in pieces]
    reader = pa.RecordBatchReader.from_batches(pa.schema({"n": pa.int64()}), batches)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rows, "_ROW_GROUP", 7)
        groups = list(rows._row_groups(reader))
    assert [number for group in groups for number in group["n"].to_pylist()] == list(range(sum(sizes)))
    assert [len(group) for group in groups[:-1]] == [7] * (len(groups) - 1)
    assert all(len(group) and group["n"].num_chunks == 1 for group in groups)
