"""Some kills and faults of the machine, of those that ``make chaos`` makes by the hundred; and that it sees what is wrong."""

import shutil
from typing import Any

import pytest
from tests.chaos.__main__ import WRONGS, counts, run
from tests.chaos.planted import PLANTED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cc") is None, reason="the trials need a C compiler"),
]
# Where each planted fault is looked for, and what it must be told as.
SEEN = {
    "half_commits": ("performance", "half_seen"),
    "done_too_early": ("performance", "lost"),
    "locks_that_stay": ("replay", "blocked"),
    "files_that_stay": ("performance", "other"),
}


def told(trials: list[dict[str, Any]]) -> list[str]:
    return [f"{t['how']} at {t['at']}: {wrong}: {each}" for t in trials for wrong in WRONGS for each in t[wrong]]


@pytest.mark.parametrize("name", ["performance", "rollback"])
def test_commands_survive_kills_and_faults(name: str) -> None:
    steps, trials = run(name, kills=3, faults=2, seed=0)
    assert steps > 9
    assert told(trials) == []
    assert counts(trials)[:2] == [5, 5]


@pytest.mark.parametrize("plant", PLANTED)
def test_a_planted_fault_is_seen(plant: str) -> None:
    name, wrong = SEEN[plant]
    _, trials = run(name, kills=5, faults=0, seed=0, plant=plant)
    assert [each for trial in trials for each in trial[wrong]]
