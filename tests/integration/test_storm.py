"""A short storm of writers and readers, of those that ``make storm`` makes by the thousand; and that it sees what is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import PROJECT

pytestmark = pytest.mark.slow
# What each planted fault must be told as.
SEEN = {"half_commits": "torn", "readers_that_follow": "unpublished"}


def storm(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Run a storm on tagged tables alone, and return its exit code and results."""
    found = folder / "results.json"
    places = os.pathsep.join(str(PROJECT / part) for part in ("include", "plugins", ""))
    size = ["--seconds", "200", "--commands", "0", "--writers", "4", "--readers", "4", "--results", str(found)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.storm", *size, *options],
        env=os.environ | {"PYTHONPATH": places},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.exists(), f"{done.stderr[:6000]}\n…\n{done.stderr[-3000:]}"
    return done.returncode, json.loads(found.read_text())


def test_every_read_is_of_one_published_state_and_no_commit_is_lost(tmp_path: Path) -> None:
    code, found = storm(tmp_path, "--operations", "200")
    assert found["wrong"] == {kind: [] for kind in found["wrong"]}
    assert code == 0
    assert found["operations"] == 200
    assert found["reads"] > 20
    assert found["commits"] > 20


@pytest.mark.parametrize("plant", SEEN)
def test_a_planted_fault_is_seen(tmp_path: Path, plant: str) -> None:
    code, found = storm(tmp_path, "--operations", "120", "--plant", plant)
    assert code == 1
    assert found["wrong"][SEEN[plant]]
