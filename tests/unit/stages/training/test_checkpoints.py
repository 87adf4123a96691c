from types import SimpleNamespace

from contrail.stages.training.base import Method
from contrail.stages.training.checkpoints import CheckpointFolder


def test_a_checkpoint_of_other_rows_or_workers_is_not_gone_on_from(toy):
    run = toy.stage_run("train", "2024-01-01", "2024-02-09")
    folders = {
        CheckpointFolder(run, Method(settings, params, SimpleNamespace(workers=workers)), md5).folder
        for settings in (toy.spec.train, toy.spec.train.model_copy(update={"rounds": 7}))
        for params in ({"seed": 0}, {"seed": 1})
        for workers in (1, 2)
        for md5 in ("a", "b")
    }
    assert len(folders) == 16
