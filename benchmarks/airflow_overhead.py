"""What Airflow adds to one day's chain over the same stages in one process."""

import os
import subprocess
import sys
import time

from benchmarks.harness import HOME, PIPELINE, PROJECT, alternate, environment, table

DAY = "2013-12-16"
CHAIN = ("ingest", "validate", "features", "score", "drift", "performance")
_SCRIPT = f"""
from contrail.partitions import Partitions
from contrail.stages.runner import run_stage
for verb in {CHAIN!r}:
    run_stage(verb, {PIPELINE!r}, Partitions.parse({DAY!r}))
"""


def _one_process() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", _SCRIPT], env=environment(), check=True, capture_output=True)
    return time.perf_counter() - started


def measure() -> str:
    """One day, all six stages, from the trigger to the end of the run; Airflow is already up."""
    sys.path.insert(0, str(PROJECT / "plugins"))
    os.environ["CONTRAIL_HOME"] = str(HOME)
    from contrail.settings import settings
    from contrail_airflow.embedded import Embedded, running

    settings.cache_clear()
    with running(Embedded(settings())) as api:
        dag_id = f"{PIPELINE}__backfill"
        api.wait_for_dags([dag_id], 120)
        api.pause(dag_id, False)

        def dag_run() -> float:
            started = time.perf_counter()
            run_id = api.trigger(dag_id, {"from": DAY, "to": DAY, "stages": list(CHAIN), "model": "champion"})
            state = api.wait(dag_id, run_id, lambda task: None)
            if state != "success":
                raise SystemExit(f"{dag_id} {run_id} ended as {state}")
            return time.perf_counter() - started

        rows = alternate({"one process": _one_process, "Airflow DAG run": dag_run})
    return table(
        "One day's chain through Airflow",
        rows,
        "Six stages of one day. Through Airflow each is a task with a process of its own, so Python starts and imports "
        "six times. Goal: at most 1.5.",
    )
