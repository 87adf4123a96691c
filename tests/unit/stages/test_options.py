"""Options of stages: written once, checked before anything runs."""

import importlib

import pytest
from tests.conftest import Toy

from contrail.errors import SpecError
from contrail.partitions import Partitions
from contrail.stages import VERBS
from contrail.stages.options import OPTIONS, ScoreOptions, StageOptions, TrainOptions, options_of
from contrail.stages.runner import make_run

DAY = Partitions.parse("2024-01-05")


@pytest.mark.parametrize(
    ("verb", "wrong", "nearest"),
    [
        ("score", "modle", "model"),
        ("train", "parms", "params"),
        ("promote", "persn", "person"),
        ("ingest", "as_of_cut_off", "as_of_cutoff"),
        ("drift", "raport", "report"),
        ("performance", "stale_only", "only_stale"),
        ("publish", "table", "tables"),
        ("govern", "insists", "insist"),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest_one(toy: Toy, verb: str, wrong: str, nearest: str) -> None:
    with pytest.raises(SpecError, match=rf"the call of {verb}.*\n.*{wrong}: unknown key; did you mean '{nearest}'"):
        make_run(verb, "toy", DAY, options={wrong: "2"})


@pytest.mark.parametrize(
    ("verb", "options", "said"),
    [
        ("drift", {"report": "sometimes"}, "report: Input should be 'always', 'alarm' or 'never'"),
        ("promote", {"approval": "yes"}, "approval"),
        ("train", {"params": "max_depth=8"}, "params"),
    ],
)
def test_a_wrong_value_is_refused(toy: Toy, verb: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        make_run(verb, "toy", DAY, options=options)


def test_options_of_another_stage_are_refused() -> None:
    with pytest.raises(SpecError, match="score takes ScoreOptions, not TrainOptions"):
        options_of("score", TrainOptions())


@pytest.mark.parametrize("verb", [*VERBS, "govern", "publish"])
def test_every_stage_module_names_its_options(verb: str) -> None:
    assert importlib.import_module(f"contrail.stages.{verb}").Options is OPTIONS[verb]


def test_options_are_frozen_documented_and_keep_their_type(toy: Toy) -> None:
    run = make_run("score", "toy", DAY, options=ScoreOptions(model="2"))
    assert run.options == ScoreOptions(model="2")
    with pytest.raises(ValueError, match="frozen"):
        run.options.model = "3"
    for model in (StageOptions, *OPTIONS.values()):
        assert all(field.description for field in model.model_fields.values())
