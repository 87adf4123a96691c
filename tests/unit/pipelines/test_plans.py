"""How often Spark shuffles and reads for the features of the shipped pipelines. Fewer is fine: then lower the bound."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import PROJECT
from tests.java import spark_environment

pytestmark = pytest.mark.slow

# A process of its own: PySpark cannot hold a Connect session and a classic one at once.
SCRIPT = """
import json, sys
from pathlib import Path
from tests.unit.pipelines.plans import plan_of
from contrail.adapters.engine import spark_session
from contrail.config.settings import EngineSettings

session = spark_session(EngineSettings(kind="spark", master="local[1]"))
print(json.dumps({name: plan_of(session, name, Path(sys.argv[1]) / name) for name in sys.argv[2:]}))
"""


def test_features_take_few_shuffles_and_read_each_input_a_few_times(tmp_path: Path, home: Path) -> None:
    """No table is broadcast here, so a join of two tables counts two shuffles, as where no side is small.

    Before the aggregations of a key were one, flight_delay took 79 shuffles and read the schedule 14 times, outcomes 6 times
    and weather 3 times. bike_demand took 25, and read hours 4 and counts 3 times.
    """
    environment = {
        **spark_environment(tmp_path),
        "CONTRAIL_HOME": str(home),
        "CONTRAIL_PROJECT": str(PROJECT),
    }
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), "flight_delay", "bike_demand"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {
        "flight_delay": {"shuffles": 43, "schedule": 3, "outcomes": 3, "weather": 1, "planes": 1},
        "bike_demand": {"shuffles": 18, "hours": 2, "counts": 1, "weather": 1},
    }
