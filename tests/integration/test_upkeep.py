"""Upkeep of a whole home: what is left after a life, and that it disturbs nobody while the life goes on."""

import hashlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from tests.conftest import TOY_PIPELINES, Prepare, Toy
from tests.leftovers import leftovers
from tests.toy_tables import copy_empty_registry, publish_heavier

from contrail.adapters import data_versions, mlflow_store, registry
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.lake import datasets
from contrail.lake.lake import Lake
from contrail.operations.backfill import Backfills
from contrail.operations.backfill_request import Request
from contrail.operations.maintain import compact, maintain
from contrail.operations.status import partition_status
from contrail.partitions import Partitions

pytestmark = pytest.mark.slow

HOUR = timedelta(hours=1)
SCORED = Partitions.parse("2024-02-10", "2024-02-14")


def lived(toy: Toy) -> None:
    """Three trainings, of which one is a trial and one was made anew; a champion, and predictions with their measures."""
    copy_empty_registry(settings())
    toy.land("2024-01-01", "2024-02-20")
    for verb in ("ingest", "validate", "features"):
        toy.run(verb, "2024-01-01", "2024-02-20")
    for end, registered in (("2024-01-25", True), ("2024-01-26", False), ("2024-01-27", True)):
        toy.run("train", "2024-01-01", end, params={"nthread": 1}, registered=registered)
    registry.set_alias(settings(), registry.describe_version(settings(), "toy", "1"), "champion")
    for verb in ("score", "drift", "performance"):
        toy.run(verb, str(SCORED.start), str(SCORED.end))


