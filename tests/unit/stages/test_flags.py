"""The flags of a stage's command, derived from its options."""

import doctest

import pytest

from contrail.errors import SpecError
from contrail.stages import flags as module
from contrail.stages.flags import check_names, command_line_options, flags
from contrail.stages.options import OPTIONS


@pytest.mark.parametrize(
    ("verb", "options", "words"),
    [
        ("promote", {"model": "3", "approval": "none"}, ["--model", "3", "--approval", "none"]),
        ("promote", {"model": "3", "person": "nobody, in time"}, ["--model", "3", "--person", "nobody, in time"]),
        ("promote", {"model": 3, "reason": "", "person": None}, ["--model", "3"]),
        ("ingest", {"as_of_cutoff": True}, ["--as-of-cutoff"]),
        ("ingest", {"as_of_cutoff": False}, []),
        ("govern", {"insist": "True"}, ["--insist"]),
        ("govern", {"insist": "False"}, []),
        ("govern", {"insist": ""}, []),
        ("train", {"registered": False}, ["--no-register"]),
        ("train", {"registered": "yes"}, ["--register"]),
        ("train", {"params": {"max_depth": 8}}, ["--set", '{"max_depth": 8}']),
        ("train", {"params": ["device=cuda", "", "{}"]}, ["--set", "device=cuda", "--set", "{}"]),
        ("publish", {"tables": ("drift", "performance")}, ["--table", "drift", "--table", "performance"]),
        ("late", {}, []),
    ],
)
def test_options_become_the_words_that_a_person_types(verb: str, options: dict[str, object], words: list[str]) -> None:
    assert flags(verb, options) == words


@pytest.mark.parametrize(
    ("verb", "name", "said"),
    [
        ("promote", "modle", "promote has no option 'modle'; did you mean 'model'?"),
        ("train", "set", "train has no option 'set'; its options: metrics_path, params, person, reason, registered"),
        ("score", "each_partition", "score has no option 'each_partition'; its options: model"),
    ],
)
def test_an_option_that_the_command_does_not_have_is_refused(verb: str, name: str, said: str) -> None:
    with pytest.raises(SpecError) as raised:
        check_names(verb, {name: "{{ a template }}"})
    assert str(raised.value) == said


def test_a_switch_is_yes_or_no() -> None:
    with pytest.raises(SpecError, match="the option 'insist' is yes or no, not 'perhaps'"):
        flags("govern", {"insist": "perhaps"})


def test_no_two_options_of_a_command_have_one_flag() -> None:
    days = ["--from", "--to", "--on"]
    for verb in OPTIONS:
        shared = ["--pipeline", "--run-id", "--json", *(days if verb != "rollback-model" else ())]  # which has no range
        spelled = [name for _, flag in command_line_options(verb).values() for name in flag.name.split("/")]
        assert len({*spelled, *shared}) == len(spelled) + len(shared), verb


def test_the_examples_in_the_module_hold() -> None:
    assert doctest.testmod(module) == doctest.TestResults(failed=0, attempted=2)
