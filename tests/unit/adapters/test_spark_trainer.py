"""Trees by Spark's executors, without Spark: their input and their device. With Spark: tests/integration."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.unit.methods.test_fit import made_rows
from upath import UPath

from contrail.adapters import spark_trainer
from contrail.adapters.spark_trainer import SparkTrainer
from contrail.config.settings import EngineSettings
from contrail.errors import EngineError, SpecError
from contrail.methods import encoded_rows
from contrail.methods.offset import Offset
from contrail.methods.trainer import WantedDevice

GPU = {"spark.executor.resource.gpu.amount": "1"}
EVEN = np.arange(2000) % 2 == 0


@pytest.fixture
def trainer(tmp_path: Path) -> SparkTrainer:
    return SparkTrainer(EngineSettings(kind="spark"), 3, UPath(tmp_path / "rows"))


def give(monkeypatch: pytest.MonkeyPatch, properties: Mapping[str, str]) -> None:
    """A session that has these properties."""
    session = SimpleNamespace(sparkContext=SimpleNamespace(getConf=lambda: properties))
    monkeypatch.setattr(spark_trainer, "session_with_code", lambda _: session)


@pytest.mark.parametrize(
    ("wanted", "has", "device"),
    [("auto", {}, "cpu"), ("cpu", GPU, "cpu"), ("auto", GPU, "cuda"), ("cuda", GPU, "cuda")],
)
def test_a_gpu_is_used_where_spark_gives_executors_one(
    trainer: SparkTrainer, monkeypatch: pytest.MonkeyPatch, wanted: WantedDevice, has: Mapping[str, str], device: str
) -> None:
    give(monkeypatch, has)
    assert trainer.device(wanted, 10) == device


def test_a_gpu_that_spark_does_not_give_is_refused(trainer: SparkTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, {})
    with pytest.raises(SpecError, match=r"spark\.executor\.resource\.gpu\.amount is not set"):
        trainer.device("cuda", 10)


def test_executors_read_the_encoded_rows_and_nothing_is_left_of_them(
    trainer: SparkTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark_trainer, "_FILE_ROWS", 700)
    monkeypatch.setattr(encoded_rows, "BLOCK_ROWS", 450)
    rows = made_rows()
    with trainer.holding(rows, EVEN, {}, ~EVEN):
        names = sorted(path.name for path in trainer.folder.iterdir())
        assert names == [f"{part}-0000{n}.parquet" for part in ("check", "learn") for n in (0, 1)]
        assert [pq.read_metadata(str(trainer.folder / name)).num_rows for name in names] == [700, 300] * 2
        staged = pq.read_table(str(trainer.folder))
    assert not trainer.folder.exists()
    for chosen, checks in ((EVEN, False), (~EVEN, True)):
        found = staged.filter(np.equal(staged["check"].to_numpy(), checks))
        matrix = np.concatenate([part for part, _ in rows.batches(chosen)])
        np.testing.assert_array_equal(np.stack(found["features"].to_numpy()), matrix)
        np.testing.assert_array_equal(found["label"].to_numpy(), rows.labels[chosen])


def test_executors_read_where_each_score_starts(trainer: SparkTrainer) -> None:
    rows = replace(made_rows(), offset=Offset(feature="a", weight=0.5, task="regression", centre=2.0))
    with trainer.holding(rows, EVEN, {}):
        staged = pq.read_table(str(trainer.folder))
    assert np.isnan(np.stack(staged["features"].to_numpy())[:, 0]).all()
    expected = 2 + 0.5 * (next(rows.batches(EVEN))[0][:, 0] - 2)
    np.testing.assert_allclose(staged["start"].to_numpy(), expected, atol=1e-6)


def test_an_error_while_trees_grow_leaves_no_rows_either(trainer: SparkTrainer) -> None:
    with pytest.raises(EngineError, match="lost"), trainer.holding(made_rows(), EVEN, {}):
        assert len(list(trainer.folder.iterdir())) == 1
        raise EngineError("lost")
    assert not trainer.folder.exists()