@pytest.fixture
def toy(prepared: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The life of a pipeline that keeps everything for a day."""
    prepared(lived)
    shutil.copytree(TOY_PIPELINES, tmp_path / "pipelines")
    with (tmp_path / "pipelines" / "toy" / "pipeline.yaml").open("a") as file:
        file.write("\nretention: {reports: 1, logs: 1, trials: 1, data_versions: 1}\n")
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(tmp_path / "pipelines"))
    settings.cache_clear()
    return Toy(load_pipeline("toy"), settings())


def age(home: Path, keep: Callable[[Path], bool] = lambda _: False) -> None:
    """Make all files of the home, and all runs in MLflow, three days older."""
    for path in home.rglob("*"):
        if path.is_file() and not keep(path):
            moment = path.stat().st_mtime - 3 * 86_400
            os.utime(path, (moment, moment))
    with closing(sqlite3.connect(home / "mlflow" / "mlflow.db")) as database, database:
        database.execute("UPDATE runs SET start_time = start_time - 259200000, end_time = end_time - 259200000")


def killed(toy: Toy) -> None:
    """A publication that dies before its commit, a stage that dies with staged and spilled rows, a torn page."""
    home = toy.settings.home_path
    code = (
        "import os; from contrail.lake import publisher; publisher.swap = lambda *_, **__: os._exit(9); "
        "from contrail.cli.app import main; main()"
    )
    again = ["features", "-p", "toy", "--from", "2024-02-11"]
    publish_heavier(toy, "2024-02-11")
    died = subprocess.run(
        [sys.executable, "-c", code, *again], env=os.environ, capture_output=True, text=True, check=False
    )
    assert died.returncode == 9, died.stderr
    for name in ("staging/toy/score-dead/rows/part-0.parquet", "tmp/spill-dead/a.tmp"):
        (home / name).parent.mkdir(parents=True)
        (home / name).write_bytes(b"1")


def upkeep(toy: Toy, grace: timedelta, *, dry_run: bool = False) -> dict[str, tuple[int, int]]:
    found = [*maintain(toy.lake, toy.spec.retention, grace, dry_run=dry_run)]
    return {one.of: (one.files, one.size) for one in found if one.files}


def referenced(toy: Toy) -> Iterator[str]:
    """Whatever of the home is neither a table's nor known here by its name fails the test."""
    yield from (r"lake/catalog\.db", r"lake/turns/.*", r"locks/.*", r"mlflow/mlflow\.db(\.lock)?", r"landing/.*")
    yield from (r"\.dvc/(config|tmp/.*|site/.*)", r"\.dvcignore", r"models/toy/\d+/.*")
    yield from (r"reports/toy/data_docs/great_expectations/.*", r"reports/toy/(drift|data_docs)/.*\.json")
    for version in registry.versions(toy.settings, "toy"):
        run = mlflow_store.client(toy.settings).get_run(version.run_id)
        yield rf"mlflow/artifacts/toy/{version.run_id}/.*"
        yield from (rf"mlflow/artifacts/toy/models/{one.model_id}/.*" for one in run.outputs.model_outputs)
        window = version.tags["training_window"].replace("..", "_")
        yield rf"training_sets/toy/{window}/rows\.parquet(\.dvc)?"
    named = {md5 for path in toy.settings.home_path.glob("landing/*.dvc") for md5 in md5s(path)}
    named |= {version.tags["training_set_md5"] for version in registry.versions(toy.settings, "toy")}
    for md5 in {inner for one in named for inner in inside(toy, one)}:
        yield rf"(\.dvc/cache|dvc-remote)/files/md5/{md5[:2]}/{re.escape(md5[2:])}"


def md5s(path: Path) -> list[str]:
    return re.findall(r"[0-9a-f]{32}(?:\.dir)?", path.read_text())


def inside(toy: Toy, md5: str) -> list[str]:
    if not md5.endswith(".dir"):
        return [md5]
    path = toy.settings.home_path / "dvc-remote" / "files" / "md5" / md5[:2] / md5[2:]
    return [md5, *md5s(path)]


def test_after_it_the_files_on_disk_are_those_that_something_refers_to(toy: Toy) -> None:
    home = toy.settings.home_path
    rows = toy.sql("SELECT * FROM predictions ORDER BY ALL")
    killed(toy)
    age(home)
    before = partition_status(toy.lake, toy.pipeline, SCORED.start, SCORED.end)
    would = upkeep(toy, HOUR, dry_run=True)
    assert would.keys() == {"staging", "tmp", "pages", "lineage", "features", "trials, into MLflow's trash"}
    assert all(files and size for files, size in would.values())
    there = {path for path in home.rglob("*") if path.is_file()}
    assert upkeep(toy, HOUR) == would
    # What the trial names goes with it, and that can be restored for an hour.
    more = upkeep(toy, timedelta(0))
    assert {"MLflow's trash", "training sets", "data versions"} <= more.keys()
    left = {path for path in home.rglob("*") if path.is_file()}
    removed = sum(files for of, (files, _) in (*would.items(), *more.items()) if of != "trials, into MLflow's trash")
    assert len(there - left) >= removed > 20
    assert all(leftovers(toy.lake.table(name)) == set() for name in toy.lake.table_names())
    known = [re.compile(pattern) for pattern in referenced(toy)]
    strangers = [
        name
        for path in sorted(left)
        if not (name := str(path.relative_to(home))).startswith("lake/warehouse/")
        and not any(one.fullmatch(name) for one in known)
    ]
    assert strangers == []
    assert partition_status(toy.lake, toy.pipeline, SCORED.start, SCORED.end) == before
    assert toy.sql("SELECT * FROM predictions ORDER BY ALL") == rows
    for version in registry.versions(toy.settings, "toy"):
        data_versions.fetch(toy.settings, version.tags["training_set_md5"], home / "back")
        assert registry.resolve(toy.settings, "toy", version.version).package


class Worker(threading.Thread):
    """Does its work again and again until it is told to end; keeps the error that it meets."""

    def __init__(self, work: Callable[[int], object], done: threading.Event) -> None:
        super().__init__()
        self.work, self.done, self.count = work, done, 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.done.is_set():
                self.work(self.count)
                self.count += 1
        except BaseException as error:
            self.error = error
            self.done.set()


class Life:
    """What others do in the home while upkeep runs. ``number`` counts the calls of each."""

    def __init__(self, toy: Toy) -> None:
        self.toy, self.home = toy, toy.settings.home_path
        self.few = toy.settings.model_copy(update={"snapshots_kept": 5})
        self.versions = registry.versions(toy.settings, "toy")
        self.contents = {hashlib.md5(str(n).encode(), usedforsecurity=False).hexdigest() for n in range(3)}
        self.scored = toy.sql("SELECT count(*) FROM predictions")

    @property
    def lake(self) -> Lake:
        return Lake(self.few, "toy")

    def read(self, _: int) -> None:
        assert self.toy.sql("SELECT count(*) FROM predictions") == self.scored
        assert self.lake.scan("features", SCORED).num_rows == self.scored[0][0]
        self.toy.sql("SELECT * FROM validated_parcels ORDER BY ALL LIMIT 5")

    def write(self, number: int) -> None:
        dataset, day = datasets.features(self.toy.spec), Partitions.parse("2024-02-19")
        rows = self.lake.scan("features", day).to_pandas()
        rows["weight"] += number + 1
        table = pa.Table.from_pandas(rows[list(dataset.columns)], preserve_index=False)
        self.lake.publish(dataset, table, day, self.toy.stage_run("features", str(day.start)).provenance({}))

    def backfill(self, number: int) -> None:
        backfills = Backfills(self.toy.pipeline, self.few, self.lake)
        plan = backfills.plan(Request(SCORED, ("score",), str(1 + number % 2), "chunk", 2))
        record = backfills.open(plan, f"loop-{number}")
        backfills.run(plan, record)
        backfills.finish(record)

    def reproduce(self, number: int) -> None:
        version = self.versions[number % len(self.versions)]
        back = self.home.parent / "back" / str(threading.get_ident())
        data_versions.fetch(self.toy.settings, version.tags["training_set_md5"], back)
        assert registry.resolve(self.toy.settings, "toy", version.version).package
        assert self.lake.scan("features", snapshot_id=int(version.tags["feature_snapshot"])).num_rows

    def version_data(self, number: int) -> None:
        """As a training does: the same few contents come again and again, when nothing names them any more."""
        path = self.home / "training_sets" / "toy" / f"loop-{number % 2}" / "rows.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number % 3}")
        for old in data_versions.objects(self.toy.settings):
            if "".join(old.parts[-2:]) in self.contents:
                with suppress(FileNotFoundError):
                    os.utime(str(old), (0, 0))
        md5 = data_versions.add_and_push(self.toy.settings, [path])[path]
        data_versions.fetch(self.toy.settings, md5, self.home.parent / "again")


