"""Some kills and faults of the machine, of those that ``make chaos`` makes by the hundred; and that it sees what is wrong."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from tests.chaos.__main__ import WRONGS, counts, run, run_machine
from tests.chaos.planted import PLANTED
from tests.chaos.served import Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cc") is None, reason="the trials need a C compiler"),
]
# Where planted faults are looked for together, after so many kills, and what each must be told as. Each fifth kill is a
# power cut.
SEEN: list[tuple[str, int, dict[str, tuple[str, ...]]]] = [
    ("performance", 3, {"done_too_early": ("lost", "half_seen")}),
    ("replay", 3, {"locks_that_stay": ("blocked",), "files_that_stay": ("other",)}),
    ("replay", 5, {"flushes_that_do_nothing": ("half_seen",)}),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as started:
        yield started


def told(trials: list[dict[str, Any]]) -> list[str]:
    return [f"{t['how']} at {t['at']}: {wrong}: {each}" for t in trials for wrong in WRONGS for each in t[wrong]]


@pytest.mark.parametrize("name", ["replay", "rollback"])
def test_commands_survive_kills_and_faults(server: Server, name: str) -> None:
    steps, trials = run(name, kills=5, faults=2, seed=0, start=server.ran)
    assert steps > 9
    assert told(trials) == []
    assert counts(trials)[:2] == [7, 7]
    assert [trial["how"] for trial in trials].count("power cut") == 1


def test_commands_that_are_asked_to_end_say_so_and_go_on(server: Server) -> None:
    _, trials = run_machine("signals", tries=2, seed=0, only="^rollback$", start=server.ran)
    assert told(trials) == []
    assert [trial["told"].split(",")[0] for trial in trials] == [
        "exit 143: stopped by SIGTERM",
        "exit 130: stopped by SIGINT",
    ]


@pytest.mark.parametrize(("name", "kills", "plants"), SEEN)
def test_planted_faults_are_seen(server: Server, name: str, kills: int, plants: dict[str, tuple[str, ...]]) -> None:
    _, trials = run(name, kills, faults=0, seed=0, plants=plants, start=server.ran)
    for plant, wrongs in plants.items():
        for wrong in wrongs:
            assert [each for trial in trials for each in trial[wrong]], (plant, wrong)


def test_each_planted_fault_is_looked_for() -> None:
    assert {plant for _, _, plants in SEEN for plant in plants} == set(PLANTED)
