"""The trials of one scenario, in a process that has loaded the libraries and then only forks; see ``__main__``."""

import argparse
import gc
import importlib
import json
import tempfile
from pathlib import Path

import pytest

from contrail.adapters import gx
from tests.chaos.arena import Arena
from tests.chaos.planted import PLANTED
from tests.chaos.scenarios import SCENARIOS, make_pipelines
from tests.chaos.trials import ONCE, Trials
from tests.conftest import PROJECT

# What commands would load in every child.
LIBRARIES = (
    "xgboost",
    "matplotlib.pyplot",
    "mlflow.store.tracking.sqlalchemy_store",
    "pyspark.sql.connect.session",
    "pysail.spark",
    "sqlalchemy.dialects.sqlite",
    "upath.implementations.local",
    "croniter",
    "contrail.adapters.engine",
    "contrail.operations.backfill",
    "contrail.operations.forget",
    "contrail.operations.late",
    "contrail.operations.maintain",
    "contrail.operations.replay",
    "contrail.stages.lineage_events",
    *(f"contrail.stages.{verb}" for verb in ("validate", "train", "promote", "score", "drift")),
)


def load_libraries() -> None:
    """Load what the commands need, for their processes to share."""
    gx.load()  # at the first rule that is judged it would take most of a command's time
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()  # a child that looks for garbage would else copy all of it


def main() -> None:
    """Make the trials, and print each as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=SCENARIOS)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--faults", type=int, default=0)
    parser.add_argument(
        "--at", help="only at these steps: the beginning of what a report names, as $'cut\tlake/turns/toy.'"
    )
    parser.add_argument("--how", default=ONCE, help="how such a step goes wrong (default: %(default)s)")
    parser.add_argument("--plant", choices=PLANTED, action="append", default=[])
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    load_libraries()
    for plant in asked.plant:
        PLANTED[plant]()
    scenario = SCENARIOS[asked.name]
    with tempfile.TemporaryDirectory(prefix="contrail-chaos-") as place, pytest.MonkeyPatch.context() as patch:
        folder = Path(place)
        make_pipelines(folder / "pipelines")
        (folder / "tmp").mkdir()
        patch.setenv("TMPDIR", str(folder / "tmp"))
        trials = Trials(scenario, Arena(folder, scenario.pipeline, folder / "pipelines", PROJECT), asked.seed)
        print(json.dumps({"scenario": scenario.name, "steps": trials.steps}), flush=True)
        chosen = trials.at(asked.at, asked.how) if asked.at else trials.run(asked.kills, asked.faults)
        for trial in chosen:
            print(json.dumps(trial.as_dict()), flush=True)


if __name__ == "__main__":
    main()