def test_it_runs_beside_readers_writers_a_backfill_and_a_reproduction(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a grace period of seconds: longer than each job here, as three days are elsewhere.

    The metadata has three snapshots and the archive three more, so that both change all the time.
    """
    monkeypatch.setattr("contrail.lake.upkeep.LISTED", 2)
    life, done, removed = Life(toy), threading.Event(), 0
    age(life.home)
    works = (life.read, life.write, life.backfill, life.reproduce, life.version_data)
    workers = [Worker(work, done) for work in works]
    for one in workers:
        one.start()
    end = time.monotonic() + 25
    try:
        while time.monotonic() < end and not done.is_set():
            list(compact(life.lake))
            removed += sum(one.files for one in maintain(life.lake, toy.spec.retention, timedelta(seconds=15)))
    finally:
        done.set()
        for one in workers:
            one.join()
    assert [one.error for one in workers] == [None] * len(workers)
    assert all(one.count for one in workers), [one.count for one in workers]
    assert removed
    for name in toy.lake.table_names():
        assert toy.lake.verify(name).damages == (), name
        for entry in toy.lake.history(name):
            toy.lake.scan(name, snapshot_id=entry.snapshot)
    for path in (toy.settings.reports / "toy" / "backfills").glob("*.json"):
        record = Backfills(toy.pipeline, life.few, life.lake).record(path.stem)
        for table, snapshot in record.before.items():
            assert snapshot is None or toy.lake.scan(table, snapshot_id=snapshot).num_rows
    for number in range(len(life.versions)):
        life.reproduce(number)
