"""The trials of one kind of fault, in a process that has loaded the libraries and then only forks; see ``tests.chaos``."""

import argparse
import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.arena import Arena
from tests.chaos.machine import day
from tests.chaos.machine.kinds import KINDS, tried
from tests.chaos.one import load_libraries
from tests.chaos.scenarios import make_pipelines
from tests.chaos.trials import Trials
from tests.conftest import PROJECT


def main() -> None:
    """Make the trials, and print each as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=KINDS)
    parser.add_argument("--tries", type=int, default=0, help="for each command (default: each case once)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="a pattern of commands")
    parser.add_argument("--how", default="", help="a pattern of cases")
    asked = parser.parse_args()
    kind = KINDS[asked.name]
    if not kind.own:
        load_libraries()
    for trial in kind.own() if kind.own else ():
        print(json.dumps(trial.as_dict()), flush=True)
    kind = replace(kind, faults=[one for one in kind.faults if re.search(asked.how, one.how)])
    for scenario in kind.scenarios:
        if not re.search(asked.only, scenario.name):
            continue
        with tempfile.TemporaryDirectory(prefix="contrail-chaos-") as place, pytest.MonkeyPatch.context() as patch:
            folder = Path(place)
            make_pipelines(folder / "pipelines")
            (folder / "tmp").mkdir()
            patch.setenv("TMPDIR", str(folder / "tmp"))
            project = day.make_project(folder / "project", kind.environment) if kind.environment else PROJECT
            arena = Arena(folder, scenario.pipeline, folder / "pipelines", project, kind.patience)
            with kind.around(arena):
                trials = Trials(scenario, arena, asked.seed)
                print(json.dumps({"scenario": scenario.name, "steps": trials.steps}), flush=True)
                for trial in tried(kind, scenario, trials, asked.tries):
                    print(json.dumps(trial.as_dict()), flush=True)


if __name__ == "__main__":
    main()
