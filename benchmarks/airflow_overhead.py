"""What Airflow adds to one day's chain over the same stages in one process."""

import os
import subprocess
import sys
import time

from benchmarks.harness import HOME, PIPELINE, PROJECT, alternate, environment, table

DAY = "2013-12-16"
_SCRIPT = f"""
from contrail.operations.backfill import Backfills
from contrail.lake.lake import Lake
from contrail.operations.late import correct
from contrail.partitions import Partitions
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.stages.runner import run_stage
day = Partitions.parse({DAY!r})
correct(Backfills(load_pipeline({PIPELINE!r}), settings(), Lake(settings(), {PIPELINE!r})), day.start)
for verb in ("ingest", "validate"):
    run_stage(verb, {PIPELINE!r}, day, options={{"as_of_cutoff": True}})
run_stage("features", {PIPELINE!r}, day)
"""


def _one_process() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", _SCRIPT], env=environment(), check=True, capture_output=True)
    return time.perf_counter() - started


def measure() -> str:
    """A run of the daily DAG, from the trigger to its end; Airflow is already up."""
    sys.path.insert(0, str(PROJECT / "plugins"))
    os.environ["CONTRAIL_HOME"] = str(HOME)
    from contrail.config.settings import settings
    from contrail_airflow.local.embedded import Embedded, running

    settings.cache_clear()
    with running(Embedded(settings())) as api:
        dag_id = f"{PIPELINE}__daily"
        api.wait_for_dags([dag_id], 120)
        api.pause(dag_id, False)

        def dag_run() -> float:
            started = time.perf_counter()
            body = {"logical_date": None, "partition_key": DAY}
            run_id = api.call("POST", f"dags/{dag_id}/dagRuns", json=body)["dag_run_id"]
            state = api.wait(dag_id, run_id, lambda task: None)
            if state != "success":
                raise SystemExit(f"{dag_id} {run_id} ended as {state}")
            return time.perf_counter() - started

        rows = alternate({"one process": _one_process, "Airflow DAG run": dag_run})
    return table(
        "One day's chain through Airflow",
        rows,
        "The daily DAG of one day: late files, ingest, validate, features. Through Airflow each is a task with a process "
        "of its own, forked from one with the libraries. Goal: at most 1.5.",
    )
