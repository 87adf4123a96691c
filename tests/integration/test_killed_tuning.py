"""A search that is killed by the machine goes on with the same trials; one that a person stops says so."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from tests.toy_tables import untrained
from tests.unit.stages.test_tune import kept, shown, tuned

from contrail.adapters.mlflow_store import client
from contrail.adapters.training_runs import PARENT

pytestmark = pytest.mark.slow
_COMMAND = (
    *(sys.executable, "-m", "contrail", "tune", "-p", "toy", "--from", "2024-01-01", "--to", "2024-02-09"),
    *("--workers", "1", "--set", "nthread=1 rounds=8", "--no-register", "--json"),
)


def started(toy, trials: int) -> subprocess.Popen:
    """The command, once so many trials are kept."""
    command = subprocess.Popen(
        [*_COMMAND, "--trials", "200"], env={**os.environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    folder = toy.settings.reports / "toy" / "tuning"
    while len(list(folder.glob("*/trial-*.json")) if folder.exists() else ()) < trials:
        assert command.poll() is None, command.stderr.read()
        time.sleep(0.02)
    return command


def test_a_killed_command_goes_on_with_the_same_trials_and_leaves_nothing_half(prepared):
    toy = prepared(untrained)
    expected = shown(kept(toy, tuned(toy)[0]))

    toy = prepared(untrained)
    command = started(toy, 2)
    command.kill()
    command.communicate()
    assert command.returncode == -signal.SIGKILL

    result, lines = tuned(toy)
    assert "trials are done, and the study goes on" in lines[1]
    assert shown(kept(toy, result))[: len(expected)] == expected
    assert not list((toy.settings.reports / "toy" / "tuning").glob("*/.*"))
    mlflow = client(toy.settings)
    experiment = mlflow.get_run(result.details.mlflow_run).info.experiment_id
    runs = mlflow.search_runs([experiment], f"tags.`{PARENT}` = '{result.details.mlflow_run}'")
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}


def test_ctrl_c_keeps_what_has_ended_and_says_how_to_go_on(prepared):
    toy = prepared(untrained)
    command = started(toy, 1)
    command.send_signal(signal.SIGINT)
    out, err = command.communicate()
    assert command.returncode == 130, err
    assert out == ""
    assert "The trials that have ended are kept: the same command goes on." in err
    assert "Traceback" not in err
    done = subprocess.run([*_COMMAND, "--trials", "2"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["details"]["trials"] >= 2
