import gc
import os
import signal
import sys
import tempfile
import weakref
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import xgboost
from tests.unit.methods.test_fit import TRAIN, made_rows

from contrail.errors import DataError, SpecError
from contrail.methods import encoded_rows, trainer
from contrail.methods.encoded_rows import Room
from contrail.methods.encoding import encode
from contrail.methods.fit import Method, booster_params, fit_trees, predict_unseen
from contrail.methods.matrices import binned, predict

FIRST = np.arange(2000) < 1500
PARAMS = booster_params("binary", TRAIN)


@pytest.mark.parametrize("size", [2000, 700, 64])
@pytest.mark.parametrize(("external", "memory"), [(False, 10**9), (True, 10**9), (False, 0), (True, 0)])
def test_trees_are_the_same_bytes_in_any_batches_with_rows_and_bins_anywhere(
    monkeypatch, tmp_path, size, external, memory
):
    train = TRAIN.model_copy(update={"checkpoint_rounds": 7})
    whole = fit_trees(made_rows(), FIRST, ~FIRST, Method(train, PARAMS))
    monkeypatch.setattr(encoded_rows, "BLOCK_ROWS", size)
    rows = replace(made_rows(room=Room(memory, 10**9, tmp_path)), external_memory=external)
    assert any(tmp_path.iterdir()) == (memory == 0)
    found = fit_trees(rows, FIRST, ~FIRST, Method(train, PARAMS))
    assert found.model == whole.model
    assert found.history == whole.history
    np.testing.assert_array_equal(predict(found.checked, rows, ~FIRST), predict(whole.checked, made_rows(), ~FIRST))


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize("moment", [2, 5, 9, 12])
def test_ctrl_c_while_rows_are_binned_ends_the_training(monkeypatch, interruptible, external, moment):
    """XGBoost asks several times for all rows. An exception in its question would be lost, and other trees grown."""
    monkeypatch.setattr(encoded_rows, "BLOCK_ROWS", 500)
    rows, asked, real = replace(made_rows(), external_memory=external), [], type(made_rows()).starts

    def starts(self, matrix):
        asked.append(1)
        if len(asked) == moment:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, matrix)

    monkeypatch.setattr(type(rows), "starts", starts)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        binned(rows, np.ones(2000, bool), PARAMS)
    assert len(asked) >= moment
    assert signal.getsignal(signal.SIGINT) is before


def test_predictions_of_unseen_parts_are_the_same_with_bins_outside(monkeypatch):
    parts = np.arange(2000) % 2
    whole = predict_unseen(made_rows(), parts, PARAMS, 5)
    monkeypatch.setattr(encoded_rows, "BLOCK_ROWS", 300)
    np.testing.assert_array_equal(predict_unseen(replace(made_rows(), external_memory=True), parts, PARAMS, 5), whole)


def test_batches_are_the_chosen_rows_in_order(monkeypatch):
    whole = made_rows().encoded.read(0)
    monkeypatch.setattr(encoded_rows, "BLOCK_ROWS", 700)
    rows, chosen = made_rows(), np.arange(2000) % 2 == 1
    batches = list(rows.batches(chosen))
    assert [len(matrix) for matrix, _ in batches] == [350, 350, 300]
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), rows.labels[chosen])
    np.testing.assert_array_equal(np.concatenate([matrix for matrix, _ in batches]), whole[chosen])


def test_rows_are_encoded_once_and_without_a_gap_are_not_copied(monkeypatch):
    calls = []
    monkeypatch.setattr(encoded_rows, "encode", lambda *arguments: calls.append(1) or encode(*arguments))
    rows = made_rows()
    fit_trees(rows, FIRST, ~FIRST, Method(TRAIN, PARAMS))
    predict_unseen(rows, np.arange(2000) % 2, PARAMS, 5)
    ((batch, _),) = rows.batches((np.arange(2000) >= 100) & (np.arange(2000) < 300))
    assert np.shares_memory(batch, rows.encoded.read(0))
    assert len(calls) == 1


def test_bins_on_disk_are_there_as_long_as_their_matrix(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(encoded_rows, "BLOCK_ROWS", 300)
    matrix = binned(replace(made_rows(), external_memory=True), FIRST, PARAMS)
    (folder,) = tmp_path.iterdir()
    assert sum(path.stat().st_size for path in folder.iterdir()) > 1500 * 4
    assert matrix.num_row() == 1500
    del matrix
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_batch_that_is_refused_is_named_as_it_would_be_alone(monkeypatch):
    monkeypatch.setattr(encoded_rows, "BLOCK_ROWS", 300)
    sizes = np.zeros(2000)
    sizes[1400] = np.inf
    with pytest.raises(DataError, match=r"features \['d'\] have infinite values"):
        encoded_rows.EncodedRows(("c", "d"), {}).append(pa.table({"c": np.zeros(2000), "d": sizes}))


def test_bins_outside_a_gpu_need_a_package_that_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(SpecError, match="needs the package cupy"):
        binned(replace(made_rows(), external_memory=True), FIRST, {**PARAMS, "device": "cuda"})


def test_without_that_package_bins_inside_a_gpu_are_made_on_the_cpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert binned(made_rows(), FIRST, {**PARAMS, "device": "cuda"}).num_row() == 1500


@pytest.mark.parametrize("external", [False, True])
def test_rows_for_a_gpu_go_to_its_memory_first(monkeypatch, external):
    moved = []
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(asarray=lambda rows: moved.append(rows.shape) or rows))
    monkeypatch.setattr(encoded_rows, "BLOCK_ROWS", 600)
    rows, params = replace(made_rows(), external_memory=external), {**PARAMS, "device": "cuda"}
    assert binned(rows, FIRST, params).num_row() == 1500
    assert set(moved) == {(600, 4), (300, 4)}
    moved.clear()
    binned(rows, FIRST, {**PARAMS, "device": "cpu"})
    assert moved == []


def test_rows_that_a_gpu_has_room_for_go_there_once_for_all_bins(monkeypatch):
    moved = []
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(asarray=lambda rows: moved.append(rows) or rows.copy()))
    monkeypatch.setattr(encoded_rows, "BLOCK_ROWS", 600)
    rows, params = replace(made_rows(), on_card=True), {**PARAMS, "device": "cuda"}
    middle = (np.arange(2000) < 700) | (np.arange(2000) >= 900)
    for chosen in (FIRST, ~FIRST, middle, np.ones(2000, bool)):
        assert binned(rows, chosen, params).num_row() == chosen.sum()
    assert [block.shape for block in moved if block.ndim == 2] == [(600, 4), (600, 4), (600, 4), (200, 4)]


def test_nothing_chosen_is_nothing_predicted():
    assert predict(xgboost.Booster(), made_rows(), np.zeros(2000, bool)).shape == (0,)


def test_bins_go_when_nothing_is_grown_on_them_any_more(monkeypatch):
    made = []

    def watched(*arguments):
        matrix = binned(*arguments)
        made.append(weakref.ref(matrix))
        return matrix

    monkeypatch.setattr(trainer, "binned", watched)
    with trainer.ThisProcess().holding(made_rows(), FIRST, PARAMS, ~FIRST) as grow:
        grow(PARAMS, 2, None, ())
        assert len(made) == 2 and all(ref() for ref in made)
    gc.collect()
    assert not any(ref() for ref in made), "the caller still has grow"
