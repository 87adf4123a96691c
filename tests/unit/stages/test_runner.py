"""The entry to a stage by its verb."""

import pytest
from tests.conftest import Toy

from contrail.errors import SpecError
from contrail.partitions import Partitions
from contrail.stages.runner import run_stage


@pytest.mark.parametrize(
    ("verb", "words"),
    [("zzz", "stages: ingest, validate"), ("trian", "did you mean 'train'?"), ("rollback-model", "there is no stage")],
)
def test_a_verb_that_is_no_stage_names_the_nearest(toy: Toy, verb: str, words: str) -> None:
    with pytest.raises(SpecError) as raised:
        run_stage(verb, "toy", Partitions.parse("2024-01-05"))
    assert words in str(raised.value)
