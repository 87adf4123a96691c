"""Places where rows of persons live, one by one. A whole request is in the integration tests."""

import os
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from tests.conftest import Toy

from contrail.files import unfinished_beside
from contrail.operations.forgetting import places
from contrail.operations.forgetting.places import FILES, Count


def test_a_training_set_that_a_killed_training_has_begun_goes(toy: Toy) -> None:
    folder = toy.settings.home_path / "training_sets" / "toy" / "2024-01-01_2024-01-31"
    folder.mkdir(parents=True)
    old, young = (unfinished_beside(folder / "rows.parquet") for _ in range(2))
    for path in (old, young):
        path.write_bytes(b"PAR1 rows of anybody")
    hour_ago = old.stat().st_mtime - 3600
    os.utime(old, (hour_ago, hour_ago))
    search: Any = SimpleNamespace(settings=toy.settings, pipeline=toy.pipeline, grace=timedelta(minutes=10))
    expected = [Count("unfinished training sets", FILES, 2, left=1)]
    assert list(places._training_sets(search, False)) == expected
    assert old.exists(), "it only looks"
    assert list(places._training_sets(search, True)) == expected
    assert (old.exists(), young.exists()) == (False, True), "a training may be writing the young one"
